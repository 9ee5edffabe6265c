import Foundation
import KubernetesClient
import KubernetesModel
import Logging
import Synchronization

/// What all pods of a node share.
final class NodeContext: Sendable {
    let client: any ClusterClient
    let runtime: any ContainerRuntime
    let configuration: NodeAgent.Configuration
    let drains: [any TrafficDrain]
    let events: EventRecorder
    let prober: Prober
    let logger: Logger
    let now: @Sendable () -> Timestamp
    /// Which pod a container or sandbox belongs to, by id, so that the runtime's events reach the right worker.
    private let owners = Mutex<[String: String]>([:])

    init(
        client: any ClusterClient,
        runtime: any ContainerRuntime,
        configuration: NodeAgent.Configuration,
        drains: [any TrafficDrain],
        logger: Logger,
        now: @escaping @Sendable () -> Timestamp = { .present }
    ) {
        self.client = client
        self.runtime = runtime
        self.configuration = configuration
        self.drains = drains
        self.logger = logger
        self.now = now
        events = EventRecorder(client, component: "kubelet", host: configuration.nodeName, logger: logger)
        prober = Prober(runtime: runtime)
    }

    func owner(of id: String) -> String? { owners.withLock { $0[id] } }

    func claim(_ ids: [String], for podUID: String) {
        owners.withLock { owners in
            for id in ids { owners[id] = podUID }
        }
    }

    func release(podUID: String) {
        owners.withLock { owners in owners = owners.filter { $0.value != podUID } }
    }

    func facts(about pod: Pod, addresses: [String]) -> DownwardFacts {
        DownwardFacts(
            pod: pod,
            hostAddress: configuration.address,
            podAddresses: pod.namespaces.usesHostNetwork ? [configuration.address] : addresses,
            allocatable: configuration.capacity.quantities
        )
    }

    var hostDNS: SandboxSpecification.DNS {
        SandboxSpecification.DNS(
            resolverConfiguration: (try? String(contentsOfFile: "/etc/resolv.conf", encoding: .utf8)) ?? ""
        )
    }

    /// Where the API is, and the services of the pod's namespace that exist now unless it wants none (`enableServiceLinks`), for the
    /// environment of a container.
    func serviceVariables(for pod: Pod) async throws -> [ContainerSpecification.Variable] {
        var services: [JSON] = []
        if pod.spec["enableServiceLinks"]?.bool ?? true {
            services = try await client.list(.services, namespace: pod.namespace).items
        }
        if let service = configuration.kubernetesService {
            services.removeAll { $0["metadata", "name"] == "kubernetes" }
            services.append([
                "metadata": ["name": "kubernetes"],
                "spec": [
                    "clusterIP": .string(service.host), "ports": [["name": "https", "port": JSON(service.port)]],
                ],
            ])
        }
        return ServiceLinks.variables(of: services)
    }
}
