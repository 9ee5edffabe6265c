import Foundation
import GRDB
package import Git
import Logging

/// The default branch follows what comes: a project has one before it has any commit.
extension Forge: PushObserver {
    /// Keeps the default branch true to the repository, then tells `pushObservers`.
    ///
    /// Whoever moves a reference calls this, so that what observers read of the project is what the push made of it.
    package func pushed(_ event: PushEvent) async {
        if event.isCreation, let branch = event.branch { await adoptDefaultBranch(ofProject: event.projectID, branch) }
        await pushObservers.pushed(event)
    }

    /// Makes the first branch that came the default one where the branch that was meant to be it never came.
    ///
    /// A push of many branches prefers `main`, then `master`. The protection that the project was made with moves along.
    func adoptDefaultBranch(of project: Project, pushed: String? = nil) async throws {
        let repository = try repository(of: project)
        let branches = try await repository.heads().map { String($0.name.dropFirst("refs/heads/".count)) }
        guard !branches.contains(project.defaultBranch) else { return }
        let usual = ["main", "master"].first(where: branches.contains)
        guard let branch = usual ?? pushed.flatMap({ branches.contains($0) ? $0 : nil }) ?? branches.first else {
            return
        }
        try await repository.setDefaultBranch(branch)
        try await database.write { database in
            try database.execute(
                sql: "UPDATE projects SET default_branch = ? WHERE id = ?",
                arguments: [branch, project.id]
            )
            try database.execute(
                sql: "UPDATE OR IGNORE protected_branches SET name = ? WHERE project_id = ? AND name = ?",
                arguments: [branch, project.id, project.defaultBranch]
            )
            let details = "\(project.defaultBranch) \(branch)"
            try Self.audit(
                "default_branch_changed",
                of: "project:\(project.id)",
                details: details,
                by: .system,
                in: database
            )
        }
        logger.info("default branch changed", metadata: ["project": "\(project.id)", "branch": "\(branch)"])
    }

    /// - Throws: `GitLabError` 400 when the repository has branches, but not this one.
    func setDefaultBranch(_ branch: String, of project: Project) async throws {
        let repository = try repository(of: project)
        let heads = try await repository.heads()
        guard heads.isEmpty || heads.contains(where: { $0.name == "refs/heads/\(branch)" }) else {
            throw GitLabError.invalid("default_branch", "there is no branch named \"\(branch)\" in the repository")
        }
        try await repository.setDefaultBranch(branch)
    }

    // MARK: - Private

    /// A failure is no reason to refuse a push that happened; the next start looks again.
    private func adoptDefaultBranch(ofProject id: Int, _ branch: String) async {
        do {
            guard let project = try await project(id) else { return }
            try await adoptDefaultBranch(of: project, pushed: branch)
        } catch {
            logger.error(
                "the default branch could not be changed",
                metadata: ["project": "\(id)", "branch": "\(branch)", "error": "\(error)"]
            )
        }
    }
}
