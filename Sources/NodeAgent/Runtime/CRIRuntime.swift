import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2
import GRPCProtobuf
import NIOCore
import SwiftProtobuf

/// containerd (or any other runtime) by CRI v1 over a Unix socket, and containerd's own event service on the same connection.
final class CRIRuntime: ContainerRuntime {
    /// Bounds of the calls. Those that start or stop processes get far more time than those that only ask.
    private enum Timeout {
        static let query = Duration.seconds(15)
        static let change = Duration.seconds(60)
        static let sandbox = Duration.seconds(240)
        static let pull = Duration.seconds(3600)
    }
    /// A node full of containers answers with more than the 4 MiB that gRPC takes by default.
    private static let maximumMessageBytes = 64 << 20

    typealias RuntimeClient = Runtime_V1_RuntimeService.Client<HTTP2ClientTransport.Posix>
    typealias ImageClient = Runtime_V1_ImageService.Client<HTTP2ClientTransport.Posix>

    private let socketPath: String
    private let client: GRPCClient<HTTP2ClientTransport.Posix>
    private let runtime: RuntimeClient
    private let imageService: ImageClient
    private let eventService: Containerd_Services_Events_V1_Events.Client<HTTP2ClientTransport.Posix>

    init(socketPath: String) throws {
        var configuration = HTTP2ClientTransport.Posix.Config.defaults
        configuration.connection.flushCoalescing = nil  // costs a third of the latency of single calls
        configuration.backoff = .init(initial: .milliseconds(100), max: .seconds(2), multiplier: 1.6, jitter: 0.2)
        configuration.channelDebuggingCallbacks.onCreateTCPConnection = { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(PingAnswering(), position: .first)
            }
        }
        let transport = try HTTP2ClientTransport.Posix(
            target: .unixDomainSocket(path: socketPath, authority: "localhost"),
            transportSecurity: .plaintext,
            config: configuration
        )
        self.socketPath = socketPath
        client = GRPCClient(transport: transport)
        runtime = RuntimeClient(wrapping: client)
        imageService = ImageClient(wrapping: client)
        eventService = .init(wrapping: client)
    }

    func run() async throws {
        do {
            try await client.runConnections()
        } catch {
            // The transport reports its own cancellation as a failure.
            if !Task.isCancelled { throw error }
        }
    }

    func version() async throws -> String {
        let version = try await call(Timeout.query) { options in
            try await self.runtime.version(.with { $0.version = "v1" }, options: options)
        }
        return "\(version.runtimeName)://\(version.runtimeVersion)"
    }

    // MARK: - Sandboxes

    func sandboxes(podUID: String?) async throws -> [Sandbox] {
        let request = Runtime_V1_ListPodSandboxRequest.with { request in
            if let podUID { request.filter.labelSelector = [Label.podUID: podUID] }
        }
        let list = try await call(Timeout.query) { options in
            try await self.runtime.listPodSandbox(request, options: options)
        }
        let found = try await concurrently(list.items.map(\.id)) { id in try await self.sandbox(id) }
        return found.sorted { ($0.attempt, $0.createdAt) > ($1.attempt, $1.createdAt) }
    }

    private func sandbox(_ id: String) async throws -> Sandbox? {
        try await unlessGone {
            let response = try await self.call(Timeout.query) { options in
                try await self.runtime.podSandboxStatus(.with { $0.podSandboxID = id }, options: options)
            }
            return Sandbox(response.status)
        }
    }

    func runSandbox(_ specification: SandboxSpecification) async throws -> String {
        let request = Runtime_V1_RunPodSandboxRequest.with { $0.config = .init(specification) }
        return try await call(Timeout.sandbox) { options in
            try await self.runtime.runPodSandbox(request, options: options)
        }.podSandboxID
    }

    func stopSandbox(_ id: String) async throws {
        _ = try await unlessGone {
            try await self.call(Timeout.sandbox) { options in
                try await self.runtime.stopPodSandbox(.with { $0.podSandboxID = id }, options: options)
            }
        }
    }

    func removeSandbox(_ id: String) async throws {
        try await removing {
            try await self.call(Timeout.sandbox) { options in
                try await self.runtime.removePodSandbox(.with { $0.podSandboxID = id }, options: options)
            }
        }
    }

    // MARK: - Containers

    func containers(podUID: String?) async throws -> [Container] {
        let request = Runtime_V1_ListContainersRequest.with { request in
            if let podUID { request.filter.labelSelector = [Label.podUID: podUID] }
        }
        let list = try await call(Timeout.query) { options in
            try await self.runtime.listContainers(request, options: options)
        }
        let found = try await concurrently(list.containers) { listed in
            try await self.container(listed.id, sandboxID: listed.podSandboxID)
        }
        return found.sorted { ($0.attempt, $0.createdAt) > ($1.attempt, $1.createdAt) }
    }

    private func container(_ id: String, sandboxID: String) async throws -> Container? {
        try await unlessGone {
            let response = try await self.call(Timeout.query) { options in
                try await self.runtime.containerStatus(.with { $0.containerID = id }, options: options)
            }
            return Container(response.status, sandboxID: sandboxID)
        }
    }

    func createContainer(
        _ specification: ContainerSpecification,
        sandboxID: String,
        sandbox: SandboxSpecification
    ) async throws -> String {
        let request = Runtime_V1_CreateContainerRequest.with {
            $0.podSandboxID = sandboxID
            $0.config = .init(specification)
            $0.sandboxConfig = .init(sandbox)
        }
        return try await call(Timeout.change) { options in
            try await self.runtime.createContainer(request, options: options)
        }.containerID
    }

    func startContainer(_ id: String) async throws {
        _ = try await call(Timeout.change) { options in
            try await self.runtime.startContainer(.with { $0.containerID = id }, options: options)
        }
    }

    func stopContainer(_ id: String, gracePeriod: Duration) async throws {
        let seconds = max(0, gracePeriod.components.seconds + (gracePeriod.components.attoseconds > 0 ? 1 : 0))
        let request = Runtime_V1_StopContainerRequest.with {
            $0.containerID = id
            $0.timeout = seconds
        }
        _ = try await unlessGone {
            try await self.call(.seconds(seconds) + Timeout.change) { options in
                try await self.runtime.stopContainer(request, options: options)
            }
        }
    }

    func removeContainer(_ id: String) async throws {
        try await removing {
            try await self.call(Timeout.change) { options in
                try await self.runtime.removeContainer(.with { $0.containerID = id }, options: options)
            }
        }
    }

    func reopenLog(_ id: String) async throws {
        _ = try await call(Timeout.query) { options in
            try await self.runtime.reopenContainerLog(.with { $0.containerID = id }, options: options)
        }
    }

    func statistics() async throws -> [ContainerStatistics] {
        let response = try await call(Timeout.query) { options in
            try await self.runtime.listContainerStats(.init(), options: options)
        }
        return response.stats.map(ContainerStatistics.init)
    }

    // MARK: - Processes and streams

    func execute(_ command: [String], in id: String, timeout: Duration) async throws -> ExecutionResult {
        let request = Runtime_V1_ExecSyncRequest.with {
            $0.containerID = id
            $0.cmd = command
            $0.timeout = max(1, timeout.components.seconds)
        }
        let response = try await call(timeout + .seconds(5)) { options in
            try await self.runtime.execSync(request, options: options)
        }
        return ExecutionResult(
            exitCode: Int(response.exitCode),
            output: Array(response.stdout),
            errorOutput: Array(response.stderr)
        )
    }

    func streamingURL(_ request: StreamingRequest) async throws -> String {
        try await call(Timeout.query) { options in
            switch request {
            case .execute(let id, let command, let isTerminal, let stdin, let stdout, let stderr):
                let message = Runtime_V1_ExecRequest.with {
                    $0.containerID = id
                    $0.cmd = command
                    $0.tty = isTerminal
                    ($0.stdin, $0.stdout, $0.stderr) = (stdin, stdout, stderr)
                }
                return try await self.runtime.exec(message, options: options).url
            case .attach(let id, let isTerminal, let stdin, let stdout, let stderr):
                let message = Runtime_V1_AttachRequest.with {
                    $0.containerID = id
                    $0.tty = isTerminal
                    ($0.stdin, $0.stdout, $0.stderr) = (stdin, stdout, stderr)
                }
                return try await self.runtime.attach(message, options: options).url
            case .portForward(let id, let ports):
                let message = Runtime_V1_PortForwardRequest.with {
                    $0.podSandboxID = id
                    $0.port = ports.map(Int32.init)
                }
                return try await self.runtime.portForward(message, options: options).url
            }
        }
    }

    // MARK: - Images

    func image(_ reference: String) async throws -> RuntimeImage? {
        let response = try await call(Timeout.query) { options in
            try await self.imageService.imageStatus(.with { $0.image.image = reference }, options: options)
        }
        return response.hasImage ? RuntimeImage(response.image) : nil
    }

    func images() async throws -> [RuntimeImage] {
        try await call(Timeout.query) { options in
            try await self.imageService.listImages(.init(), options: options)
        }.images.map(RuntimeImage.init)
    }

    func pullImage(_ reference: String, credentials: RegistryCredentials?) async throws -> String {
        let request = Runtime_V1_PullImageRequest.with { request in
            request.image.image = reference
            if let credentials { request.auth = .init(credentials) }
        }
        return try await call(Timeout.pull) { options in
            try await self.imageService.pullImage(request, options: options)
        }.imageRef
    }

    func removeImage(_ reference: String) async throws {
        _ = try await unlessGone {
            try await self.call(Timeout.change) { options in
                try await self.imageService.removeImage(.with { $0.image.image = reference }, options: options)
            }
        }
    }

    // MARK: - Events

    func watchEvents(_ handle: @escaping @Sendable (RuntimeEvent) -> Void) async throws {
        let request = Containerd_Services_Events_V1_SubscribeRequest.with {
            $0.filters = [#"topic=="/tasks/exit""#, #"topic=="/tasks/oom""#]
        }
        var options = CallOptions.defaults
        options.waitForReady = true
        do {
            try await eventService.subscribe(
                request,
                metadata: ["containerd-namespace": "k8s.io"],
                options: options
            ) { response in
                for try await envelope in response.messages {
                    if let event = try RuntimeEvent(envelope) { handle(event) }
                }
            }
        } catch let error as RPCError {
            throw RuntimeError(error)
        }
    }

    // MARK: - Private

    private func call<Answer: Sendable>(
        _ timeout: Duration,
        _ body: (CallOptions) async throws -> Answer
    ) async throws -> Answer {
        var options = CallOptions.defaults
        options.timeout = timeout
        options.waitForReady = true
        options.maxRequestMessageBytes = Self.maximumMessageBytes
        options.maxResponseMessageBytes = Self.maximumMessageBytes
        do {
            return try await body(options)
        } catch let error as RPCError {
            throw RuntimeError(error)
        }
    }

    private func unlessGone<Answer: Sendable>(_ body: () async throws -> Answer) async throws -> Answer? {
        do {
            return try await body()
        } catch let error as RuntimeError where error.code == .notFound {
            return nil
        }
    }

    /// Ends the stray task that is in the way, if one is, and tries again: each container has one at the most.
    private func removing(_ body: () async throws -> some Sendable) async throws {
        var ended: Set<String> = []
        while true {
            do {
                _ = try await unlessGone(body)
                return
            } catch let error as RuntimeError {
                guard let task = StrayTask(blamedBy: error.message), ended.insert(task.container).inserted else {
                    throw error
                }
                try await task.end(socketPath: socketPath)
            }
        }
    }

    /// The answers for all `elements`, at most 16 calls at a time, without those that are gone.
    private func concurrently<Element: Sendable, Answer: Sendable>(
        _ elements: [Element],
        _ body: @escaping @Sendable (Element) async throws -> Answer?
    ) async throws -> [Answer] {
        try await withThrowingTaskGroup(of: Answer?.self) { group in
            var answers: [Answer] = []
            var waiting = elements[...]
            for element in waiting.prefix(16) {
                group.addTask { try await body(element) }
            }
            waiting = waiting.dropFirst(16)
            while let answer = try await group.next() {
                if let answer { answers.append(answer) }
                if let element = waiting.popFirst() {
                    group.addTask { try await body(element) }
                }
            }
            return answers
        }
    }
}
