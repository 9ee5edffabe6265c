import Foundation
import Glibc
import KubernetesClient
import KubernetesModel
import Logging

/// Makes the node known to the cluster and says every ten seconds that it lives.
struct NodeRegistration: Sendable {
    private static let interval = Duration.seconds(10)
    private static let leaseNamespace = "kube-node-lease"
    private static let leaseSeconds = 40

    let context: NodeContext

    /// Until the task is cancelled; failures are logged and tried again.
    func run() async throws {
        var isRegistered = false
        while !Task.isCancelled {
            do {
                if !isRegistered {
                    try await register()
                    isRegistered = true
                }
                try await renewLease()
                _ = try await context.runtime.version()
                try await Task.sleep(for: Self.interval)
            } catch is CancellationError {
                return
            } catch let error as RuntimeError {
                context.logger.warning("The runtime does not answer", metadata: ["error": "\(error)"])
                if isRegistered { try? await setNotReady("container runtime is down: \(error.message)") }
                isRegistered = false
                try await Task.sleep(for: .seconds(1))
            } catch {
                context.logger.warning("Node could not be announced", metadata: ["error": "\(error)"])
                isRegistered = false
                try await Task.sleep(for: .milliseconds(500))
            }
        }
    }

    // MARK: - Node

    private func register() async throws {
        let version = try await context.runtime.version()
        let name = context.configuration.nodeName
        if let present = try await context.client.find(.nodes, namespace: nil, name: name) {
            var node = present
            for (label, value) in labels { node["metadata", "labels", label] = .string(value) }
            node = try await context.client.update(.nodes, node)
            node["status"] = status(version: version, previous: node["status"])
            _ = try await context.client.update(.nodes, node, subresource: "status")
        } else {
            var node = try await context.client.create(.nodes, object)
            node["status"] = status(version: version, previous: nil)
            _ = try await context.client.update(.nodes, node, subresource: "status")
        }
        context.logger.info("Node is registered", metadata: ["node": "\(name)", "runtime": "\(version)"])
    }

    private func setNotReady(_ message: String) async throws {
        let name = context.configuration.nodeName
        guard var node = try await context.client.find(.nodes, namespace: nil, name: name) else { return }
        let others = (node["status", "conditions"]?.array ?? []).filter { $0["type"]?.string != "Ready" }
        let now = JSON.string(context.now().description)
        let condition: JSON = [
            "type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": .string(message),
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        ]
        node["status", "conditions"] = .array(others + [condition])
        _ = try await context.client.update(.nodes, node, subresource: "status")
    }

    private var object: JSON {
        [
            "apiVersion": "v1", "kind": "Node",
            "metadata": ["name": .string(context.configuration.nodeName), "labels": JSON(labels)],
            "spec": [:],
        ]
    }

    private var labels: [String: String] {
        [
            "kubernetes.io/hostname": context.configuration.nodeName, "kubernetes.io/os": "linux",
            "kubernetes.io/arch": ImageArchive.architecture, "beta.kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": ImageArchive.architecture,
        ].merging(context.configuration.labels) { _, own in own }
    }

    private func status(version: String, previous: JSON?) -> JSON {
        let amounts = JSON(context.configuration.capacity.quantities.mapValues(\.description))
        var status = previous ?? [:]
        status["capacity"] = amounts
        status["allocatable"] = amounts
        status["addresses"] = [
            ["type": "InternalIP", "address": .string(context.configuration.address)],
            ["type": "Hostname", "address": .string(context.configuration.nodeName)],
        ]
        status["nodeInfo"] = nodeInfo(version: version)
        status["conditions"] = .array(conditions(previous))
        return status
    }

    private func conditions(_ previous: JSON?) -> [JSON] {
        let now = JSON.string(context.now().description)
        let pressures = ["MemoryPressure", "DiskPressure", "PIDPressure"].map {
            ($0, "False", "KubeletHasSufficientResources")
        }
        return (pressures + [("Ready", "True", "KubeletReady")]).map { type, value, reason in
            let old = previous?["conditions"]?.array?.first { $0["type"]?.string == type }
            let since = old?["status"]?.string == value ? old?["lastTransitionTime"] : nil
            return [
                "type": .string(type), "status": .string(value), "reason": .string(reason),
                "message": type == "Ready"
                    ? "the node agent is posting ready status" : "the node has sufficient resources",
                "lastHeartbeatTime": now, "lastTransitionTime": since ?? now,
            ]
        }
    }

    private func nodeInfo(version: String) -> JSON {
        var system = utsname()
        uname(&system)
        let release = withUnsafeBytes(of: system.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return [
            "kubeletVersion": "v1.36.0", "kubeProxyVersion": "", "containerRuntimeVersion": .string(version),
            "kernelVersion": .string(release), "osImage": .string(Self.osImage), "operatingSystem": "linux",
            "architecture": .string(ImageArchive.architecture), "machineID": .string(Self.text("/etc/machine-id")),
            "bootID": .string(Self.text("/proc/sys/kernel/random/boot_id")), "systemUUID": "",
        ]
    }

    private static var osImage: String {
        let line = text("/etc/os-release").split(separator: "\n").first { $0.hasPrefix("PRETTY_NAME=") }
        return line.map { $0.dropFirst(12).trimmingCharacters(in: ["\""]) } ?? "Linux"
    }

    private static func text(_ path: String) -> String {
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    // MARK: - Lease

    private func renewLease() async throws {
        let name = context.configuration.nodeName
        let time = JSON.string(context.now().microDescription)
        do {
            _ = try await context.client.patch(
                .leases,
                namespace: Self.leaseNamespace,
                name: name,
                .merge(["spec": ["renewTime": time]])
            )
        } catch let error as StatusError where error.isNotFound {
            try await createLease(name, time)
        }
    }

    private func createLease(_ name: String, _ time: JSON) async throws {
        let lease: JSON = [
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": ["name": .string(name), "namespace": .string(Self.leaseNamespace)],
            "spec": [
                "holderIdentity": .string(name), "leaseDurationSeconds": JSON(Self.leaseSeconds), "renewTime": time,
            ],
        ]
        do {
            _ = try await context.client.create(.leases, namespace: Self.leaseNamespace, lease)
        } catch let error as StatusError where error.isNotFound {
            let namespace: JSON = [
                "apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(Self.leaseNamespace)],
            ]
            _ = try await context.client.create(.namespaces, namespace)
            _ = try await context.client.create(.leases, namespace: Self.leaseNamespace, lease)
        }
    }
}
