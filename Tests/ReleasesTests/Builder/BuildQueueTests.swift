import KubernetesClient
import Synchronization
import TestKit
import Testing

@testable import Releases

struct BuildQueueTests {
    /// What happened, in order: `start 1`, `end 1`, `a at 2`.
    private final class Journal: Sendable {
        private let state = Mutex<[String]>([])
        var lines: [String] { state.withLock { $0 } }
        func write(_ line: String) { state.withLock { $0.append(line) } }
    }

    @Test func runsAsManyAsItMayInOrder() async throws {
        let queue = BuildQueue(limit: 2)
        let journal = Journal()
        let gate = Gate()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<6 {
                group.addTask {
                    try await queue.run(moved: { _ in journal.write("wait") }) {
                        journal.write("start \(index)")
                        try await gate.wait()
                        journal.write("end")
                    }
                }
                // The next one comes when this one runs or waits, so that the order is known.
                try await waitUntil { journal.lines.count > index }
            }
            #expect(journal.lines == ["start 0", "start 1", "wait", "wait", "wait", "wait"])
            gate.open()
            try await group.waitForAll()
        }
        let starts = journal.lines.filter { $0.hasPrefix("start") }
        #expect(Set(starts) == Set((0..<6).map { "start \($0)" }))
        var running = 0
        for line in journal.lines where line != "wait" {
            running += line == "end" ? -1 : 1
            #expect(running <= 2)
        }
    }

    @Test func tellsThePlaceAndForgetsTheCancelled() async throws {
        let queue = BuildQueue(limit: 1)
        let gate = Gate()
        let journal = Journal()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await queue.run(moved: { _ in }) {
                    journal.write("start")
                    try await gate.wait()
                }
            }
            try await waitUntil { journal.lines == ["start"] }
            try await withThrowingTaskGroup(of: Void.self) { cancelled in
                cancelled.addTask { try await queue.run(moved: { journal.write("a at \($0)") }) {} }
                try await waitUntil { journal.lines.last == "a at 1" }
                group.addTask { try await queue.run(moved: { journal.write("b at \($0)") }) {} }
                try await waitUntil { journal.lines.last == "b at 2" }
                cancelled.cancelAll()
                await #expect(throws: CancellationError.self) { try await cancelled.next() }
            }
            gate.open()
            try await group.waitForAll()
        }
        try await queue.run(moved: { _ in Issue.record("the queue is free") }) {}
    }
}

struct ImageBuildRequestTests {
    @Test(arguments: [
        ("image=web", ImageBuildRequest(name: "web")),
        ("", ImageBuildRequest()),
        (
            "image=a/b&file=docker/Dockerfile&target=run&build_arg=A=1&build_arg=B%3Dx%20y",
            ImageBuildRequest(name: "a/b", file: "docker/Dockerfile", target: "run", arguments: ["A=1", "B=x y"])
        ),
    ])
    func reads(query: String, request: ImageBuildRequest) throws {
        #expect(try ImageBuildRequest(parameters: .init(query: query)) == request)
    }

    @Test(arguments: [
        "image=Web", "image=../x", "image=a//b", "image=-a", "image=a..b", "file=/etc/passwd", "file=a/../../b",
        "build_arg==x", "target=-x",
    ])
    func refuses(query: String) {
        #expect(throws: ReleaseError.self) { try ImageBuildRequest(parameters: .init(query: query)) }
    }

    @Test(arguments: [
        ("main", "main"), ("feature/A_b", "feature-a-b"), ("-x-", "x"),
        (String(repeating: "a", count: 80), String(repeating: "a", count: 63)),
    ])
    func slugs(text: String, slug: String) { #expect(text.slug == slug) }
}
