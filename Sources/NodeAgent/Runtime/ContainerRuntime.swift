import KubernetesModel

/// What runs sandboxes and containers: the Container Runtime Interface in the terms of this program.
///
/// All calls may be made from any task and give up when the task is cancelled; a call that was given up may still have taken effect.
/// Failures are ``RuntimeError``s. Stopping or removing what is gone succeeds.
protocol ContainerRuntime: Sendable {
    /// Keeps the connection until the task is cancelled; without it every other call waits.
    func run() async throws
    /// The name and version of the runtime, such as `containerd://1.6.20`.
    func version() async throws -> String

    /// The sandboxes of one pod, or of all; newest first.
    func sandboxes(podUID: String?) async throws -> [Sandbox]
    func runSandbox(_ specification: SandboxSpecification) async throws -> String
    func stopSandbox(_ id: String) async throws
    /// Removes the sandbox with its containers.
    func removeSandbox(_ id: String) async throws

    /// The containers of one pod, or of all, with their full state; newest first.
    func containers(podUID: String?) async throws -> [Container]
    func createContainer(
        _ specification: ContainerSpecification,
        sandboxID: String,
        sandbox: SandboxSpecification
    ) async throws -> String
    func startContainer(_ id: String) async throws
    /// Sends the stop signal, and SIGKILL after `gracePeriod`; returns when the container has exited.
    func stopContainer(_ id: String, gracePeriod: Duration) async throws
    func removeContainer(_ id: String) async throws
    func reopenLog(_ id: String) async throws
    func statistics() async throws -> [ContainerStatistics]

    func execute(_ command: [String], in id: String, timeout: Duration) async throws -> ExecutionResult
    func streamingURL(_ request: StreamingRequest) async throws -> String

    /// The image that `reference` names here, or `nil`.
    func image(_ reference: String) async throws -> RuntimeImage?
    func images() async throws -> [RuntimeImage]
    /// Answers with the reference by which a container is made from the image.
    func pullImage(_ reference: String, credentials: RegistryCredentials?) async throws -> String
    func removeImage(_ reference: String) async throws

    /// Tells of exits and out-of-memory kills as they happen, one at a time. Returns or throws when the connection breaks; what
    /// happened before the next call has taken hold is not told, so whoever listens must look at the state again.
    func watchEvents(_ handle: @escaping @Sendable (RuntimeEvent) -> Void) async throws
}

enum RuntimeEvent: Hashable, Sendable {
    /// The first process of a container or sandbox ended.
    case exited(containerID: String)
    case outOfMemory(containerID: String)
}

struct Sandbox: Hashable, Sendable {
    var id: String
    var name: String
    var namespace: String
    var podUID: String
    var attempt: Int
    var isReady: Bool
    var createdAt: Timestamp
    var addresses: [String]
}

struct Container: Hashable, Sendable {
    enum State: Hashable, Sendable { case created, running, exited, unknown }

    var id: String
    var sandboxID: String
    var name: String
    /// Counts the runs of this container in its pod, from zero.
    var attempt: Int
    var state: State
    var createdAt: Timestamp
    var startedAt: Timestamp?
    var finishedAt: Timestamp?
    var exitCode = 0
    var reason = ""
    var message = ""
    var image = ""
    var imageReference = ""
    var labels: [String: String] = [:]
    var annotations: [String: String] = [:]
    var logPath = ""
}

struct ContainerStatistics: Hashable, Sendable {
    var labels: [String: String]
    var cpuNanoseconds: UInt64
    var workingSetBytes: UInt64
}

struct ExecutionResult: Hashable, Sendable {
    var exitCode: Int
    var output: [UInt8]
    var errorOutput: [UInt8]
}

enum StreamingRequest: Hashable, Sendable {
    case execute(containerID: String, command: [String], isTerminal: Bool, stdin: Bool, stdout: Bool, stderr: Bool)
    case attach(containerID: String, isTerminal: Bool, stdin: Bool, stdout: Bool, stderr: Bool)
    case portForward(sandboxID: String, ports: [Int])
}

