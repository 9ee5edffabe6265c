import Foundation
import HTTPTypes
import Hummingbird

extension ForgeRoutes {
    func addMemberRoutes(to router: some RouterMethods) {
        addProjectMemberRoutes(to: router)
        addGroupMemberRoutes(to: router)
    }

    private func addProjectMemberRoutes(to router: some RouterMethods) {
        let url = externalURL
        for (suffix, inherited) in [("", false), ("/all", true)] {
            router.api(.get, "/projects/:id/members\(suffix)", web) { call in
                let project = try await call.project(requiring: .read)
                let members = try await call.forge.members(of: project, inherited: inherited)
                return try call.page(members) { MemberEntity($0, externalURL: url) }
            }
        }
        router.api(.get, "/projects/:id/members/:user_id", web) { call in
            let project = try await call.project(requiring: .read)
            return try Self.answer(call, try await call.forge.members(of: project, inherited: false))
        }
        router.api(.post, "/projects/:id/members", web) { call in
            let project = try await call.project(requiring: .maintain)
            let own = try await call.forge.accessLevel(of: call.principal, in: project)
            let known = try await call.forge.members(of: project, inherited: false)
            let (userID, level) = try await Self.newMember(call, own: own, known: known)
            let expiry = try call.fields.string("expires_at")
            try await call.forge.setMember(
                userID,
                of: project,
                level: level,
                expiresAt: expiry,
                by: try await call.author()
            )
            let members = try await call.forge.members(of: project, inherited: false)
            return try Self.answer(call, members, userID: userID, status: .created)
        }
        router.api(.put, "/projects/:id/members/:user_id", web) { call in
            let project = try await call.project(requiring: .maintain)
            let own = try await call.forge.accessLevel(of: call.principal, in: project)
            let member = try Self.member(call, try await call.forge.members(of: project, inherited: false))
            let level = try Self.changedLevel(call, member, own: own)
            let expiry = try call.fields.string("expires_at")
            let id = member.user.id
            try await call.forge.setMember(
                id,
                of: project,
                level: level,
                expiresAt: expiry,
                by: try await call.author()
            )
            return try Self.answer(call, try await call.forge.members(of: project, inherited: false))
        }
        router.api(.delete, "/projects/:id/members/:user_id", web) { call in
            let project = try await call.project(requiring: .maintain)
            let own = try await call.forge.accessLevel(of: call.principal, in: project)
            let member = try Self.member(call, try await call.forge.members(of: project, inherited: false))
            guard member.accessLevel <= own else { throw GitLabError.forbidden() }
            try await call.forge.removeMember(member.user.id, of: project, by: try await call.author())
            return NoContent()
        }
    }

    private func addGroupMemberRoutes(to router: some RouterMethods) {
        let url = externalURL
        for (suffix, inherited) in [("", false), ("/all", true)] {
            router.api(.get, "/groups/:id/members\(suffix)", web) { call in
                let members = try await call.forge.members(of: try await Self.group(call), inherited: inherited)
                return try call.page(members) { MemberEntity($0, externalURL: url) }
            }
        }
        router.api(.get, "/groups/:id/members/:user_id", web) { call in
            try Self.answer(call, try await call.forge.members(of: try await Self.group(call), inherited: false))
        }
        router.api(.post, "/groups/:id/members", web) { call in
            let group = try await Self.group(call, minimum: .owner)
            let known = try await call.forge.members(of: group, inherited: false)
            let (userID, level) = try await Self.newMember(call, own: .owner, known: known)
            let expiry = try call.fields.string("expires_at")
            try await call.forge.setMember(
                userID,
                of: group,
                level: level,
                expiresAt: expiry,
                by: try await call.author()
            )
            let members = try await call.forge.members(of: group, inherited: false)
            return try Self.answer(call, members, userID: userID, status: .created)
        }
        router.api(.put, "/groups/:id/members/:user_id", web) { call in
            let group = try await Self.group(call, minimum: .owner)
            let member = try Self.member(call, try await call.forge.members(of: group, inherited: false))
            let level = try Self.changedLevel(call, member, own: .owner)
            let id = member.user.id
            let expiry = try call.fields.string("expires_at")
            try await call.forge.setMember(id, of: group, level: level, expiresAt: expiry, by: try await call.author())
            return try Self.answer(call, try await call.forge.members(of: group, inherited: false))
        }
        router.api(.delete, "/groups/:id/members/:user_id", web) { call in
            let group = try await Self.group(call, minimum: .owner)
            let member = try Self.member(call, try await call.forge.members(of: group, inherited: false))
            try await call.forge.removeMember(member.user.id, of: group, by: try await call.author())
            return NoContent()
        }
    }

    // MARK: - Private

    private static func newMember(_ call: APICall, own: AccessLevel, known: [Member]) async throws -> (Int, AccessLevel)
    {
        guard let userID = try call.fields.int("user_id") else {
            throw GitLabError.badParameter("user_id", "is missing")
        }
        guard let level = try call.accessLevel("access_level"), level > .none else {
            throw GitLabError.badParameter("access_level", "is missing")
        }
        guard level <= own else { throw GitLabError.forbidden("nobody can give a higher role than their own") }
        guard try await call.forge.user(userID) != nil else { throw GitLabError.notFound("User") }
        guard !known.contains(where: { $0.user.id == userID }) else {
            throw GitLabError.conflict("Member already exists")
        }
        return (userID, level)
    }

    private static func changedLevel(_ call: APICall, _ member: Member, own: AccessLevel) throws -> AccessLevel {
        guard let level = try call.accessLevel("access_level"), level > .none else {
            throw GitLabError.badParameter("access_level", "is missing")
        }
        guard level <= own, member.accessLevel <= own else {
            throw GitLabError.forbidden("nobody can change a higher role than their own")
        }
        return level
    }

    private static func member(_ call: APICall, _ members: [Member]) throws -> Member {
        let id = try call.id("user_id", of: "Member")
        guard let member = members.first(where: { $0.user.id == id }) else { throw GitLabError.notFound("Member") }
        return member
    }

    private static func answer(
        _ call: APICall,
        _ members: [Member],
        userID: Int? = nil,
        status: HTTPResponse.Status = .ok
    ) throws -> APIResponse<MemberEntity> {
        let member = try userID.map { id in members.first { $0.user.id == id } } ?? Self.member(call, members)
        guard let member else { throw GitLabError.notFound("Member") }
        return APIResponse(MemberEntity(member, externalURL: call.forge.configuration.externalURL), status: status)
    }
}
