import Foundation
import Git
import HTTPTypes
package import Hummingbird
package import Logging

/// The web routes of this room: the GitLab v4 API of people, groups, projects and repositories, and git itself.
package struct ForgeRoutes: Sendable {
    /// What `/version` says; clients derive features from it.
    package static let version = "17.11.0-sampan"

    let forge: Forge
    let web: WebAuthentication
    let smartHTTP: SmartHTTP

    package init(forge: Forge, logger: Logger) {
        let access = ForgeGitAccess(forge: forge)
        self.forge = forge
        web = WebAuthentication(forge: forge)
        smartHTTP = SmartHTTP(
            store: forge.repositories,
            access: access,
            policy: access,
            observer: forge,
            logger: logger
        )
    }

    /// Serves everything on a router. git is a middleware: call this before other rooms add routes at the root.
    package func addRoutes<Context: RequestContext>(to router: some RouterMethods<Context>) {
        smartHTTP.addRoutes(to: router)
        addVersionRoutes(to: router)
        addUserRoutes(to: router)
        addTokenRoutes(to: router)
        addGroupRoutes(to: router)
        addProjectRoutes(to: router)
        addMemberRoutes(to: router)
        addBranchRoutes(to: router)
        addProtectedBranchRoutes(to: router)
        addCommitRoutes(to: router)
        addFileRoutes(to: router)
    }

    var externalURL: String { forge.configuration.externalURL }

    private struct Version: Encodable {
        let version: String
        let revision: String
    }

    private func addVersionRoutes(to router: some RouterMethods) {
        for path in ["/version", "/metadata"] {
            router.api(.get, path, web) { call in
                _ = try call.requirePrincipal()
                return APIResponse(Version(version: Self.version, revision: "sampan"))
            }
        }
    }
}

/// An answer without a body.
struct NoContent: ResponseGenerator {
    func response(from request: Request, context: some RequestContext) -> Response { Response(status: .noContent) }
}

extension APICall {
    /// One of GitLab's numbers for a role.
    func accessLevel(_ name: String) throws -> AccessLevel? {
        guard let number = try fields.int(name) else { return nil }
        guard let level = AccessLevel(rawValue: number) else {
            let numbers = AccessLevel.allCases.map { String($0.rawValue) }.joined(separator: ", ")
            throw GitLabError.badParameter(name, "does not have a valid value: it must be one of \(numbers)")
        }
        return level
    }
}
