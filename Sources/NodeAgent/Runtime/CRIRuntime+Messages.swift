import Foundation
import GRPCCore
import KubernetesModel
import SwiftProtobuf

// MARK: - From the wire

extension RuntimeError {
    init(_ error: RPCError) {
        let code: Code =
            switch error.code {
            case .notFound: .notFound
            case .alreadyExists: .alreadyExists
            case .deadlineExceeded: .deadlineExceeded
            case .unavailable: .unavailable
            default: .other
            }
        self.init(code: code, message: error.message)
    }
}

extension RuntimeEvent {
    /// `nil` for events of processes beside the first one of a container.
    init?(_ envelope: Containerd_Services_Events_V1_Envelope) throws {
        switch envelope.topic {
        case "/tasks/exit":
            let exit = try Containerd_Services_Events_V1_TaskExit(serializedBytes: envelope.event.value)
            guard exit.id.isEmpty || exit.id == exit.containerID else { return nil }
            self = .exited(containerID: exit.containerID)
        case "/tasks/oom":
            let kill = try Containerd_Services_Events_V1_TaskOOM(serializedBytes: envelope.event.value)
            self = .outOfMemory(containerID: kill.containerID)
        default: return nil
        }
    }
}

extension Timestamp {
    /// `nil` for zero, which CRI writes for what has not happened.
    fileprivate init?(nanoseconds: Int64) {
        guard nanoseconds > 0 else { return nil }
        self.init(seconds: nanoseconds / 1_000_000_000, nanoseconds: Int32(nanoseconds % 1_000_000_000))
    }
}

extension Sandbox {
    init(_ status: Runtime_V1_PodSandboxStatus) {
        self.init(
            id: status.id,
            name: status.metadata.name,
            namespace: status.metadata.namespace,
            podUID: status.metadata.uid,
            attempt: Int(status.metadata.attempt),
            isReady: status.state == .sandboxReady,
            createdAt: Timestamp(nanoseconds: status.createdAt) ?? Timestamp(seconds: 0),
            addresses: ([status.network.ip] + status.network.additionalIps.map(\.ip)).filter { !$0.isEmpty }
        )
    }
}

extension Container {
    init(_ status: Runtime_V1_ContainerStatus, sandboxID: String) {
        self.init(
            id: status.id,
            sandboxID: sandboxID,
            name: status.metadata.name,
            attempt: Int(status.metadata.attempt),
            state: status.wasStartCutOff ? .created : State(status.state),
            createdAt: Timestamp(nanoseconds: status.createdAt) ?? Timestamp(seconds: 0),
            startedAt: Timestamp(nanoseconds: status.startedAt),
            finishedAt: Timestamp(nanoseconds: status.finishedAt),
            exitCode: Int(status.exitCode),
            reason: status.reason,
            message: status.message,
            image: status.image.image,
            imageReference: status.imageRef,
            labels: status.labels,
            annotations: status.annotations,
            logPath: status.logPath
        )
    }
}

extension Runtime_V1_ContainerStatus {
    /// containerd gives a start up when the agent that asked for it goes away, and calls the container one that has exited. Before it
    /// has a task it never ran: an agent that comes back may start it, even where nothing is to be run twice.
    fileprivate var wasStartCutOff: Bool {
        state == .containerExited && reason == "StartError" && message.hasPrefix("failed to create containerd task")
            && ["context canceled", "signal: killed"].contains { message.contains($0) }
    }
}

extension Container.State {
    init(_ state: Runtime_V1_ContainerState) {
        self =
            switch state {
            case .containerCreated: .created
            case .containerRunning: .running
            case .containerExited: .exited
            case .containerUnknown, .UNRECOGNIZED: .unknown
            }
    }
}

extension ContainerStatistics {
    init(_ stats: Runtime_V1_ContainerStats) {
        self.init(
            labels: stats.attributes.labels,
            cpuNanoseconds: stats.cpu.usageCoreNanoSeconds.value,
            workingSetBytes: stats.memory.workingSetBytes.value
        )
    }
}

extension RuntimeImage {
    init(_ image: Runtime_V1_Image) {
        self.init(
            id: image.id,
            tags: image.repoTags,
            digests: image.repoDigests,
            size: image.size,
            userID: image.hasUid ? Int(image.uid.value) : nil,
            userName: image.username
        )
    }
}

// MARK: - To the wire

extension Runtime_V1_AuthConfig {
    init(_ credentials: RegistryCredentials) {
        self.init()
        username = credentials.userName
        password = credentials.password
        auth = credentials.auth
        identityToken = credentials.identityToken
    }
}

extension Runtime_V1_Int64Value {
    fileprivate init(_ value: Int) {
        self.init()
        self.value = Int64(value)
    }
}

