import CLinux
import Logging
import ServiceLifecycle

/// Sends the active checks that the backends' policies ask for, and ends and makes ejections by time. Workers read the outcome from the
/// endpoints' records. Frees what tables of the past held, so that no worker has to.
///
/// At most ``maximumChecks`` checks run at once; one that finds no room is late, never lost. The first checks of a backend start at once,
/// later ones are spread by a tenth of the interval, so that endpoints are not asked in step.
struct BackendWatch: Service {
    static let maximumChecks = 256
    /// Milliseconds between looks at what is due, and at whether there is anything to look at.
    static let period: UInt64 = 20
    static let idlePeriod: UInt64 = 250

    private let plane: DataPlane
    private let logger: Logger

    init(plane: DataPlane, logger: Logger) {
        self.plane = plane
        self.logger = logger
    }

    func run() async {
        await cancelWhenGracefulShutdown { await self.watch() }
    }

    // MARK: - Private

    private struct Check: Sendable {
        var backend: BackendRecord
        var endpoint: EndpointRecord
        var policy: BackendPolicy.HealthCheck
        var succeeded = false
    }

    private struct Watched {
        var health = EndpointHealth()
        var nextAt: UInt64 = 0
        var isRunning = false
    }

    private static var now: UInt64 { clinux_monotonic() / 1_000_000 }

    private func watch() async {
        var watched: [ObjectIdentifier: Watched] = [:]
        await withTaskGroup(of: Check?.self) { group in
            var running = 0
            group.addTask { await Self.pause(Self.period) }
            while let ended = await group.next() {
                if let ended {
                    running -= 1
                    finish(ended, &watched)
                    continue
                }
                guard !Task.isCancelled else { break }
                plane.freeRetired()
                let due = lookAround(&watched, room: Self.maximumChecks - running)
                running += due.count
                for check in due { group.addTask { await Self.run(check) } }
                let isBusy = !watched.isEmpty || plane.backends.contains(where: \.watchesOutliers)
                group.addTask { await Self.pause(isBusy ? Self.period : Self.idlePeriod) }
            }
            group.cancelAll()
        }
    }

    private static func pause(_ milliseconds: UInt64) async -> Check? {
        try? await Task.sleep(for: .milliseconds(milliseconds))
        return nil
    }

    private static func run(_ check: Check) async -> Check? {
        var check = check
        check.succeeded = await HealthProbe(endpoint: check.endpoint.key, policy: check.policy).run()
        return check
    }

    /// Sweeps what has to do with time alone, forgets what is gone, and finds the checks that are due.
    private func lookAround(_ watched: inout [ObjectIdentifier: Watched], room: Int) -> [Check] {
        let now = Self.now
        var due: [Check] = []
        var seen: [ObjectIdentifier: Watched] = [:]
        for backend in plane.backends {
            backend.sweep(now: now)
            guard let policy = backend.policy.healthCheck else { continue }
            for endpoint in backend.endpoints {
                var state = watched[ObjectIdentifier(endpoint)] ?? Watched()
                if !state.isRunning, now >= state.nextAt, due.count < room {
                    state.isRunning = true
                    state.nextAt = now + Self.spread(policy.interval)
                    due.append(Check(backend: backend, endpoint: endpoint, policy: policy))
                }
                seen[ObjectIdentifier(endpoint)] = state
            }
        }
        watched = seen
        return due
    }

    private static func spread(_ interval: Int) -> UInt64 {
        let interval = UInt64(max(10, interval))
        return interval - interval / 20 + UInt64.random(in: 0...interval / 10)
    }

    private func finish(_ check: Check, _ watched: inout [ObjectIdentifier: Watched]) {
        let id = ObjectIdentifier(check.endpoint)
        guard var state = watched[id] else { return }
        state.isRunning = false
        _ = check.endpoint.words.increment(.checks)
        if !check.succeeded { _ = check.endpoint.words.increment(.failedChecks) }
        if state.health.checkEnded(succeeded: check.succeeded, check.policy) {
            let isHealthy = state.health.isHealthy
            check.backend.setHealth(of: check.endpoint, isHealthy: isHealthy, now: Self.now)
            logger.info(
                isHealthy ? "An endpoint is healthy again" : "An endpoint fails its health checks",
                metadata: [
                    "backend": "\(check.backend.name)",
                    "endpoint": "\(check.endpoint.key.address):\(check.endpoint.key.port)",
                ]
            )
        }
        watched[id] = state
    }
}
