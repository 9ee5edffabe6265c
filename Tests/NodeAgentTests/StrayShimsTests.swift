import Foundation
import TestKit
import Testing

@testable import NodeAgent

struct StrayShimsTests {
    /// A process that looks like the shim of a containerd of this test's own.
    private static func shim(_ id: String, socket: String) throws -> Process {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        let script = "exec -a /usr/bin/containerd-shim-runc-v2 bash -c read shim \"$@\""
        // Which nobody writes to.
        process.standardInput = Pipe()
        process.arguments = ["-c", script, "shim", "-namespace", "k8s.io", "-id", id, "-address", socket]
        try process.run()
        return process
    }

    private static func withShims(
        _ ids: [String],
        _ body: (inout StrayShims, [Process]) async throws -> Void
    ) async throws {
        var shims = StrayShims(socketPath: "/tmp/stray-\(UInt32.random(in: 0 ... .max)).sock")
        let processes = try ids.map { try shim($0, socket: shims.socketPath) }
        defer {
            for process in processes where process.isRunning { kill(process.processIdentifier, SIGKILL) }
        }
        let started = shims
        try await waitUntil("they run") { Set(started.running.keys) == Set(ids) }
        try await body(&shims, processes)
    }

    @Test func endsWhatStoodForNothingLongEnough() async throws {
        try await Self.withShims(["known", "stray"]) { shims, processes in
            let start = ContinuousClock.now
            shims.end(except: ["known"], now: start)
            shims.end(except: ["known"], now: start + .seconds(59))
            #expect(processes[1].isRunning)
            // It was known meanwhile: the time begins anew.
            shims.end(except: ["known", "stray"], now: start + .seconds(60))
            shims.end(except: ["known"], now: start + .seconds(70))
            shims.end(except: ["known"], now: start + .seconds(120))
            #expect(processes[1].isRunning)
            shims.end(except: ["known"], now: start + .seconds(130))
            try await waitUntil("the stray is gone") { !processes[1].isRunning }
            #expect(processes[0].isRunning)
        }
    }

    @Test func endsAllOfItsOwnContainerd() async throws {
        try await Self.withShims(["a", "b"]) { shims, processes in
            try await Self.withShims(["other"]) { _, others in
                await shims.endAll(grace: .milliseconds(100))
                try await waitUntil("they are gone") { processes.allSatisfy { !$0.isRunning } }
                #expect(shims.running.isEmpty)
                #expect(others[0].isRunning)
            }
        }
    }
}