extension Runtime_V1_NamespaceOption {
    fileprivate init(_ namespaces: Namespaces) {
        self.init()
        network = namespaces.usesHostNetwork ? .node : .pod
        pid = namespaces.usesHostPID ? .node : namespaces.sharesPIDInPod ? .pod : .container
        ipc = namespaces.usesHostIPC ? .node : .pod
    }
}

extension Runtime_V1_PodSandboxConfig {
    init(_ specification: SandboxSpecification) {
        self.init()
        metadata = .with {
            $0.name = specification.name
            $0.namespace = specification.namespace
            $0.uid = specification.podUID
            $0.attempt = UInt32(specification.attempt)
        }
        hostname = specification.hostName
        logDirectory = specification.logDirectory
        dnsConfig = .with {
            $0.servers = specification.dns.servers
            $0.searches = specification.dns.searches
            $0.options = specification.dns.options
        }
        portMappings = specification.portMappings.map(Runtime_V1_PortMapping.init)
        labels = specification.labels
        annotations = specification.annotations
        linux.cgroupParent = specification.cgroupParent
        linux.sysctls = specification.sysctls
        linux.securityContext = .with {
            $0.namespaceOptions = .init(specification.namespaces)
            $0.supplementalGroups = specification.supplementalGroups.map(Int64.init)
            $0.privileged = specification.isPrivileged
        }
    }
}

extension Runtime_V1_PortMapping {
    fileprivate init(_ mapping: SandboxSpecification.PortMapping) {
        self.init()
        `protocol` = mapping.isUDP ? .udp : .tcp
        containerPort = Int32(mapping.containerPort)
        hostPort = Int32(mapping.hostPort)
        hostIp = mapping.hostAddress
    }
}

extension Runtime_V1_ContainerConfig {
    init(_ specification: ContainerSpecification) {
        self.init()
        metadata = .with {
            $0.name = specification.name
            $0.attempt = UInt32(specification.attempt)
        }
        image.image = specification.image
        command = specification.command
        args = specification.arguments
        workingDir = specification.workingDirectory
        envs = specification.environment.map { variable in
            .with {
                $0.key = variable.name
                $0.value = Data(variable.value.utf8)
            }
        }
        mounts = specification.mounts.map(Runtime_V1_Mount.init)
        labels = specification.labels
        annotations = specification.annotations
        logPath = specification.logPath
        (stdin, stdinOnce, tty) = (specification.stdin, specification.stdinOnce, specification.isTerminal)
        linux.resources = .init(specification.resources)
        linux.securityContext = .init(specification.security)
    }
}

extension Runtime_V1_Mount {
    fileprivate init(_ mount: ContainerSpecification.Mount) {
        self.init()
        containerPath = mount.containerPath
        hostPath = mount.hostPath
        readonly = mount.isReadOnly
        propagation =
            switch mount.propagation {
            case .none: .propagationPrivate
            case .hostToContainer: .propagationHostToContainer
            case .bidirectional: .propagationBidirectional
            }
    }
}

extension Runtime_V1_LinuxContainerResources {
    fileprivate init(_ resources: ContainerResources) {
        self.init()
        cpuPeriod = Int64(resources.cpuPeriod)
        cpuQuota = Int64(resources.cpuQuota)
        cpuShares = Int64(resources.cpuShares)
        memoryLimitInBytes = Int64(resources.memoryLimit)
        oomScoreAdj = Int64(resources.outOfMemoryScoreAdjustment)
    }
}

extension Runtime_V1_LinuxContainerSecurityContext {
    fileprivate init(_ security: ContainerSecurity) {
        self.init()
        if let user = security.runAsUser { runAsUser = .init(user) }
        if let group = security.runAsGroup { runAsGroup = .init(group) }
        supplementalGroups = security.supplementalGroups.map(Int64.init)
        privileged = security.isPrivileged
        readonlyRootfs = security.hasReadOnlyRoot
        noNewPrivs = security.forbidsNewPrivileges
        capabilities.addCapabilities = security.addedCapabilities
        capabilities.dropCapabilities = security.droppedCapabilities
        namespaceOptions = .init(security.namespaces)
        seccomp = .with {
            switch security.seccomp {
            case .runtimeDefault: $0.profileType = .runtimeDefault
            case .unconfined: $0.profileType = .unconfined
            case .localhost(let path):
                $0.profileType = .localhost
                $0.localhostRef = path
            }
        }
        if !security.isPrivileged {
            maskedPaths = Self.maskedPaths
            readonlyPaths = Self.readOnlyPaths
        }
    }

    /// What every container runtime hides of /proc and /sys by default.
    private static let maskedPaths = [
        "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
        "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
    ]
    private static let readOnlyPaths = [
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
    ]
}
