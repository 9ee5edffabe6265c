package import Logging
import ServiceLifecycle
import SystemPackage

/// Keeps one program running: takes over the one that an earlier server started, else starts it, and starts it again when it ends.
///
/// The program is left running when this service stops; `sampan down` ends it with ``stop(grace:)``.
package struct SupervisedProcess: Service {
    package let name: String
    package let command: DetachedProcess.Command
    package let home: Home
    private let logger: Logger

    package init(name: String, command: DetachedProcess.Command, home: Home, logger: Logger) {
        self.name = name
        self.command = command
        self.home = home
        self.logger = logger
    }

    package func run() async throws {
        try? await cancelWhenGracefulShutdown { try await superviseForever() }
    }

    /// The running program; started now when there is none.
    package func adoptOrStart() throws -> DetachedProcess {
        if let running = DetachedProcess.find(pidFile: home.pidFile(name)) { return running }
        let started = try DetachedProcess.start(command, logFile: home.logFile(name), pidFile: home.pidFile(name))
        logger.info("started", metadata: ["program": "\(name)", "pid": "\(started.pid)"])
        return started
    }

    package func stop(grace: Duration) async {
        await DetachedProcess.find(pidFile: home.pidFile(name))?.stop(grace: grace)
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
