import Foundation
import Glibc
import KubernetesModel

extension NodeAgent {
    package struct Configuration: Sendable {
        /// Where containers find the API.
        package struct Service: Hashable, Sendable {
            package var host: String
            package var port: Int

            package init(host: String, port: Int) {
                self.host = host
                self.port = port
            }
        }

        /// The platform's home; the agent uses `pods` and `logs` below it.
        package var home: String
        /// Tells the control groups of this home from those of others; letters, digits and hyphens.
        package var identifier: String
        package var runtimeSocketPath: String
        package var nodeName: String
        /// The address of the node: `status.hostIP` of pods, and their own with `hostNetwork`.
        package var address: String
        /// Where pods ask for names; without it they use the node's resolver.
        package var clusterDNS: String?
        package var clusterDomain = "cluster.local"
        package var kubernetesService: Service?
        package var capacity = NodeCapacity.thisMachine
        package var labels: [String: String] = [:]

        package init(
            home: String,
            identifier: String,
            runtimeSocketPath: String,
            nodeName: String = NodeAgent.hostName,
            address: String = "127.0.0.1",
            clusterDNS: String? = nil,
            kubernetesService: Service? = nil
        ) {
            self.home = home
            self.identifier = identifier
            self.runtimeSocketPath = runtimeSocketPath
            self.nodeName = nodeName
            self.address = address
            self.clusterDNS = clusterDNS
            self.kubernetesService = kubernetesService
        }

        func podDirectory(_ uid: String) -> String { "\(podsDirectory)/\(uid)" }
        var podsDirectory: String { "\(home)/pods" }
        var logsDirectory: String { "\(home)/logs/pods" }
    }

    /// The name of this machine in lower case.
    package static var hostName: String {
        ProcessInfo.processInfo.hostName.lowercased().split(separator: ".").first.map(String.init) ?? "localhost"
    }
}

/// What a node has.
package struct NodeCapacity: Hashable, Sendable {
    package var cpus: Int
    package var memoryBytes: Int
    package var pods: Int

    package init(cpus: Int, memoryBytes: Int, pods: Int = 250) {
        self.cpus = cpus
        self.memoryBytes = memoryBytes
        self.pods = pods
    }

    package static var thisMachine: NodeCapacity {
        NodeCapacity(
            cpus: ProcessInfo.processInfo.activeProcessorCount,
            memoryBytes: Int(clamping: ProcessInfo.processInfo.physicalMemory)
        )
    }

    var quantities: [String: Quantity] {
        [
            "cpu": Quantity(value: Int64(cpus)),
            "memory": Quantity(value: Int64(memoryBytes / 1024) * 1024, format: .binary),
            "pods": Quantity(value: Int64(pods)),
        ]
    }
}
