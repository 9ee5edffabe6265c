import Foundation
import SystemPackage

/// The bridge that pods are plugged into. It exists before the first pod, so that the servers on this machine can listen on its address.
package struct PodBridge: Sendable {
    private let configuration: NetworkConfiguration

    package init(_ configuration: NetworkConfiguration) { self.configuration = configuration }

    /// Makes what is missing and leaves the rest alone.
    package func setUp() async throws {
        try writeNetworkList()
        if !exists {
            try await NetworkCommand.run("ip", ["link", "add", "name", configuration.bridge, "type", "bridge"])
        }
        let address = "\(configuration.gatewayAddress)/\(configuration.podNetwork.prefixLength)"
        try await NetworkCommand.run("ip", ["address", "replace", address, "dev", configuration.bridge])
        try await NetworkCommand.run("ip", ["link", "set", configuration.bridge, "up"])
        // Programs on this machine reach services by this route; the translation to pods happens behind it.
        let services = configuration.serviceNetwork.description
        try await NetworkCommand.run("ip", ["route", "replace", services, "dev", configuration.bridge])
        try writeKernelSettings()
    }

    /// Removes bridge, rules and address records: nothing of this network stays on the machine.
    package func removeEverything() async throws {
        if exists { try await NetworkCommand.run("ip", ["link", "delete", configuration.bridge]) }
        try await NetworkCommand.run("nft", ["-f", "-"], input: NftablesRuleset.removal(of: configuration))
        try? FileManager.default.removeItem(atPath: configuration.directory.string)
    }

    // MARK: - Private

    private var exists: Bool { FileManager.default.fileExists(atPath: "/sys/class/net/\(configuration.bridge)") }

    private func writeNetworkList() throws {
        let folder = configuration.cniConfigurationDirectory
        try FileManager.default.createDirectory(atPath: folder.string, withIntermediateDirectories: true)
        let file = folder.appending("10-sampan.conflist").string
        try configuration.cniNetworkList.write(toFile: file, atomically: true, encoding: .utf8)
    }

    /// Packets between pods of one bridge must pass the rules too, or answers would skip the translation back.
    private func writeKernelSettings() throws {
        let settings = [
            "/proc/sys/net/ipv4/ip_forward": "1",
            "/sys/class/net/\(configuration.bridge)/bridge/nf_call_iptables": "1",
            "/proc/sys/net/ipv4/conf/\(configuration.bridge)/route_localnet": "1",
            "/proc/sys/net/netfilter/nf_conntrack_acct": "1",
        ]
        for (file, value) in settings {
            do {
                try value.write(toFile: file, atomically: false, encoding: .utf8)
            } catch {
                throw NetworkCommand.Failure(
                    description: "cannot set \(file) to \(value): \(error.localizedDescription)"
                )
            }
        }
    }
}
