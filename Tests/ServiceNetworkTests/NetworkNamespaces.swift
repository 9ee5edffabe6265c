import Foundation
import SystemPackage

@testable import ServiceNetwork

/// A machine with two pods, made of network namespaces: `host` with the bridge and rules, `pods[i]` plugged into it.
struct NetworkNamespaces {
    let host: String
    let pods: [String]
    let podAddresses = ["10.42.0.2", "10.42.0.3"]
    let configuration: NetworkConfiguration

    /// Makes the namespaces, runs `body` and removes them with every process that runs in them.
    static func with(_ body: (NetworkNamespaces) async throws -> Void) async throws {
        let id = String(UInt32.random(in: 0...0xFFFFFF), radix: 16)
        let network = NetworkNamespaces(
            host: "sn\(id)h",
            pods: ["sn\(id)a", "sn\(id)b"],
            configuration: NetworkConfiguration(
                id: id,
                podNetwork: IPv4Network("10.42.0.0/16")!,
                serviceNetwork: IPv4Network("10.43.0.0/16")!,
                directory: "/nowhere",
                apiPort: 6443
            )
        )
        do {
            try await network.make()
            try await body(network)
        } catch {
            await network.remove()
            throw error
        }
        await network.remove()
    }

    func apply(_ ruleset: NftablesRuleset) async throws {
        try await NetworkCommand.run("ip", ["netns", "exec", host, "nft", "-f", "-"], input: ruleset.text)
    }

    /// The output of a shell command in a namespace; its failure is part of the output.
    func shell(_ namespace: String, _ command: String) async throws -> String {
        try await NetworkCommand.run("ip", ["netns", "exec", namespace, "sh", "-c", "\(command) 2>&1 || echo failed"])
    }

    /// Answers every connection to `port` in `pods[pod]` with `text`, until the namespaces are removed.
    func serve(pod: Int, port: Int, text: String) async throws {
        let server = "setsid busybox nc -ll -p \(port) -e busybox echo \(text) </dev/null >/dev/null 2>&1 &"
        _ = try await shell(pods[pod], server)
        let deadline = ContinuousClock.now + .seconds(10)
        while try await shell(pods[pod], "busybox nc -w 1 127.0.0.1 \(port)") != "\(text)\n",
            ContinuousClock.now < deadline
        {
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    func connect(from namespace: String, _ address: String, _ port: Int) async throws -> String {
        try await shell(namespace, "busybox nc -w 20 \(address) \(port) </dev/null").trimmingCharacters(in: .newlines)
    }

    // MARK: - Private

    private func make() async throws {
        let bridge = configuration.bridge
        for namespace in [host] + pods {
            try await ip("netns", "add", namespace)
            try await ip("-n", namespace, "link", "set", "lo", "up")
        }
        try await ip("-n", host, "link", "add", "name", bridge, "type", "bridge")
        try await ip("-n", host, "address", "add", "10.42.0.1/16", "dev", bridge)
        try await ip("-n", host, "link", "set", bridge, "up")
        try await ip("-n", host, "route", "add", "10.43.0.0/16", "dev", bridge)
        for (index, pod) in pods.enumerated() {
            try await ip("-n", host, "link", "add", "p\(index)", "type", "veth", "peer", "name", "eth0", "netns", pod)
            try await ip("-n", host, "link", "set", "p\(index)", "master", bridge, "up")
            try await ip("-n", host, "link", "set", "p\(index)", "type", "bridge_slave", "hairpin", "on")
            try await ip("-n", pod, "address", "add", "\(podAddresses[index])/16", "dev", "eth0")
            try await ip("-n", pod, "link", "set", "eth0", "up")
            try await ip("-n", pod, "route", "add", "default", "via", "10.42.0.1")
        }
        let settings = """
            echo 1 > /proc/sys/net/ipv4/ip_forward
            echo 1 > /proc/sys/net/ipv4/conf/\(bridge)/route_localnet
            echo 1 > /sys/class/net/\(bridge)/bridge/nf_call_iptables
            """
        _ = try await shell(host, settings)
    }

    private func ip(_ arguments: String...) async throws {
        try await NetworkCommand.run("ip", arguments)
    }

    private func remove() async {
        for namespace in pods + [host] {
            _ = try? await NetworkCommand.run("sh", ["-c", "ip netns pids \(namespace) | xargs -r kill -9"])
            _ = try? await NetworkCommand.run("ip", ["netns", "delete", namespace])
        }
    }
}
