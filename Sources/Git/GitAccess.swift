/// One of the two services of git's smart protocol.
package enum GitService: String, Sendable, Hashable {
    /// Fetch and clone.
    case uploadPack = "git-upload-pack"
    /// Push.
    case receivePack = "git-receive-pack"

    /// The subcommand of git.
    var command: String { String(rawValue.dropFirst("git-".count)) }
}

/// Who may use a repository over HTTP.
package enum GitAuthorization: Sendable {
    /// The service may be used as this person.
    case granted(projectID: Int, userID: Int, username: String)
    /// Signing in could help.
    case unauthenticated
    case forbidden(String)
    /// There is nothing, or nothing that this person may know of.
    case notFound
}

/// Decides who may fetch and push.
package protocol GitAccess: Sendable {
    /// - Parameters:
    ///   - path: the project's path as in the URL, without `.git`.
    ///   - authorization: the `Authorization` header.
    func authorize(path: String, service: GitService, authorization: String?) async throws -> GitAuthorization
}
