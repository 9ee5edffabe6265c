import Foundation
import Host
import Subprocess

/// Finds the commit whose images a deploy by hand takes.
struct DeployCommit {
    let client: PlatformClient
    let project: String
    let environment: String
    let manifests: String

    /// The commit that `name` means to the platform; without a name the checked-out commit of the manifests' work tree, or what the
    /// environment runs where there is none. `nil` when nothing is known.
    func find(named name: String?) async throws -> String? {
        if let name {
            if let commit = try await known(name) { return commit }
            throw HostError("\(project) has no commit \(name); push it first, or name another with --commit")
        }
        guard let head = await head() else { return try await deployed() }
        if let commit = try await known(head) { return commit }
        let deployed = try await deployed()
        let instead =
            deployed.map { "the images of \($0.prefix(8)) are used, which is deployed" } ?? "no images are known"
        FileHandle.standardError.write(Data("commit \(head.prefix(8)) was not pushed to \(project): \(instead)\n".utf8))
        return deployed
    }

    // MARK: - Private

    private struct Commit: Decodable { let id: String }

    private func known(_ name: String) async throws -> String? {
        let commit: Commit? = try await client.find(
            "projects/\(client.escape(project))/repository/commits/\(client.escape(name))"
        )
        return commit?.id
    }

    private func deployed() async throws -> String? {
        let releases: [ReleaseSummary] = try await client.get(
            "projects/\(client.escape(project))/environments/\(client.escape(environment))/releases"
        )
        let commit = releases.first { $0.phase == "deployed" }?.commit
        return commit?.isEmpty == false ? commit : nil
    }

    /// `nil` outside of a work tree, before its first commit, and where git is missing.
    private func head() async -> String? {
        let result = try? await Subprocess.run(
            .name("git"),
            arguments: ["-C", manifests, "rev-parse", "--verify", "--quiet", "HEAD"],
            output: .string(limit: 4096),
            error: .discarded
        )
        guard let result, result.terminationStatus.isSuccess else { return nil }
        let head = result.standardOutput.trimmingCharacters(in: .whitespacesAndNewlines)
        return head.isEmpty ? nil : head
    }
}
