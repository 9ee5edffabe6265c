import CLinux
import Foundation
import TestKit
import Testing

@testable import LoadTesting

/// Real sockets: the generator against the bench back end and against nginx.
@Suite(.serialized) struct LoadTestTests {
    private func plan(_ port: Int, rate: Double = 200, seconds: Double = 1, _ path: String = "/") throws -> LoadPlan {
        LoadPlan(
            target: try LoadTarget("http://127.0.0.1:\(port)\(path)"),
            phases: [LoadPhase(from: Rate(perSecond: rate), duration: Int(seconds * 1e9))],
            classes: [TrafficClass(name: "all", paths: [path])]
        )
    }

    private func run(_ plan: LoadPlan) async throws -> LoadSummary { try await LoadTest(plan).run().total }

    @Test func everyOfferedRequestEndsExactlyOnce() async throws {
        let backend = try BenchBackend()
        for threads in [1, 3] {
            var plan = try plan(backend.port, rate: 1000)
            plan.threads = threads
            let report = try await LoadTest(plan).run()
            #expect(report.total.offered == 1000)
            #expect(report.total.outcomes == ["good": 1000])
            #expect(report.seconds.reduce(0) { $0 + $1.total.ended } == 1000)
        }
        try await waitUntil("the back end to have counted them") { backend.statistics.requests == 2000 }
    }

    // MARK: - How requests end

    @Test(arguments: [
        ("/-/status/404", Outcome.clientError), ("/-/status/429", .tooManyRequests), ("/-/status/503", .unavailable),
        ("/-/status/500", .serverError), ("/-/status/302", .good), ("/-/reset", .reset), ("/-/stall", .timedOut),
        ("/-/delay/60ms", .late), ("/-/chunked/100000", .good), ("/-/bytes/300000", .good), ("/-/close", .good),
    ])
    func endingsAreToldApart(path: String, outcome: Outcome) async throws {
        let backend = try BenchBackend()
        var plan = try plan(backend.port, rate: 100, seconds: 0.2, path)
        plan.timeout = outcome == .timedOut ? 200_000_000 : 20_000_000_000
        plan.classes[0].deadline = outcome == .late ? 50_000_000 : nil
        #expect(try await run(plan).outcomes == [outcome.label: 20])
    }

    @Test func refusedConnectionsAreTold() async throws {
        let refusing = try ClosedPort()
        #expect(try await run(plan(refusing.port, rate: 100, seconds: 0.2)).outcomes == ["refused": 20])
        var closed = try plan(refusing.port, seconds: 0.3)
        closed.model = .closed
        closed.classes[0].connections = 2
        let summary = try await run(closed)
        #expect(summary.outcomes.keys.sorted() == ["refused"])
        #expect(summary.offered < 30)  // a dead target is not stormed
    }

    @Test func answersThatAreNoHTTPAreTold() async throws {
        let server = try ScriptedServer(answer: "220 mail ready\r\n")
        #expect(try await run(plan(server.port, rate: 100, seconds: 0.1)).outcomes == ["malformed": 10])
    }

