import Foundation
package import Git
package import HTTPTypes
package import Hummingbird
import Logging

/// One request to the API: who asks, from where, and with which parameters.
package struct APICall: Sendable {
    package let request: Request
    package let principal: Principal?
    package let fields: RequestFields
    package let web: WebAuthentication
    /// The address of the client, when the request context knows it.
    package let address: String?
    private let parameters: Parameters

    init(_ request: Request, _ context: some RequestContext, web: WebAuthentication, bodyLimit: Int) async throws {
        self.request = request
        self.web = web
        parameters = context.parameters
        address = (context as? any RemoteAddressRequestContext)?.remoteAddress?.ipAddress
        principal = try await web.principal(of: request)
        fields = try await RequestFields.read(request, bodyLimit: bodyLimit)
    }

    package var forge: Forge { web.forge }

    /// A part of the path, percent-decoded.
    package func parameter(_ name: String) throws -> String {
        guard let raw = parameters.get(name), let text = raw.removingPercentEncoding else {
            throw GitLabError.badParameter(name, "is invalid")
        }
        return text
    }

    /// A part of the path that must be a number; anything else is not found.
    package func id(_ name: String = "id", of what: String) throws -> Int {
        guard let id = Int(try parameter(name)) else { throw GitLabError.notFound(what) }
        return id
    }

    /// Who asks.
    /// - Throws: `GitLabError` 401 for a request without credentials.
    package func requirePrincipal() throws -> Principal {
        guard let principal else { throw GitLabError.unauthorized }
        return principal
    }

    /// The user who asks with one of the scopes.
    /// - Throws: `GitLabError` 401 for anybody else, 403 when the scopes are missing.
    package func requireUser(scopes: Set<TokenScope> = [.api]) throws -> User {
        guard case .user(let user, let held) = principal else { throw GitLabError.unauthorized }
        guard !held.isDisjoint(with: scopes) else {
            throw GitLabError.forbidden("the token's scopes do not allow this")
        }
        return user
    }

    /// The administrator who asks.
    package func requireAdministrator() throws -> User {
        let user = try requireUser()
        guard user.isAdministrator else { throw GitLabError.forbidden() }
        return user
    }

    /// The project of `/projects/:id/…`, when the principal may do something in it.
    package func project(requiring permission: Permission, parameter name: String = "id") async throws -> Project {
        try await web.project(try parameter(name), principal: principal, requiring: permission)
    }

    /// Who to name in the audit log.
    package func author() async throws -> Author {
        switch principal {
        case nil: return Author(userID: nil, name: "anonymous", address: address)
        case .user(let user, _): return Author(userID: user.id, name: user.username, address: address)
        case .job(let job): return Author(userID: job.userID, name: "job:\(job.jobID)", address: address)
        }
    }
}

extension RouterMethods {
    /// Adds an API route: authenticates, reads the parameters, and turns every error into GitLab's shape.
    ///
    /// Name the first parameter after `/projects`, `/groups` and `/users` `:id` everywhere: the router takes no two names for
    /// one place.
    /// - Parameter bodyLimit: the largest JSON or form body in bytes; other bodies are left in `call.request.body`.
    package func api(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ web: WebAuthentication,
        bodyLimit: Int = 2 << 20,
        _ handler: @escaping @Sendable (APICall) async throws -> some ResponseGenerator
    ) {
        on(RouterPath("/api/v4\(path)"), method: method) { request, context -> Response in
            do {
                let call = try await APICall(request, context, web: web, bodyLimit: bodyLimit)
                return try await handler(call).response(from: request, context: context)
            } catch {
                throw GitLabError.shaped(error, logger: context.logger)
            }
        }
    }
}

extension GitLabError {
    /// The error as a client sees it. What nobody foresaw is logged and becomes a 500 without details.
    static func shaped(_ error: any Error, logger: Logger) -> any HTTPResponseError {
        switch error {
        case let error as GitLabError: return error
        case let error as any HTTPResponseError: return error
        case let error as GitError: return GitLabError(error)
        default:
            logger.error("request failed", metadata: ["error": "\(error)"])
            return GitLabError(.internalServerError, "500 Internal Server Error")
        }
    }

    /// A repository's answer in the shape of the API.
    package init(_ error: GitError) {
        switch error.code {
        case .notFound: self.init(.notFound, "404 Not Found: \(error.message)")
        case .conflict: self.init(.conflict, error.message)
        case .invalid: self.init(.badRequest, error.message)
        case .tooLarge: self.init(.contentTooLarge, error.message)
        case .timedOut: self.init(.gatewayTimeout, error.message)
        case .failed: self.init(.internalServerError, error.message)
        }
    }
}
