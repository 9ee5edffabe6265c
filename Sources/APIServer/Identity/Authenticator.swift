import KubernetesModel

/// Finds out who makes a request from its bearer token.
struct Authenticator: Sendable {
    let tokens: StaticTokens
    let service: APIService

    /// - Parameter authorization: The `Authorization` header; without one the user is anonymous.
    /// - Throws: 401 for anything that is no valid token.
    func user(authorization: String?) throws -> UserInfo {
        guard let authorization else { return .anonymous }
        let parts = authorization.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { throw StatusError.unauthorized() }
        let token = String(parts[1])
        if let user = tokens.user(token) { return user }
        guard let user = serviceAccount(token) else { throw StatusError.unauthorized() }
        return user
    }

    /// A token dies with its account and with the pod that it is bound to.
    func serviceAccount(_ token: String) -> UserInfo? {
        guard let claims = service.tokens.verify(token, at: service.now()) else { return nil }
        guard exists(.serviceAccounts, claims.namespace, claims.serviceAccount, claims.serviceAccountUID) else {
            return nil
        }
        if let pod = claims.pod, !exists(.pods, claims.namespace, pod, claims.podUID) { return nil }
        return .serviceAccount(
            namespace: claims.namespace,
            name: claims.serviceAccount,
            uid: claims.serviceAccountUID,
            extra: Self.facts(claims)
        )
    }

    /// Says which pod the token belongs to, under the names that Kubernetes gives these facts.
    private static func facts(_ claims: ServiceAccountTokens.Claims) -> [String: [String]] {
        guard let pod = claims.pod, let uid = claims.podUID else { return [:] }
        return ["authentication.kubernetes.io/pod-name": [pod], "authentication.kubernetes.io/pod-uid": [uid]]
    }

    private func exists(_ resource: Resource, _ namespace: String, _ name: String, _ uid: String?) -> Bool {
        service.store.object(service.key(resource, namespace: namespace, name: name)).map { $0.uid == uid } ?? false
    }
}
