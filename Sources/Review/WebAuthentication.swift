import Foundation
import HTTPTypes
package import Hummingbird

/// From a request to who asks, and what they may touch. Every room with web routes asks here.
package struct WebAuthentication: Sendable {
    package let forge: Forge

    package init(forge: Forge) {
        self.forge = forge
    }

    /// Who asks; nil for a request without credentials.
    /// - Throws: `GitLabError` 401 when credentials were given and are wrong.
    package func principal(of request: Request) async throws -> Principal? {
        guard let credential = Self.credential(in: request) else { return nil }
        guard let principal = try await forge.authenticate(credential) else { throw GitLabError.unauthorized }
        return principal
    }

    /// Who asks.
    /// - Throws: `GitLabError` 401 when the request has no valid credentials.
    package func requirePrincipal(of request: Request) async throws -> Principal {
        guard let principal = try await principal(of: request) else { throw GitLabError.unauthorized }
        return principal
    }

    /// The project that a path parameter names, by number or URL-encoded path, when the principal may do something in it.
    /// - Throws: `GitLabError` as `Forge.require` does.
    package func project(
        _ reference: String,
        principal: Principal?,
        requiring permission: Permission
    ) async throws -> Project {
        guard let project = try await lookUp(reference) else {
            throw GitLabError.notFound("Project")
        }
        try await forge.require(principal, permission, in: project)
        return project
    }

    /// The credential that a request carries, in GitLab's order of precedence.
    package static func credential(in request: Request) -> Credential? {
        let headers = request.headers
        if let token = headers[.privateToken] { return .token(token) }
        if let token = headers[.jobToken] { return .jobToken(token) }
        if let value = headers[.authorization] { return credential(authorization: value) }
        let query = RequestFields.parse(form: request.uri.query ?? "")
        if case .string(let token) = query["private_token"] { return .token(token) }
        if case .string(let token) = query["access_token"] { return .token(token) }
        if case .string(let token) = query["job_token"] { return .jobToken(token) }
        return nil
    }

    /// The credential in an `Authorization` header: `Bearer` or `Basic`.
    package static func credential(authorization value: String) -> Credential? {
        let parts = value.split(separator: " ", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { return nil }
        switch parts[0].lowercased() {
        case "bearer":
            return .token(parts[1])
        case "basic":
            guard let data = Data(base64Encoded: parts[1]) else { return nil }
            let pair = String(decoding: data, as: UTF8.self)
                .split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            return pair.count == 2 ? .basic(username: pair[0], secret: pair[1]) : nil
        default:
            return nil
        }
    }

    // MARK: - Private

    private func lookUp(_ reference: String) async throws -> Project? {
        if let id = Int(reference) { return try await forge.project(id) }
        return try await forge.project(path: reference)
    }
}

extension HTTPField.Name {
    package static let privateToken = Self("PRIVATE-TOKEN")!
    package static let jobToken = Self("JOB-TOKEN")!
}
