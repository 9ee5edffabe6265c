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
        abstract: "Print what the containers of an environment write."
    )

    @Argument(help: "GROUP/NAME of the project.") var project: String
    @Option(help: "The environment, such as daily or production.") var environment = "daily"
    @Option(help: "Only pods of this workload, or with this value of the label app.") var app: String?
    @Flag(name: .shortAndLong, help: "Go on with new lines, also of pods that start later.") var follow = false
    @Option(help: "Only the last lines of each container.") var tail: Int?
    @OptionGroup var home: HomeOption

    func run() async throws {
        _ = try home.settings()
        let access = try ClusterAccess(kubeconfig: ServerProcess.adminKubeconfig(home.value).string)
        let client = try HTTPSClusterClient(access, logger: Self.quiet)
        do {
            try await printLogs(client)
        } catch {
            try await client.shutdown()
            throw error
        }
        try await client.shutdown()
    }

    private func printLogs(_ client: HTTPSClusterClient) async throws {
        let namespace = try await EnvironmentNamespaces(client: client).name(project: project, environment: environment)
        let selection = LogSelection(application: app)
        let pods = try await client.list(.pods, namespace: namespace).items.filter(selection.includes)
        guard !pods.isEmpty else {
            let what = app.map { "nothing called \($0)" } ?? "nothing"
            throw HostError(
                "\(what) runs in \(project), environment \(environment); 'sampan releases' lists its releases"
            )
        }
        let printer = LogPrinter(client: client, namespace: namespace, tail: tail)
        if follow {
            try await printer.follow(pods, selection, Self.quiet)
        } else if try await printer.print(pods) == 0 {
            throw ExitCode.failure
        }
    }

    private static let quiet = Logger(label: "logs", factory: { _ in SwiftLogNoOpLogHandler() })
}

/// Copies the logs of containers, line by line, to the standard output. What fails for one container is said on the standard error and
/// does not end the others.
private struct LogPrinter: Sendable {
    let client: HTTPSClusterClient
    let namespace: String
    let tail: Int?

    /// Prints what has been written until now; answers how many logs could be read.
    func print(_ pods: [JSON]) async throws -> Int {
        let containers = pods.flatMap { pod in
            (pod["spec", "containers"]?.array ?? []).map {
                (pod: AnyObjectView(pod).name, container: $0["name"]?.string ?? "")
            }
        }
        return await withTaskGroup(of: Bool.self) { group in
            for (pod, container) in containers {
                let options = LogOptions(container: container, tailLines: tail)
                group.addTask { await copy(pod, options, isNamed: containers.count > 1) }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
    }

    /// Goes on until it is cancelled: `tail` counts for what runs at the start, all lines of what starts later are printed.
    func follow(_ running: [JSON], _ selection: LogSelection, _ logger: Logger) async throws {
        var selection = selection
        var isFirst = Set(running.map { AnyObjectView($0).uid })
        let informer = Informer(client, .pods, namespace: namespace, logger: logger)
        let (changes, change) = AsyncStream<JSON>.makeStream()
        informer.onChange { _, pod in
            if let pod { change.yield(pod) }
        }
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await informer.run() }
            for await pod in changes {
                let runs = selection.news(of: pod)
                let tail = isFirst.contains(AnyObjectView(pod).uid) ? tail : nil
                if !runs.isEmpty { isFirst.remove(AnyObjectView(pod).uid) }
                for run in runs {
                    let options = LogOptions(container: run.container, follow: true, tailLines: tail)
                    group.addTask { _ = await copy(run.pod, options, isNamed: true) }
                }
            }
        }
    }

    // MARK: - Private

    /// Answers whether the log could be read.
    private func copy(_ pod: String, _ options: LogOptions, isNamed: Bool) async -> Bool {
        let prefix = isNamed ? "\(pod) " : ""
        var rest: [UInt8] = []
        do {
            for try await part in try await client.logs(namespace: namespace, pod: pod, options: options) {
                rest += part
                while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                    Swift.print(prefix + String(decoding: rest[..<end], as: UTF8.self))
                    rest.removeSubrange(...end)
                }
            }
        } catch is CancellationError {
            return true
        } catch {
            let reason = (error as? StatusError)?.message ?? "\(error)"
            FileHandle.standardError.write(Data("sampan: \(pod) \(options.container): \(reason)\n".utf8))
            return false
        }
        if !rest.isEmpty { Swift.print(prefix + String(decoding: rest, as: UTF8.self)) }
        return true
    }
}
