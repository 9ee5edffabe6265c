/// Whoever authenticated, under a name that ``RegistryAccess/allows(_:_:repository:)`` understands. The name travels inside signed
/// tokens, so it must not be a secret.
package struct RegistryIdentity: Hashable, Sendable {
    package let name: String
    package init(_ name: String) { self.name = name }
}

package enum RegistryAction: String, Sendable, CaseIterable {
    case pull, push, delete
}

/// Decides who may do what with images. Implemented over the platform's users by whoever wires the registry.
package protocol RegistryAccess: Sendable {
    /// Who the `Authorization` header (`Basic …`) speaks for; `nil` when its credentials are wrong.
    func authenticate(authorization: String) async throws -> RegistryIdentity?

    /// Asked for every request, so that what is taken away is gone at once. `nil` is anybody.
    func allows(_ identity: RegistryIdentity?, _ action: RegistryAction, repository: String) async -> Bool
}

/// What a token or a request asks for, in the words of Docker's token specification: `repository:group/name:pull,push`.
struct AccessScope: Hashable, Sendable, CustomStringConvertible {
    var repository: String
    var actions: [RegistryAction]

    init(repository: String, actions: [RegistryAction]) {
        self.repository = repository
        self.actions = actions
    }

    /// `nil` for scopes of other types, which are granted to nobody.
    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count >= 3, parts[0] == "repository" || parts[0].hasPrefix("repository(") else { return nil }
        repository = parts.dropFirst().dropLast().joined(separator: ":")
        actions =
            parts[parts.count - 1] == "*"
            ? RegistryAction.allCases
            : parts[parts.count - 1].split(separator: ",").compactMap { RegistryAction(rawValue: String($0)) }
    }

    var description: String { "repository:\(repository):\(actions.map(\.rawValue).joined(separator: ","))" }
}
