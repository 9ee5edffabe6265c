import ArgumentParser
import Foundation
import Host
import KubernetesClient
import KubernetesModel
import Logging
import Releases
import SystemPackage

struct LogsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs",
        abstract: "Print what the containers of an environment write, newest pods of each application."
    )

    @Argument(help: "GROUP/NAME of the project.") var project: String
    @Option(help: "The environment, such as daily or production.") var environment = "daily"
    @Option(help: "Only pods of this workload.") var app: String?
    @Flag(name: .shortAndLong, help: "Go on with new lines.") var follow = false
    @Option(help: "Only the last lines of each container.") var tail: Int?
    @OptionGroup var home: HomeOption

    func run() async throws {
        _ = try home.settings()
        let access = try ClusterAccess(kubeconfig: ServerProcess.adminKubeconfig(home.value).string)
        let client = try HTTPSClusterClient(
            access,
            logger: Logger(label: "logs", factory: { _ in SwiftLogNoOpLogHandler() })
        )
        let namespace = try await EnvironmentNamespaces(client: client).name(project: project, environment: environment)
        let containers = try await containers(client, namespace)
        guard !containers.isEmpty else {
            throw HostError(
                "nothing runs in \(project), environment \(environment); 'sampan releases' lists its releases"
            )
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for container in containers {
                group.addTask { try await copy(client, namespace, container, isNamed: containers.count > 1) }
            }
            try await group.waitForAll()
        }
    }

    // MARK: - Private

    private struct Container: Sendable {
        let pod: String
        let name: String
    }

    private func containers(_ client: HTTPSClusterClient, _ namespace: String) async throws -> [Container] {
        let pods = try await client.list(.pods, namespace: namespace).items
        return pods.flatMap { pod -> [Container] in
            let name = pod["metadata", "name"]?.string ?? ""
            guard app.map({ name.hasPrefix("\($0)-") }) ?? true else { return [] }
            return (pod["spec", "containers"]?.array ?? []).compactMap { $0["name"]?.string }.map {
                Container(pod: name, name: $0)
            }
        }
    }

    private func copy(
        _ client: HTTPSClusterClient,
        _ namespace: String,
        _ container: Container,
        isNamed: Bool
    ) async throws {
        let options = LogOptions(container: container.name, follow: follow, tailLines: tail)
        var rest: [UInt8] = []
        for try await part in try await client.logs(namespace: namespace, pod: container.pod, options: options) {
            rest += part
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: rest[..<end], as: UTF8.self)
                rest.removeSubrange(...end)
                print(isNamed ? "\(container.pod) \(line)" : line)
            }
        }
    }
}
