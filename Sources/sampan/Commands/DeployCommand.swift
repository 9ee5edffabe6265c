import ArgumentParser
import AsyncHTTPClient
import Foundation
import Host
import NIOCore
import Subprocess

struct DeployCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deploy",
        abstract: "Deploy a folder of manifests as a new release of an environment and wait until it serves."
    )

    @Argument(help: "GROUP/NAME of the project.") var project: String
    @Option(help: "The environment, such as daily or production.") var environment = "daily"
    @Option(help: "The folder with the manifests.") var manifests = "k8s"
    @Option(help: "Whose images to take; HEAD of the folder's work tree, else what the environment runs.")
    var commit: String?
    @Option(help: "How long it may take until the release serves, such as 90s or 10m.") var timeout = "300s"
    @OptionGroup var platform: PlatformOption

    func run() async throws {
        guard FileManager.default.fileExists(atPath: manifests) else {
            throw HostError("there is no folder \(manifests); name the folder of your manifests with --manifests")
        }
        let client = try await platform.client()
        try await client.requireProject(project)
        let origin = DeployCommit(client: client, project: project, environment: environment, manifests: manifests)
        let commit = try await origin.find(named: commit)
        let archive = try await archive(manifests)
        var query = "environment=\(client.escape(environment))&timeout=\(client.escape(timeout))"
        if let commit { query += "&sha=\(commit)" }
        let path = "projects/\(client.escape(project))/deploys?\(query)"
        let code = try await client.stream(path, body: .bytes(ByteBuffer(bytes: archive)))
        if code != 0 { throw ExitCode(1) }
    }

    private func archive(_ folder: String) async throws -> [UInt8] {
        let result = try await Subprocess.run(
            .name("tar"),
            arguments: ["-C", folder, "-czf", "-", "."],
            output: .bytes(limit: 16 << 20),
            error: .string(limit: 4096)
        )
        guard result.terminationStatus.isSuccess else {
            throw HostError("cannot pack \(folder): \(result.standardError)")
        }
        return result.standardOutput
    }
}
