import HTTPTypes
import HummingbirdCore
import KubernetesModel

// MARK: - Requests that are answered and not stored

extension APIFront {
    /// Answers questions about identity and permission.
    func review(_ request: ResourceRequest, _ definition: ResourceDefinition) async throws -> Answer {
        guard request.head.method == .post, request.path.name == nil else {
            throw StatusError.methodNotAllowed("the server does not allow this method on the requested resource")
        }
        var review = try await request.body()
        guard review.object != nil else { throw StatusError.badRequest("the body must be an object") }
        review["apiVersion"] = .string(definition.resource.apiVersion)
        review["kind"] = .string(definition.resource.kind)
        review["status"] = try status(of: review, request, definition)
        return .json(review, code: 201)
    }

    private func status(of review: JSON, _ request: ResourceRequest, _ definition: ResourceDefinition) throws -> JSON {
        switch definition.resource.plural {
        case "selfsubjectaccessreviews": decision(request.user, review)
        case "subjectaccessreviews": decision(Self.user(review["spec"]), review)
        case "localsubjectaccessreviews": decision(Self.user(review["spec"]), review)
        case "selfsubjectreviews": ["userInfo": Self.json(request.user)]
        case "tokenreviews": tokenStatus(review)
        case "selfsubjectrulesreviews": try rules(of: request.user, review)
        default: throw StatusError.noSuchResource()
        }
    }

    private func decision(_ user: UserInfo, _ review: JSON) -> JSON {
        guard let wanted = review["spec", "resourceAttributes"] else {
            let wanted = review["spec", "nonResourceAttributes"]
            let (verb, path) = (wanted?["verb"]?.string ?? "*", wanted?["path"]?.string ?? "*")
            return ["allowed": .bool(authorizer.allows(user, verb: verb, path: path))]
        }
        let attributes = RequestAttributes(
            verb: wanted["verb"]?.string ?? "*",
            group: wanted["group"]?.string ?? "",
            resource: wanted["resource"]?.string ?? "*",
            subresource: wanted["subresource"]?.string ?? "",
            namespace: wanted["namespace"]?.string ?? "",
            name: wanted["name"]?.string ?? ""
        )
        return ["allowed": .bool(authorizer.allows(user, attributes))]
    }

    private func rules(of user: UserInfo, _ review: JSON) throws -> JSON {
        guard let namespace = review["spec", "namespace"]?.string, !namespace.isEmpty else {
            throw StatusError.badRequest("no namespace on request")
        }
        let rules = authorizer.rules(of: user, in: namespace)
        func texts(_ values: Set<String>) -> JSON { JSON(values.sorted()) }
        return [
            "resourceRules": .array(
                rules.filter { !$0.resources.isEmpty }.map { rule in
                    [
                        "verbs": texts(rule.verbs), "apiGroups": texts(rule.groups),
                        "resources": texts(rule.resources), "resourceNames": texts(rule.names),
                    ]
                }
            ),
            "nonResourceRules": .array(
                rules.filter { !$0.paths.isEmpty }.map { rule in
                    ["verbs": texts(rule.verbs), "nonResourceURLs": JSON(rule.paths)]
                }
            ),
            "incomplete": false,
        ]
    }

    private func tokenStatus(_ review: JSON) -> JSON {
        let token = review["spec", "token"]?.string ?? ""
        guard let user = authenticator.tokens.user(token) ?? authenticator.serviceAccount(token) else {
            return ["authenticated": false, "error": "the token is not valid"]
        }
        return ["authenticated": true, "user": Self.json(user)]
    }

    private static func user(_ spec: JSON?) -> UserInfo {
        UserInfo(
            name: spec?["user"]?.string ?? "",
            uid: spec?["uid"]?.string ?? "",
            groups: spec?["groups"]?.array?.compactMap(\.string) ?? [],
            extra: spec?["extra"]?.object?.reduce(into: [:]) {
                $0[$1.key] = $1.value.array?.compactMap(\.string)
            } ?? [:]
        )
    }

    private static func json(_ user: UserInfo) -> JSON {
        var json: JSON = ["username": .string(user.name), "groups": JSON(user.groups)]
        if !user.uid.isEmpty { json["uid"] = .string(user.uid) }
        for (key, values) in user.extra.sorted(by: { $0.key < $1.key }) { json["extra", key] = JSON(values) }
        return json
    }
}
