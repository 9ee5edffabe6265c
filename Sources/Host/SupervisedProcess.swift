package import Logging
import ServiceLifecycle
import SystemPackage

/// Keeps one program running: takes over the one that an earlier server started, else starts it, and starts it again when it ends.
///
/// The program is left running when this service stops; `sampan down` ends it with ``stop(grace:)``. One that knows how to take over from
/// a running one of its kind is replaced without a gap when it is another version or was started with other arguments.
package struct SupervisedProcess: Service {
    package let name: String
    package let command: DetachedProcess.Command
    package let home: Home
    private let takeOver: [String]?
    private let logger: Logger

    /// Seconds that a successor has to take over.
    private static let patience = 30.0

    /// - Parameter takeOver: what to add to the arguments of a successor; it writes the pid file when it serves. `nil` for programs that
    ///   cannot take over.
    package init(
        name: String,
        command: DetachedProcess.Command,
        takeOver: [String]? = nil,
        home: Home,
        logger: Logger
    ) {
        self.name = name
        self.command = command
        self.takeOver = takeOver
        self.home = home
        self.logger = logger
    }

    package func run() async throws {
        try? await cancelWhenGracefulShutdown { try await superviseForever() }
    }

    /// The running program; started now when there is none, replaced when it is not what it should be.
    package func adoptOrStart() async throws -> DetachedProcess {
        if let running = DetachedProcess.find(pidFile: home.pidFile(name)) {
            guard let takeOver, !running.runs(command, ignoring: takeOver) else { return running }
            return try await replace(running, takeOver)
        }
        let started = try DetachedProcess.start(command, logFile: home.logFile(name), pidFile: home.pidFile(name))
        logger.info("started", metadata: ["program": "\(name)", "pid": "\(started.pid)"])
        return started
    }

    package func stop(grace: Duration) async {
        await DetachedProcess.find(pidFile: home.pidFile(name))?.stop(grace: grace)
    }

    /// Starts a successor and waits until the pid file names it.
    private func replace(_ running: DetachedProcess, _ takeOver: [String]) async throws -> DetachedProcess {
        var command = command
        command.arguments += takeOver
        let successor = try DetachedProcess.start(command, logFile: home.logFile(name), pidFile: nil)
        let deadline = ContinuousClock.now + .seconds(Self.patience)
        while DetachedProcess.find(pidFile: home.pidFile(name)) != successor {
            guard successor.isRunning, ContinuousClock.now < deadline else {
                await successor.stop(grace: .zero)
                throw HostError("the new \(name) did not take over from the running one; see \(home.logFile(name))")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        logger.info(
            "replaced",
            metadata: ["program": "\(name)", "old": "\(running.pid)", "new": "\(successor.pid)"]
        )
        return successor
    }

    private func superviseForever() async throws {
        var delay = Duration.milliseconds(100)
        while !Task.isCancelled {
            let clock = ContinuousClock()
            let started = clock.now
            do {
                try await adoptOrStart().waitUntilEnded()
                logger.warning("ended", metadata: ["program": "\(name)", "log": "\(home.logFile(name))"])
            } catch let error as HostError {
                logger.error("cannot start", metadata: ["program": "\(name)", "error": "\(error)"])
            }
            // Once it ran for a while its end is news, not a crash loop.
            delay = clock.now - started > .seconds(10) ? .milliseconds(100) : min(delay * 2, .seconds(10))
            try await Task.sleep(for: delay)
        }
    }
}
