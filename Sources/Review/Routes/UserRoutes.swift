import Foundation
import HTTPTypes
import Hummingbird

extension ForgeRoutes {
    func addUserRoutes(to router: some RouterMethods) {
        let url = externalURL
        router.api(.get, "/user", web) { call in
            switch try call.requirePrincipal() {
            case .user(let user, let scopes):
                guard !scopes.isDisjoint(with: [.api, .readAPI, .readUser]) else { throw GitLabError.forbidden() }
                return APIResponse(UserEntity(user, externalURL: url))
            case .job:
                throw GitLabError.unauthorized
            }
        }
        router.api(.get, "/users", web) { call in
            let asker = try call.requireUser(scopes: [.api, .readAPI, .readUser])
            let search = try call.fields.string("search") ?? ""
            let users = try await call.forge.users(search: search, username: try call.fields.string("username"))
            if asker.isAdministrator { return try call.page(users) { UserEntity($0, externalURL: url) }.erased }
            return try call.page(users) { BasicUserEntity($0, externalURL: url) }.erased
        }
        router.api(.get, "/users/:id", web) { call in
            let asker = try call.requireUser(scopes: [.api, .readAPI, .readUser])
            let user = try await Self.user(call)
            let showsAll = asker.isAdministrator || asker.id == user.id
            return showsAll
                ? APIResponse(UserEntity(user, externalURL: url)).erased
                : APIResponse(BasicUserEntity(user, externalURL: url)).erased
        }
        router.api(.post, "/users", web) { call in
            _ = try call.requireAdministrator()
            let user = try await call.forge.createUser(try Self.newUser(call.fields), by: try await call.author())
            return APIResponse(UserEntity(user, externalURL: url), status: .created)
        }
        addUserStateRoutes(to: router)
    }

    private func addUserStateRoutes(to router: some RouterMethods) {
        for (verb, state) in [("block", User.State.blocked), ("unblock", .active)] {
            router.api(.post, "/users/:id/\(verb)", web) { call in
                _ = try call.requireAdministrator()
                let user = try await Self.user(call)
                try await call.forge.setState(state, ofUser: user.id, by: try await call.author())
                return APIResponse(true, status: .created)
            }
        }
        router.api(.put, "/users/:id", web) { call in
            _ = try call.requireAdministrator()
            let user = try await Self.user(call)
            var change = UserChange()
            change.username = try call.fields.string("username")
            change.name = try call.fields.string("name")
            change.email = try call.fields.string("email")
            change.password = try call.fields.string("password")
            let changed = try await call.forge.updateUser(user, change, by: try await call.author())
            return APIResponse(UserEntity(changed, externalURL: call.forge.configuration.externalURL))
        }
    }

    static func user(_ call: APICall) async throws -> User {
        guard let user = try await call.forge.user(try call.id(of: "User")) else { throw GitLabError.notFound("User") }
        return user
    }

    private static func newUser(_ fields: RequestFields) throws -> NewUser {
        let generates = try fields.bool("force_random_password") ?? false
        return NewUser(
            username: try fields.required("username"),
            name: try fields.required("name"),
            email: try fields.required("email"),
            password: generates ? Secrets.text(24) : try fields.required("password"),
            isAdministrator: try fields.bool("admin") ?? false
        )
    }

    func addTokenRoutes(to router: some RouterMethods) {
        router.api(.get, "/personal_access_tokens", web) { call in
            let user = try call.requireUser(scopes: [.api, .readAPI])
            let owner = user.isAdministrator ? try call.fields.int("user_id") : user.id
            return try call.page(try await call.forge.tokens(ofUser: owner)) { TokenEntity($0) }
        }
        router.api(.get, "/personal_access_tokens/self", web) { call in
            APIResponse(TokenEntity(try await Self.ownToken(call)))
        }
        router.api(.delete, "/personal_access_tokens/self", web) { call in
            try await call.forge.revokeToken(try await Self.ownToken(call).id, by: try await call.author())
            return NoContent()
        }
        router.api(.get, "/personal_access_tokens/:id", web) { call in
            APIResponse(TokenEntity(try await Self.token(call, scopes: [.api, .readAPI])))
        }
        router.api(.delete, "/personal_access_tokens/:id", web) { call in
            try await call.forge.revokeToken(try await Self.token(call, scopes: [.api]).id, by: try await call.author())
            return NoContent()
        }
        router.api(.post, "/users/:id/personal_access_tokens", web) { call in
            _ = try call.requireAdministrator()
            return try await Self.issueToken(to: try await Self.user(call).id, call)
        }
        router.api(.post, "/user/personal_access_tokens", web) { call in
            try await Self.issueToken(to: try call.requireUser().id, call)
        }
    }

    private static func issueToken(to userID: Int, _ call: APICall) async throws -> APIResponse<TokenEntity> {
        let names = try call.fields.strings("scopes") ?? []
        let scopes = try names.map { name in
            guard let scope = TokenScope(rawValue: name) else {
                let allowed = TokenScope.allCases.map(\.rawValue).joined(separator: ", ")
                throw GitLabError.badParameter("scopes", "does not have a valid value: \(name) is none of \(allowed)")
            }
            return scope
        }
        let issued = try await call.forge.createToken(
            ofUser: userID,
            name: try call.fields.required("name"),
            scopes: scopes,
            expiresAt: try call.fields.string("expires_at"),
            by: try await call.author()
        )
        return APIResponse(TokenEntity(issued.token, secret: issued.secret), status: .created)
    }

    private static func ownToken(_ call: APICall) async throws -> PersonalAccessToken {
        guard case .token(let secret) = WebAuthentication.credential(in: call.request),
            let token = try await call.forge.token(withSecret: secret)
        else { throw GitLabError.unauthorized }
        return token
    }

    private static func token(_ call: APICall, scopes: Set<TokenScope>) async throws -> PersonalAccessToken {
        let user = try call.requireUser(scopes: scopes)
        let id = try call.id(of: "Token")
        guard let token = try await call.forge.token(id), user.isAdministrator || token.userID == user.id else {
            throw GitLabError.notFound("Token")
        }
        return token
    }
}

extension APIResponse {
    /// The same answer, for handlers that answer with one of several shapes.
    var erased: AnyResponse { AnyResponse(self) }
}

/// One of several shapes of answers.
struct AnyResponse: ResponseGenerator, Sendable {
    private let generator: any ResponseGenerator & Sendable

    init(_ generator: some ResponseGenerator & Sendable) {
        self.generator = generator
    }

    func response(from request: Request, context: some RequestContext) throws -> Response {
        try generator.response(from: request, context: context)
    }
}
