import Foundation
import SystemPackage
import TestKit
import Testing

@testable import Host

struct OrphanedProgramsTests {
    private func start(_ home: Home, _ name: String, _ script: String, _ variable: String) throws -> DetachedProcess {
        let parts = variable.split(separator: "=", maxSplits: 1).map(String.init)
        return try DetachedProcess.start(
            DetachedProcess.Command(
                program: "/bin/sh",
                arguments: ["-c", script],
                environment: ["PATH": "/usr/bin:/bin", parts[0]: parts[1]]
            ),
            logFile: home.logFile(name),
            pidFile: home.pidFile(name)
        )
    }

    @Test func onlyProgramsOfThisHomeEnd() async throws {
        try await withTemporaryHome { home in
            let build = "CONTAINERS_STORAGE_CONF=\(home.path)/builder/running/7/storage.conf"
            let stubborn = "trap '' TERM; echo armed; while :; do sleep 60 & wait; done"
            let git = try start(home, "git", "exec sleep 60", "GIT_CONFIG_GLOBAL=\(home.path)/repositories/gitconfig")
            let buildah = try start(home, "buildah", stubborn, build)
            let foreign = try start(
                home,
                "other",
                "exec sleep 60",
                "GIT_CONFIG_GLOBAL=/x\(home.path)/repositories/gitconfig"
            )
            try await waitUntil {
                (try? String(contentsOfFile: home.logFile("buildah").string, encoding: .utf8)) == "armed\n"
            }
            await OrphanedPrograms(home: home).end(grace: .milliseconds(200))
            try await waitUntil("both end") { !git.isRunning && !buildah.isRunning }
            #expect(foreign.isRunning)
            await foreign.stop(grace: .seconds(5))
        }
    }
}
