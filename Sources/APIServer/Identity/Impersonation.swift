import Foundation
import KubernetesModel

/// Whom a request wants to be made as: the `Impersonate-*` fields of its head.
struct Impersonation: Hashable, Sendable {
    private static let prefix = "impersonate-"
    private static let extraPrefix = "impersonate-extra-"

    private(set) var user = ""
    private(set) var uid = ""
    private(set) var groups: [String] = []
    private(set) var extra: [String: [String]] = [:]

    /// - Parameter fields: Names in lower case, with their values.
    /// - Returns: `nil` when no field asks for it.
    /// - Throws: 400 for fields that name no user.
    init?(_ fields: some Sequence<(name: String, value: String)>) throws {
        var isAsked = false
        for (name, value) in fields where name.hasPrefix(Self.prefix) {
            isAsked = true
            switch name {
            case "impersonate-user": user = value
            case "impersonate-uid": uid = value
            case "impersonate-group": groups.append(value)
            case _ where name.hasPrefix(Self.extraPrefix):
                let key = String(name.dropFirst(Self.extraPrefix.count))
                extra[key.removingPercentEncoding ?? key, default: []].append(value)
            default: throw StatusError.badRequest("the header \(name) is unknown")
            }
        }
        guard isAsked else { return nil }
        guard !user.isEmpty else {
            throw StatusError.badRequest(
                "a request cannot be made as another one's without the header Impersonate-User"
            )
        }
    }

    /// What the requesting user must be allowed, each with the verb `impersonate`.
    var required: [RequestAttributes] {
        func attributes(_ group: String, _ resource: String, _ name: String) -> RequestAttributes {
            RequestAttributes(verb: "impersonate", group: group, resource: resource, name: name)
        }
        let authentication = "authentication.k8s.io"
        var required = [attributes("", "users", user)]
        if let account = ServiceAccountName(user: user) {
            required = [attributes("", "serviceaccounts", account.name)]
            required[0].namespace = account.namespace
        }
        required += groups.map { attributes("", "groups", $0) }
        if !uid.isEmpty { required.append(attributes(authentication, "uids", uid)) }
        for (key, values) in extra.sorted(by: { $0.key < $1.key }) {
            for value in values {
                var one = attributes(authentication, "userextras", value)
                one.subresource = key
                required.append(one)
            }
        }
        return required
    }

    /// The user that the request is then made by.
    var result: UserInfo {
        var groups = groups
        if groups.isEmpty, let account = ServiceAccountName(user: user) { groups = account.groups }
        let isAnonymous = user == UserInfo.anonymous.name
        let common = isAnonymous ? UserInfo.anonymous.groups : [UserInfo.authenticatedGroup]
        groups += common.filter { !groups.contains($0) }
        return UserInfo(name: user, uid: uid, groups: groups, extra: extra)
    }
}

/// `system:serviceaccount:NAMESPACE:NAME`, the name of a ServiceAccount as a user.
struct ServiceAccountName: Hashable, Sendable {
    let namespace: String
    let name: String

    init?(user: String) {
        let parts = user.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "system", parts[1] == "serviceaccount" else { return nil }
        namespace = String(parts[2])
        name = String(parts[3])
    }

    var groups: [String] { ["system:serviceaccounts", "system:serviceaccounts:\(namespace)"] }
}

extension Authorizer {
    /// The user that counts for a request: `user`, or whom they act as.
    ///
    /// - Throws: 403 for whom `user` may not act as.
    func user(_ user: UserInfo, actingBy fields: some Sequence<(name: String, value: String)>) throws -> UserInfo {
        guard let impersonation = try Impersonation(fields) else { return user }
        for attributes in impersonation.required { try require(user, may: attributes) }
        return impersonation.result
    }
}
