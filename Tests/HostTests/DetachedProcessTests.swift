import Foundation
import Logging
import SystemPackage
import Testing

@testable import Host

struct DetachedProcessTests {
    private let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    private func sleeper(_ script: String = "exec sleep 60") -> DetachedProcess.Command {
        DetachedProcess.Command(program: "/bin/sh", arguments: ["-c", script], environment: ["PATH": "/usr/bin:/bin"])
    }

    @Test func isFoundAgainByItsPidFile() async throws {
        try await withTemporaryHome { home in
            let pidFile = home.pidFile("sleeper")
            let process = try DetachedProcess.start(sleeper(), logFile: home.logFile("sleeper"), pidFile: pidFile)
            #expect(DetachedProcess.find(pidFile: pidFile) == process)
            await process.stop(grace: .seconds(5))
            #expect(!process.isRunning)
            #expect(DetachedProcess.find(pidFile: pidFile) == nil)
        }
    }

    @Test func isNotMistakenForAnotherProcessWithItsPid() throws {
        try withTemporaryHome { home in
            let own = ProcessInfo.processInfo.processIdentifier
            try DurableFile.write(Array("\(own) 1\n".utf8), to: home.pidFile("x"))
            #expect(DetachedProcess.find(pidFile: home.pidFile("x")) == nil)
        }
    }

    @Test func isEndedByForceWhenItIgnoresTheRequest() async throws {
        try await withTemporaryHome { home in
            let command = sleeper("trap '' TERM; echo armed; while :; do sleep 60 & wait; done")
            let process = try DetachedProcess.start(command, logFile: home.logFile("x"), pidFile: home.pidFile("x"))
            try await waitUntil {
                (try? String(contentsOfFile: home.logFile("x").string, encoding: .utf8)) == "armed\n"
            }
            await process.stop(grace: .milliseconds(50))
            #expect(!process.isRunning)
        }
    }

    @Test func isReplacedByASuccessorWhenItsArgumentsChange() async throws {
        try await withTemporaryHome { home in
            // The successor records itself, then ends the one before it, as a gateway does.
            let script = """
                record() { echo "$$ $(cut -d ' ' -f 22 /proc/$$/stat)" > "$0.new" && mv "$0.new" "$0"; }
                for word; do [ "$word" = --take-over ] && { old=$(cut -d ' ' -f 1 "$0"); record; kill "$old"; }; done
                while :; do sleep 1; done
                """
            func supervised(_ port: String) -> SupervisedProcess {
                let command = DetachedProcess.Command(
                    program: "/bin/bash",
                    arguments: ["-c", script, home.pidFile("gate").string, port],
                    environment: ["PATH": "/usr/bin:/bin"]
                )
                return SupervisedProcess(
                    name: "gate",
                    command: command,
                    takeOver: ["--take-over"],
                    home: home,
                    logger: logger
                )
            }
            let first = try await supervised("80").adoptOrStart()
            #expect(try await supervised("80").adoptOrStart() == first)
            let second = try await supervised("81").adoptOrStart()
            #expect(second != first)
            #expect(try await supervised("81").adoptOrStart() == second)
            try await waitUntil { !first.isRunning }
            await supervised("81").stop(grace: .zero)
            #expect(!second.isRunning)
        }
    }

    @Test func aSuccessorThatFailsChangesNothing() async throws {
        try await withTemporaryHome { home in
            let running = SupervisedProcess(name: "gate", command: sleeper("sleep 60"), home: home, logger: logger)
            let first = try await running.adoptOrStart()
            let next = SupervisedProcess(
                name: "gate",
                command: sleeper("exit 1"),
                takeOver: ["--take-over"],
                home: home,
                logger: logger
            )
            await #expect(throws: HostError.self) { try await next.adoptOrStart() }
            #expect(DetachedProcess.find(pidFile: home.pidFile("gate")) == first)
            await running.stop(grace: .zero)
        }
    }

    @Test func isStartedAgainWhenItIsKilledAndAdoptedByTheNextSupervisor() async throws {
        try await withTemporaryHome { home in
            let supervised = SupervisedProcess(name: "sleeper", command: sleeper(), home: home, logger: logger)
            let first = try await supervised.adoptOrStart()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await supervised.run() }
                first.signal(SIGKILL)
                try await waitUntil {
                    guard let current = DetachedProcess.find(pidFile: home.pidFile("sleeper")) else { return false }
                    return current != first
                }
                group.cancelAll()
            }
            let second = try #require(DetachedProcess.find(pidFile: home.pidFile("sleeper")))
            let next = SupervisedProcess(name: "sleeper", command: sleeper(), home: home, logger: logger)
            #expect(try await next.adoptOrStart() == second)
            await next.stop(grace: .seconds(5))
            #expect(!second.isRunning)
        }
    }
}

private func waitUntil(_ condition: () -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while !condition() {
        try #require(ContinuousClock.now < deadline, "the condition did not come true within 60 s")
        try await Task.sleep(for: .milliseconds(10))
    }
}
