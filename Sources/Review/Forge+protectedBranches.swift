import Foundation
import GRDB
import Git

extension Forge {
    /// The rules for branches of a project, by name.
    package func protectedBranches(of projectID: Int) async throws -> [ProtectedBranch] {
        try await database.read {
            try ProtectedBranch.fetchAll(
                $0,
                sql: "SELECT * FROM protected_branches WHERE project_id = ? ORDER BY name",
                arguments: [projectID]
            )
        }
    }

    /// Whether a rule covers a branch.
    package func isProtected(branch: String, of projectID: Int) async throws -> Bool {
        try await protectedBranches(of: projectID).contains { $0.matches(branch) }
    }

    /// Protects a branch or pattern.
    /// - Throws: `GitLabError` 409 when there is a rule with this name.
    package func protectBranch(
        _ name: String,
        of project: Project,
        pushLevel: AccessLevel = .maintainer,
        mergeLevel: AccessLevel = .maintainer,
        allowForcePush: Bool = false,
        by author: Author
    ) async throws -> ProtectedBranch {
        guard !name.isEmpty, name.utf8.count <= 255 else { throw GitLabError.badParameter("name", "is missing") }
        return try await database.write { database in
            let known = "SELECT 1 FROM protected_branches WHERE project_id = ? AND name = ?"
            if try Int.fetchOne(database, sql: known, arguments: [project.id, name]) != nil {
                throw GitLabError.conflict("Protected branch '\(name)' already exists")
            }
            try database.execute(
                sql: """
                    INSERT INTO protected_branches
                        (project_id, name, push_access_level, merge_access_level, allow_force_push)
                    VALUES (?, ?, ?, ?, ?)
                    """,
                arguments: [project.id, name, pushLevel.rawValue, mergeLevel.rawValue, allowForcePush]
            )
            let id = Int(database.lastInsertedRowID)
            try Self.audit("branch_protected", of: "project:\(project.id)", details: name, by: author, in: database)
            return try ProtectedBranch.fetchOne(database, key: id, table: "protected_branches")!
        }
    }

    /// Changes who may push to a protected branch; nil leaves a setting.
    package func updateProtectedBranch(
        _ rule: ProtectedBranch,
        pushLevel: AccessLevel?,
        allowForcePush: Bool?,
        by author: Author
    ) async throws -> ProtectedBranch {
        try await database.write { database in
            try database.execute(
                sql: "UPDATE protected_branches SET push_access_level = ?, allow_force_push = ? WHERE id = ?",
                arguments: [
                    (pushLevel ?? rule.pushAccessLevel).rawValue, allowForcePush ?? rule.allowForcePush, rule.id,
                ]
            )
            let target = "project:\(rule.projectID)"
            try Self.audit("branch_protection_changed", of: target, details: rule.name, by: author, in: database)
            return try ProtectedBranch.fetchOne(database, key: rule.id, table: "protected_branches")!
        }
    }

    package func unprotectBranch(_ rule: ProtectedBranch, by author: Author) async throws {
        try await database.write { database in
            try database.execute(sql: "DELETE FROM protected_branches WHERE id = ?", arguments: [rule.id])
            let target = "project:\(rule.projectID)"
            try Self.audit("branch_unprotected", of: target, details: rule.name, by: author, in: database)
        }
    }
}

extension ProtectedBranch {
    /// Whether the rule covers a branch; `*` in its name stands for any text.
    package func matches(_ branch: String) -> Bool {
        let parts = name.split(separator: "*", omittingEmptySubsequences: false).map(String.init)
        guard parts.count > 1 else { return name == branch }
        guard branch.hasPrefix(parts[0]), branch.count >= parts[0].count + parts[parts.count - 1].count,
            branch.hasSuffix(parts[parts.count - 1])
        else { return false }
        var rest = branch.dropFirst(parts[0].count).dropLast(parts[parts.count - 1].count)
        for part in parts[1..<parts.count - 1] where !part.isEmpty {
            guard let range = rest.range(of: part) else { return false }
            rest = rest[range.upperBound...]
        }
        return true
    }
}

/// Decides over pushes from the rules for branches. Pure.
struct BranchProtection {
    let rules: [ProtectedBranch]
    let level: AccessLevel
    let defaultBranch: String
    /// Whether the repository had no branch: whoever may push may make the first one.
    let isFirstPush: Bool

    func verdict(on updates: [ProposedPush.Update]) -> PushVerdict {
        var fastForwardOnly: Set<String> = []
        for update in updates where update.ref.hasPrefix("refs/heads/") {
            let branch = String(update.ref.dropFirst("refs/heads/".count))
            if update.after == PushEvent.nothing, branch == defaultBranch {
                return .reject(message: "The default branch of a project cannot be deleted.")
            }
            let matching = rules.filter { $0.matches(branch) }
            guard !matching.isEmpty else { continue }
            if let refusal = refusal(of: update, by: matching) { return .reject(message: refusal) }
            if !matching.contains(where: \.allowForcePush) { fastForwardOnly.insert(update.ref) }
        }
        return .accept(fastForwardOnly: fastForwardOnly)
    }

    /// Among several rules the most permissive one counts, as with GitLab.
    private func refusal(of update: ProposedPush.Update, by rules: [ProtectedBranch]) -> String? {
        if update.after == PushEvent.nothing {
            return level >= .maintainer ? nil : "You are not allowed to delete protected branches from this project."
        }
        if isFirstPush && update.before == PushEvent.nothing && level >= .developer { return nil }
        let isAllowed = rules.contains { $0.pushAccessLevel != .none && level >= $0.pushAccessLevel }
        return isAllowed ? nil : "You are not allowed to push code to protected branches on this project."
    }
}
