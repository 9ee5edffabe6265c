import Foundation
import KubernetesModel

extension SandboxSpecification {
    init(_ pod: Pod, attempt: Int, context: NodeContext) {
        let configuration = context.configuration
        self.init(
            name: pod.name,
            namespace: pod.namespace,
            podUID: pod.uid,
            attempt: attempt,
            hostName: Self.hostName(of: pod, context: context),
            logDirectory: "\(configuration.logsDirectory)/\(pod.logFolder)",
            dns: DNS(
                for: pod,
                clusterAddress: configuration.clusterDNS,
                domain: configuration.clusterDomain,
                host: context.hostDNS
            ),
            portMappings: Self.portMappings(of: pod),
            labels: pod.labels.merging(Self.labels(of: pod)) { _, ours in ours },
            annotations: pod.annotations,
            cgroupParent: CgroupTree(identifier: configuration.identifier).pod(pod.uid),
            namespaces: pod.namespaces,
            sysctls: Self.sysctls(of: pod),
            supplementalGroups: ContainerSecurity.groups(pod.securityContext),
            isPrivileged: pod.containers.contains { $0.securityContext["privileged"]?.bool ?? false }
        )
    }

    static func labels(of pod: Pod) -> [String: String] {
        [Label.podName: pod.name, Label.podNamespace: pod.namespace, Label.podUID: pod.uid]
    }

    /// At most 63 characters; a pod on the node's network has the node's name.
    static func hostName(of pod: Pod, context: NodeContext) -> String {
        if pod.namespaces.usesHostNetwork { return context.configuration.nodeName }
        var name = (pod.spec["hostname"]?.string ?? pod.name).prefix(63)
        while let last = name.last, last == "-" || last == "." { name.removeLast() }
        return String(name)
    }

    private static func portMappings(of pod: Pod) -> [PortMapping] {
        guard !pod.namespaces.usesHostNetwork else { return [] }
        return pod.mainContainers.flatMap(\.ports).compactMap { port in
            guard let host = port["hostPort"]?.int, host > 0, let own = port["containerPort"]?.int else { return nil }
            return PortMapping(
                containerPort: own,
                hostPort: host,
                hostAddress: port["hostIP"]?.string ?? "",
                isUDP: port["protocol"]?.string == "UDP"
            )
        }
    }

    private static func sysctls(of pod: Pod) -> [String: String] {
        let list = pod.securityContext["sysctls"]?.array ?? []
        return list.reduce(into: [:]) { map, entry in
            if let name = entry["name"]?.string { map[name] = entry["value"]?.string }
        }
    }
}

extension ContainerSpecification {
    /// - Throws: ``ConfigurationError`` for what cannot be given.
    init(
        _ definition: ContainerDefinition,
        in pod: Pod,
        attempt: Int,
        image: RuntimeImage,
        environment: [Variable],
        volumes: [String: PodVolumes.Prepared],
        context: NodeContext
    ) throws {
        let values = environment.reduce(into: [:]) { $0[$1.name] = $1.value }
        func strings(_ field: String) -> [String] {
            let list = definition.json[field]?.array?.compactMap(\.string) ?? []
            return list.map { VariableExpansion.expand($0, values) }
        }
        let capacity = context.configuration.capacity
        self.init(
            name: definition.name,
            attempt: attempt,
            image: image.id,
            command: strings("command"),
            arguments: strings("args"),
            workingDirectory: definition.json["workingDir"]?.string ?? "",
            environment: environment,
            mounts: try ContainerMounts(volumes: volumes, environment: values).mounts(of: definition),
            labels: SandboxSpecification.labels(of: pod).merging([Label.containerName: definition.name]) { $1 },
            annotations: Self.annotations(definition, pod, attempt),
            logPath: "\(definition.name)/\(attempt).log",
            stdin: definition.json["stdin"]?.bool ?? false,
            stdinOnce: definition.json["stdinOnce"]?.bool ?? false,
            isTerminal: definition.json["tty"]?.bool ?? false,
            resources: ContainerResources(
                definition,
                qualityOfService: pod.qualityOfService,
                nodeMemory: capacity.memoryBytes
            ),
            security: try ContainerSecurity(definition, in: pod, image: image)
        )
        addPodMounts(definition, pod, context.configuration.podDirectory(pod.uid))
    }

    private static func annotations(_ definition: ContainerDefinition, _ pod: Pod, _ attempt: Int) -> [String: String] {
        [
            Annotation.hash: definition.hash, Annotation.restartCount: "\(attempt)",
            Annotation.terminationMessagePath: messagePath(definition),
            Annotation.terminationMessagePolicy: definition.json["terminationMessagePolicy"]?.string ?? "File",
            Annotation.terminationGracePeriod: "\(pod.gracePeriod.components.seconds)",
        ]
    }

    private static func messagePath(_ definition: ContainerDefinition) -> String {
        definition.json["terminationMessagePath"]?.string ?? "/dev/termination-log"
    }

    /// The pod's hosts file and the file of the container's last words, unless a volume takes their place.
    private mutating func addPodMounts(_ definition: ContainerDefinition, _ pod: Pod, _ directory: String) {
        let taken = Set(mounts.map(\.containerPath))
        if !pod.namespaces.usesHostNetwork, !taken.contains("/etc/hosts") {
            mounts.append(Mount(containerPath: "/etc/hosts", hostPath: "\(directory)/etc-hosts"))
        }
        let path = Self.messagePath(definition)
        if !taken.contains(path) {
            let file = TerminationMessage.path(podDirectory: directory, container: name, attempt: attempt)
            mounts.append(Mount(containerPath: path, hostPath: file))
        }
    }
}
