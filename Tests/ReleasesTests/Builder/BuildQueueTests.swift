import KubernetesClient
import Synchronization
import TestKit
import Testing

@testable import Releases

struct BuildQueueTests {
    @Test func runsAsManyAsItMayInOrder() async throws {
        let queue = BuildQueue(limit: 2)
        let (running, peak, order) = (Mutex(0), Mutex(0), Mutex<[Int]>([]))
        let gate = Gate()
        try await withThrowingTaskGroup(of: Void.self) { group in
            let started = Mutex(0)
            for index in 0..<6 {
                group.addTask {
                    try await queue.run(moved: { _ in started.withLock { $0 += 1 } }) {
                        order.withLock { $0.append(index) }
                        let now = running.withLock { value in
                            value += 1
                            return value
                        }
                        peak.withLock { $0 = max($0, now) }
                        try await gate.wait()
                        running.withLock { $0 -= 1 }
                    }
                }
                // The next one comes when this one runs or waits, so that the order is known.
                try await waitUntil { order.withLock { $0.count } + started.withLock { $0 } > index }
            }
            #expect(order.withLock { $0 } == [0, 1])
            gate.open()
            try await group.waitForAll()
        }
        #expect(order.withLock { $0 } == [0, 1, 2, 3, 4, 5])
        #expect(peak.withLock { $0 } == 2)
    }

    @Test func tellsThePlaceAndForgetsTheCancelled() async throws {
        let queue = BuildQueue(limit: 1)
        let gate = Gate()
        let places = Mutex<[String]>([])
        try await withThrowingTaskGroup(of: Void.self) { group in
            let isRunning = Gate()
            group.addTask {
                try await queue.run(moved: { _ in }) {
                    isRunning.open()
                    try await gate.wait()
                }
            }
            try await isRunning.wait()
            let cancelled = Task {
                try await queue.run(moved: { place in places.withLock { $0.append("a\(place)") } }) {}
            }
            try await waitUntil { places.withLock { $0 } == ["a1"] }
            group.addTask { try await queue.run(moved: { place in places.withLock { $0.append("b\(place)") } }) {} }
            try await waitUntil { places.withLock { $0 } == ["a1", "b2"] }
            cancelled.cancel()
            await #expect(throws: CancellationError.self) { try await cancelled.value }
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
