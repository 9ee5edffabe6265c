package import Logging

/// The service network's half of the drain barrier: a pod may be stopped once no new connection leads to it and nothing moves on those
/// that are open.
package struct EastWestDrain: Sendable {
    /// A connection on which no payload moved for this long counts as idle.
    package static let idleAfter = Duration.seconds(1)

    private let rules: ServiceRules
    private let configuration: NetworkConfiguration
    private let logger: Logger

    package init(rules: ServiceRules, configuration: NetworkConfiguration, logger: Logger) {
        self.rules = rules
        self.configuration = configuration
        self.logger = logger
    }

    /// `true` when nothing is in flight to `podAddress`; `false` when `deadline` passed before.
    package func withdraw(podAddress: String, deadline: ContinuousClock.Instant) async -> Bool {
        guard let address = IPv4Address(podAddress) else { return true }
        return await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await rules.withdraw(address)
                return await waitUntilIdle(address)
            }
            group.addTask {
                try? await Task.sleep(until: deadline)
                return false
            }
            defer { group.cancelAll() }
            return await group.next() ?? false
        }
    }

    // MARK: - Private

    private func waitUntilIdle(_ address: IPv4Address) async -> Bool {
        var observer = FlowObserver(idleAfter: Self.idleAfter)
        while !Task.isCancelled {
            do {
                let text = try await NetworkCommand.run("conntrack", ["-L", "-p", "tcp", "--reply-src", "\(address)"])
                let flows = TrackedFlow.parse(text).filter { $0.client != configuration.gatewayAddress }
                if observer.isIdle(flows, at: .now) { return true }
                try await Task.sleep(for: .milliseconds(50))
            } catch {
                logger.warning("cannot read open connections", metadata: ["pod": "\(address)", "error": "\(error)"])
                return true
            }
        }
        return false
    }
}

/// One established TCP connection as the kernel tracks it.
struct TrackedFlow: Hashable {
    let client: IPv4Address
    let clientPort: Int
    let serverPort: Int
    /// Bytes in both directions without the headers of about 52 bytes a packet, so that bare acknowledgements count as nothing.
    let payload: Int

    /// Reads `conntrack -L` output; only connections that are established matter.
    static func parse(_ text: String) -> [TrackedFlow] {
        text.split(separator: "\n").compactMap { line in
            guard line.contains(" ESTABLISHED ") else { return nil }
            var values: [Substring: [Substring]] = [:]
            for field in line.split(separator: " ") {
                let parts = field.split(separator: "=", maxSplits: 1)
                if parts.count == 2 { values[parts[0], default: []].append(parts[1]) }
            }
            guard let client = values["src"]?.first.flatMap({ IPv4Address($0) }),
                let clientPort = values["sport"]?.first.flatMap({ Int($0) }),
                let serverPort = values["dport"]?.first.flatMap({ Int($0) })
            else { return nil }
            let bytes = (values["bytes"] ?? []).compactMap { Int($0) }.reduce(0, +)
            let packets = (values["packets"] ?? []).compactMap { Int($0) }.reduce(0, +)
            return TrackedFlow(
                client: client,
                clientPort: clientPort,
                serverPort: serverPort,
                payload: bytes - packets * 52
            )
        }
    }
}

/// Decides from successive looks at the flows to a pod whether any is in use. Pure: time comes with each look.
struct FlowObserver {
    private struct Key: Hashable {
        let client: IPv4Address
        let clientPort: Int
        let serverPort: Int
    }

    private let idleAfter: Duration
    private var seen: [Key: (payload: Int, since: ContinuousClock.Instant)] = [:]

    init(idleAfter: Duration) { self.idleAfter = idleAfter }

    mutating func isIdle(_ flows: [TrackedFlow], at now: ContinuousClock.Instant) -> Bool {
        var next: [Key: (payload: Int, since: ContinuousClock.Instant)] = [:]
        for flow in flows {
            let key = Key(client: flow.client, clientPort: flow.clientPort, serverPort: flow.serverPort)
            // Header sizes vary with options; less than this between two looks is no payload.
            if let known = seen[key], abs(flow.payload - known.payload) < 48 {
                next[key] = known
            } else {
                next[key] = (flow.payload, now)
            }
        }
        seen = next
        return next.values.allSatisfy { now - $0.since >= idleAfter }
    }
}
