import Foundation
import HTTPTypes
import Hummingbird

/// The answer to a request that needs another or any sign-in: where to get a token and for what.
struct AccessChallenge: Error {
    var message: String
    var scope: AccessScope?

    func response(to request: Request) -> Response {
        let address = "\(request.head.scheme ?? "http")://\(request.head.authority ?? "localhost")/jwt/auth"
        var challenge = #"Bearer realm="\#(address)",service="\#(TokenSigner.service)""#
        if let scope { challenge += #",scope="\#(scope)""# }
        var response = Response(RegistryError(.unauthorized, .unauthorized, message))
        response.headers[.wwwAuthenticate] = challenge
        return response
    }
}

extension RegistryRoutes {
    /// Anybody may pull what is below these.
    private static let publicPrefixes = ["mirror/", "sampan/"]

    /// Lets the request pass with whoever sent it, or throws.
    func authorize(_ request: Request, for endpoint: RegistryEndpoint) async throws -> RegistryIdentity? {
        let scope = endpoint.scope(for: request.method)
        let caller = try await caller(of: request, scope: scope)
        guard let scope else {
            guard caller.identity != nil || caller.claims != nil else {
                throw AccessChallenge(message: "sign in to use this registry")
            }
            return caller.identity
        }
        for action in scope.actions where await !allows(caller.identity, action, scope.repository) {
            guard let identity = caller.identity else {
                throw AccessChallenge(message: "sign in to \(action.rawValue) \(scope.repository)", scope: scope)
            }
            throw RegistryError(.forbidden, .denied, "\(identity.name) may not \(action.rawValue) \(scope.repository)")
        }
        guard caller.covers(scope) else {
            throw AccessChallenge(message: "the token is not for \(scope)", scope: scope)
        }
        return caller.identity
    }

    func allows(_ identity: RegistryIdentity?, _ action: RegistryAction, _ repository: String) async -> Bool {
        if action == .pull, Self.publicPrefixes.contains(where: repository.hasPrefix) { return true }
        return await access.allows(identity, action, repository: repository)
    }

    /// Answers `GET /jwt/auth` with a token for what the caller may do of what it asked for.
    func issueToken(for request: Request) async -> Response {
        await answering(request) {
            let identity = try await basicIdentity(of: request)
            let asked = request.uri.queryParameters.getAll("scope")
                .flatMap { $0.split(whereSeparator: { $0 == " " || $0 == "+" }) }
                .prefix(16)
                .compactMap { AccessScope($0) }
            var granted: [TokenSigner.Claims.Access] = []
            for scope in asked { granted.append(await grant(scope, to: identity)) }
            let now = Int(Date().timeIntervalSince1970)
            let claims = TokenSigner.Claims(
                sub: identity?.name,
                iat: now,
                exp: now + TokenSigner.lifetime,
                access: granted.filter { !$0.actions.isEmpty }
            )
            return Response(json: TokenResponse(token: try signer.token(claims), issued: now))
        }
    }

    // MARK: - Private

    private struct TokenResponse: Encodable {
        let token: String
        let access_token: String
        let expires_in = TokenSigner.lifetime
        let issued_at: String

        init(token: String, issued: Int) {
            self.token = token
            access_token = token
            issued_at = Date(timeIntervalSince1970: Double(issued)).formatted(.iso8601)
        }
    }

    private struct Caller {
        var identity: RegistryIdentity?
        /// `nil` without a token: then nothing narrows what the identity may do.
        var claims: TokenSigner.Claims?

        func covers(_ scope: AccessScope) -> Bool {
            guard let claims else { return true }
            let granted = claims.access.filter { $0.name == scope.repository }.flatMap(\.actions)
            return scope.actions.allSatisfy { granted.contains($0.rawValue) }
        }
    }

    private func caller(of request: Request, scope: AccessScope?) async throws -> Caller {
        guard let header = request.headers[.authorization] else { return Caller() }
        guard let token = header.bearerToken else { return Caller(identity: try await basicIdentity(of: request)) }
        guard let claims = signer.claims(of: token, now: Int(Date().timeIntervalSince1970)) else {
            throw AccessChallenge(message: "the token is not valid or no longer; get another one", scope: scope)
        }
        return Caller(identity: claims.sub.map(RegistryIdentity.init), claims: claims)
    }

    private func basicIdentity(of request: Request) async throws -> RegistryIdentity? {
        guard let header = request.headers[.authorization] else { return nil }
        guard let identity = try await access.authenticate(authorization: header) else {
            throw AccessChallenge(message: "the user name or the password (a personal access token) is wrong")
        }
        return identity
    }

    private func grant(_ scope: AccessScope, to identity: RegistryIdentity?) async -> TokenSigner.Claims.Access {
        var actions: [String] = []
        for action in scope.actions where await allows(identity, action, scope.repository) {
            actions.append(action.rawValue)
        }
        return TokenSigner.Claims.Access(name: scope.repository, actions: actions)
    }
}

extension RegistryEndpoint {
    /// What a request of `method` needs; `nil` where no repository is involved.
    fileprivate func scope(for method: HTTPRequest.Method) -> AccessScope? {
        guard let repository else { return nil }
        let action: RegistryAction =
            switch (self, method) {
            case (.uploads, _), (.upload, _): .push
            case (_, .get), (_, .head): .pull
            case (_, .delete): .delete
            default: .push
            }
        return AccessScope(repository: repository.description, actions: [action])
    }
}

extension String {
    fileprivate var bearerToken: Substring? {
        lowercased().hasPrefix("bearer ") ? dropFirst("bearer ".count) : nil
    }
}