    @Test func headsThatComeInPiecesAreRead() async throws {
        let server = try ScriptedServer(answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", pieces: 7)
        #expect(try await run(plan(server.port, rate: 50, seconds: 0.2)).outcomes == ["good": 10])
    }

    @Test func whatFindsNoConnectionInTimeIsUnsentAndCountsAsSlow() async throws {
        let backend = try BenchBackend()
        var plan = try plan(backend.port, rate: 100, seconds: 0.5, "/-/stall")
        plan.timeout = 300_000_000
        plan.classes[0].connections = 2
        let summary = try await run(plan)
        #expect(summary.ended == 50)
        let (timedOut, unsent) = (summary.outcomes["timeout"] ?? 0, summary.outcomes["unsent"] ?? 0)
        #expect(timedOut + unsent == 50)
        #expect(timedOut >= 2)
        #expect(unsent >= 10)
        #expect(summary.latency.min >= 299)
    }

    @Test func keptConnectionsThatTheServerEndsCostNoRequest() async throws {
        var settings = BackendSettings()
        settings.closes = true
        let backend = try BenchBackend(settings: settings)
        let summary = try await run(plan(backend.port, rate: 300))
        #expect(summary.outcomes == ["good": 300])
        #expect(summary.connections == 300)
    }

    // MARK: - Models

    @Test func theOpenModelShowsAStallThatTheClosedModelHides() async throws {
        let backend = try BenchBackend()
        func measure(_ model: LoadPlan.Model) async throws -> LoadSummary {
            var plan = try plan(backend.port, rate: 500, seconds: 2)
            plan.model = model
            plan.classes[0].connections = 4
            let before = backend.statistics.requests
            async let report = LoadTest(plan).run()
            try await waitUntil("requests") { backend.statistics.requests > before + 100 }
            var settings = backend.settings
            settings.stall = 800_000_000
            backend.settings = settings
            let total = try await report.total
            settings.stall = 0
            backend.settings = settings
            return total
        }
        let open = try await measure(.open)
        // Of 1000 requests about 400 were due during the stall: the 90th percentile must know of it.
        #expect(open.latency.p90 > 400)
        let before = backend.statistics.requests
        let closed = try await measure(.closed)
        #expect(backend.statistics.requests > before)
        // Each of the four users met the stall once: it vanishes among the many fast answers.
        #expect(closed.latency.p90 < 400)
        #expect(closed.latency.max > 400)
    }

    @Test func theClosedModelKeepsItsUsersBusy() async throws {
        var settings = BackendSettings()
        settings.serviceTime = 20_000_000
        let backend = try BenchBackend(settings: settings)
        var plan = try plan(backend.port, seconds: 1)
        plan.model = .closed
        plan.classes[0].connections = 10
        let summary = try await run(plan)
        #expect(summary.outcomes["good"] == summary.offered)
        #expect(summary.connections == 10)
        // At most ten users for fifty turns of 20 ms, and one more each that began just before the end.
        #expect(summary.offered <= 520)
        #expect(summary.offered >= 40)
    }

    @Test func newConnectionsAreOneForEachRequest() async throws {
        let backend = try BenchBackend()
        var plan = try plan(backend.port, rate: 300)
        plan.classes[0].opensNewConnections = true
        let summary = try await run(plan)
        #expect(summary.outcomes == ["good": 300])
        #expect(summary.connections == 300)
        try await waitUntil("the back end to have counted them") { backend.statistics.connections == 300 }
    }

    @Test func classesHaveTheirOwnSharesAndPaths() async throws {
        let backend = try BenchBackend()
        var plan = try plan(backend.port, rate: 400)
        var failing = TrafficClass(name: "failing", paths: ["/-/status/500", "/-/status/429"])
        failing.share = 3
        var slow = TrafficClass(name: "slow", paths: ["/-/delay/100ms"])
        slow.rate = Rate(perSecond: 10)
        slow.deadline = 50_000_000
        plan.classes += [failing, slow]
        plan.objectives = try Objective.list("all:errors<0.1%,failing:errors<1%,slow:late<1%")
        let report = try await LoadTest(plan).run()
        #expect(report.classes[0].summary.outcomes == ["good": 100])
        #expect(report.classes[1].summary.outcomes == ["5xx": 150, "429": 150])
        #expect(report.classes[2].summary.outcomes == ["late": 10])
        #expect(report.verdicts.map(\.isMet) == [true, false, false])
        #expect(!report.isMet)
    }

    @Test func postedBodiesArrive() async throws {
        let backend = try BenchBackend()
        var plan = try plan(backend.port, rate: 50)
        plan.classes[0].method = "POST"
        plan.classes[0].body = Array(repeating: 120, count: 3_000_000)
        let summary = try await run(plan)
        #expect(summary.outcomes == ["good": 50])
        try await waitUntil("the back end to have counted them") { backend.statistics.requests == 50 }
    }

    // MARK: - Ending early

    @Test func missedObjectivesEndTheTest() async throws {
        let backend = try BenchBackend()
        var plan = try plan(backend.port, rate: 100, seconds: 60, "/-/status/500")
        plan.objectives = try Objective.list("errors<1%")
        plan.stopsOnMiss = true
        plan.secondsUntilStop = 2
        let report = try await LoadTest(plan).run()
        #expect(report.wasStopped)
        #expect(report.seconds.count < 30)
        #expect(report.total.offered == report.total.ended)
    }

    @Test func cancellingEndsTheTestWithAReport() async throws {
        let backend = try BenchBackend()
        let plan = try plan(backend.port, rate: 100, seconds: 600)
        let test = Task { try await LoadTest(plan).run() }
        try await waitUntil("requests") { backend.statistics.requests > 20 }
        test.cancel()
        let report = try await test.value
        #expect(report.wasStopped)
        #expect(report.total.good > 20)
        #expect(report.total.offered == report.total.ended)
    }

    // MARK: - The back end

    @Test func theBackendHasTheCapacityThatItsSettingsSay() async throws {
        var settings = BackendSettings()
        settings.serviceTime = 50_000_000
        settings.concurrency = 5  // 100 a second
        settings.queue = 10
        let backend = try BenchBackend(settings: settings)
        let start = ContinuousClock.now
        let summary = try await run(plan(backend.port, rate: 300, seconds: 2))
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let served = summary.outcomes["good"] ?? 0
        // Beyond the capacity over that time, those that were in service and in the queue at its end.
        #expect(Double(served) <= 100 * seconds + 15)
        #expect(served >= 100)
        #expect(summary.outcomes["503"] == 600 - served)
        #expect(backend.statistics.mostWaiting == 10)
    }

    @Test func theBackendsSettingsCanBeChangedWhileItServes() async throws {
        let backend = try BenchBackend()
        let address = "http://127.0.0.1:\(backend.port)"
        let changed = try await Shell.run("curl", ["-sf", "\(address)/-/settings?errors=100%25&error-status=503"])
        #expect(changed.contains("\"errorStatus\":503"))
        #expect(try await run(plan(backend.port, rate: 50, seconds: 0.2)).outcomes == ["503": 10])
        let refused = try await Shell.run(
            "curl",
            ["-s", "-o", "/dev/null", "-w", "%{http_code}", "\(address)/-/settings?x=1"]
        )
        #expect(refused == "400")
    }

    @Test func nginxIsMeasuredAsWell() async throws {
        try await withNginx(requestsPerConnection: 5) { port, _ in
            let kept = try await run(plan(port, rate: 500, "/small"))
            #expect(kept.outcomes == ["good": 500])
            let missing = try await run(plan(port, rate: 100, seconds: 0.5, "/missing"))
            #expect(missing.outcomes == ["4xx": 50])
            var closed = try plan(port, seconds: 1, "/large")
            closed.model = .closed
            closed.classes[0].connections = 8
            let large = try await run(closed)
            #expect(large.outcomes["good"] == large.offered)
            #expect(large.receivedBytes > large.offered * 3_000_000)
        }
    }

    // MARK: - HTTPS

    @Test func httpsIsSpokenAndCertificatesAreChecked() async throws {
        try await withNginx(requestsPerConnection: 20, hasTLS: true) { port, folder in
            func secure(_ trust: LoadTrust, _ path: String = "/small") throws -> LoadPlan {
                var plan = try plan(port, rate: 100, path)
                plan.target = try LoadTarget("https://localhost:\(port)\(path)")
                plan.trust = trust
                return plan
            }
            let authority = LoadTrust.authorities(file: "\(folder)/certificate.pem")
            #expect(try await run(secure(authority)).outcomes == ["good": 100])
            #expect(try await run(secure(.anyone, "/large")).outcomes == ["good": 100])
            let untrusted = try await LoadTest(secure(.system)).run()
            #expect(untrusted.total.outcomes == ["no connection": 100])
            #expect(untrusted.problem?.contains("self-signed") == true)
            var visitors = try secure(.anyone)
            visitors.classes[0].opensNewConnections = true
            let summary = try await run(visitors)
            #expect(summary.outcomes == ["good": 100])
            #expect(summary.connections == 100)
            #expect(throws: LoadError.self) {
                try TLSClient(host: "localhost", trust: .authorities(file: "\(folder)/missing"))
            }
        }
    }
}