struct RuntimeImage: Hashable, Sendable {
    var id: String
    var tags: [String]
    var digests: [String]
    var size: UInt64
    /// The numeric user that the image runs as, `nil` where it names one by ``userName`` or none.
    var userID: Int?
    var userName = ""
}

struct RegistryCredentials: Hashable, Sendable {
    var userName = ""
    var password = ""
    /// The two above as `base64(user:password)`.
    var auth = ""
    var identityToken = ""
}

struct RuntimeError: Error, Hashable, CustomStringConvertible {
    enum Code: Hashable, Sendable { case notFound, alreadyExists, deadlineExceeded, unavailable, other }

    var code: Code
    var message: String
    var description: String { message }

    /// Whether a registry could not be reached because nothing listens there, in containerd's words.
    var isRefusedConnection: Bool { message.contains("connection refused") }
}

// MARK: - What is asked for

struct SandboxSpecification: Hashable, Sendable {
    struct DNS: Hashable, Sendable {
        var servers: [String] = []
        var searches: [String] = []
        var options: [String] = []
    }
    struct PortMapping: Hashable, Sendable {
        var containerPort: Int
        var hostPort: Int
        var hostAddress: String
        var isUDP: Bool
    }

    var name: String
    var namespace: String
    var podUID: String
    var attempt: Int
    var hostName: String
    var logDirectory: String
    var dns: DNS
    var portMappings: [PortMapping] = []
    var labels: [String: String] = [:]
    var annotations: [String: String] = [:]
    var cgroupParent: String
    var namespaces = Namespaces()
    var sysctls: [String: String] = [:]
    var supplementalGroups: [Int] = []
    var isPrivileged = false
}

/// Which kernel namespaces a pod shares with the node, or its containers with each other.
struct Namespaces: Hashable, Sendable {
    var usesHostNetwork = false
    var usesHostPID = false
    var usesHostIPC = false
    var sharesPIDInPod = false
}

struct ContainerSpecification: Hashable, Sendable {
    struct Mount: Hashable, Sendable {
        enum Propagation: String, Hashable, Sendable {
            case none = "None", hostToContainer = "HostToContainer", bidirectional = "Bidirectional"
        }

        var containerPath: String
        var hostPath: String
        var isReadOnly = false
        var propagation = Propagation.none
    }
    struct Variable: Hashable, Sendable {
        var name: String
        var value: String
    }

    var name: String
    var attempt: Int
    /// As answered by ``ContainerRuntime/pullImage(_:credentials:)`` or ``RuntimeImage/id``.
    var image: String
    var command: [String] = []
    var arguments: [String] = []
    var workingDirectory = ""
    var environment: [Variable] = []
    var mounts: [Mount] = []
    var labels: [String: String] = [:]
    var annotations: [String: String] = [:]
    /// Relative to ``SandboxSpecification/logDirectory``.
    var logPath: String
    var stdin = false
    var stdinOnce = false
    var isTerminal = false
    var resources = ContainerResources()
    var security = ContainerSecurity()
}

/// Limits in the units of cgroups; zero is none.
struct ContainerResources: Hashable, Sendable {
    var cpuPeriod = 0
    var cpuQuota = 0
    var cpuShares = 0
    var memoryLimit = 0
    var outOfMemoryScoreAdjustment = 0
}

struct ContainerSecurity: Hashable, Sendable {
    enum Seccomp: Hashable, Sendable { case runtimeDefault, unconfined, localhost(String) }

    var runAsUser: Int?
    var runAsGroup: Int?
    var supplementalGroups: [Int] = []
    var isPrivileged = false
    var hasReadOnlyRoot = false
    var forbidsNewPrivileges = false
    var addedCapabilities: [String] = []
    var droppedCapabilities: [String] = []
    var seccomp = Seccomp.unconfined
    var namespaces = Namespaces()
}
