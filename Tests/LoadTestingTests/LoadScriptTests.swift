import CLinux
import Testing

@testable import LoadTesting

struct LoadScriptTests {
    @Test func readsPhasesClassesAndObjectives() throws {
        let plan = try LoadScript.parse(
            """
            target: http://127.0.0.1:8080/ignored
            arrivals: poisson
            timeout: 3s
            threads: 2
            warmup: 1s
            phases:
              - {name: calm, rate: 200, duration: 20s}
              - {rate: 200, to: 1000, duration: 1.5m}
              - {rate: 1000, to: 4000, steps: 4, duration: 5s}
            classes:
              - {name: shop, share: 3, method: POST, path: /buy, body: '{"item": 1}', deadline: 250ms, headers: {X-Class: gold}}
              - {name: search, share: 1, path: '/search?q={1..100}', connections: 50}
              - {name: login, rate: 0.5, paths: [/login, /logout], new-connections: true}
            slo: p99<100ms, shop:errors<0.1%
            stop-on-miss: true
            """,
            file: "surge.yaml"
        )
        #expect(plan.spacing == .poisson)
        #expect(plan.timeout == 3_000_000_000)
        #expect((plan.threads, plan.warmup) == (2, 1))
        #expect(plan.phases.map(\.start.perSecond) == [200, 200, 1000, 2000, 3000, 4000])
        #expect(plan.phases.map(\.end.perSecond) == [200, 1000, 1000, 2000, 3000, 4000])
        #expect(plan.duration == 130_000_000_000)
        #expect(plan.classes.map(\.name) == ["shop", "search", "login"])
        #expect(plan.classes[0].deadline == 250_000_000)
        #expect(plan.classes[1].paths.count == 100)
        #expect(plan.classes[1].paths[99] == "/search?q=100")
        #expect(plan.classes[2].rate == Rate(thousandths: 500))
        #expect(plan.classes[2].opensNewConnections)
        #expect(plan.objectives.map(\.className) == [nil, "shop"])
        let request = RequestRenderer.render(plan.classes[0], target: plan.target)
        let expected = """
            POST /buy HTTP/1.1\r
            Host: 127.0.0.1:8080\r
            User-Agent: sampan-load\r
            X-Class: gold\r
            Content-Length: 11\r
            \r
            {"item": 1}
            """
        #expect(String(decoding: request[0], as: UTF8.self) == expected)
    }

    @Test func theTargetCanBeGivenFromOutside() throws {
        let text = "target: http://127.0.0.1:1\nphases: [{rate: 1, duration: 1s}]"
        let plan = try LoadScript.parse(text, file: "s.yaml", target: "http://127.0.0.2:99/x")
        #expect(plan.target.authority == "127.0.0.2:99")
        #expect(plan.classes[0].paths == ["/x"])
    }

    @Test(arguments: [
        ("", "s.yaml: the script is empty"),
        ("- 1", "s.yaml:1: must be a mapping"),
        ("phases: []", "names no target"),
        ("target: ftp://x", "s.yaml:1: target: 'ftp://x' is not a URL"),
        ("target: http://127.0.0.1:70000", "has no valid port"),
        (
            "target: http://127.0.0.1\nrate: 5",
            "s.yaml:2: rate: there is no such field here; there are arrivals, authorities, classes"
        ),
        ("target: http://127.0.0.1", "an open test needs 'phases'"),
        (
            "target: http://127.0.0.1\nphases:\n  - {rate: fast, duration: 1s}",
            "s.yaml:3: phases[0].rate: 'fast' is not a rate"
        ),
        ("target: http://127.0.0.1\nphases:\n  - {rate: 5}", "s.yaml:3: phases[0]: needs a 'duration'"),
        (
            "target: http://127.0.0.1\nphases:\n  - {rate: 5, duration: 10}",
            "s.yaml:3: phases[0].duration: '10' is not a duration"
        ),
        (
            "target: http://127.0.0.1\nphases:\n  - {rate: 5, duration: 0s}",
            "phases[0].duration: must be longer than zero"
        ),
        ("target: http://127.0.0.1\nphases:\n  - {rate: 5, duration: 1s, steps: 3}", "phases[0].steps: needs a 'to'"),
        ("target: http://127.0.0.1\nphases: []", "s.yaml:2: phases: must not be empty"),
        ("target: http://127.0.0.1\nmodel: closed", "a closed test needs a 'duration'"),
        ("target: http://127.0.0.1\nmodel: ajar", "s.yaml:2: model: must be open or closed"),
        (
            "target: http://127.0.0.1\nphases: [{rate: 1, duration: 1s}]\nclasses:\n  - {path: /}",
            "s.yaml:4: classes[0]: needs a 'name'"
        ),
        (
            "target: http://127.0.0.1\nphases: [{rate: 1, duration: 1s}]\nclasses:\n  - {name: a, path: x}",
            "s.yaml:4: classes[0].path: 'x' is not a path"
        ),
        (
            "target: http://127.0.0.1\nphases: [{rate: 1, duration: 1s}]\nclasses:\n  - {name: a, share: 0}",
            "classes[0].share: must be a whole number from 1"
        ),
        (
            "target: http://127.0.0.1\nphases: [{rate: 1, duration: 1s}]\nclasses:\n  - {name: a}\n  - {name: a}",
            "s.yaml:5: classes[1]: another class has the name 'a'"
        ),
        (
            "target: http://127.0.0.1\nphases: [{rate: 1, duration: 1s}]\nclasses:\n  - {name: a, headers: {'X\\r': 1}}",
            "is not the name of a header field"
        ),
        (
            "target: http://127.0.0.1\nphases: [{rate: 1, duration: 1s}]\nslo: p98<5ms",
            "s.yaml:3: slo: 'p98<5ms' is not an objective"
        ),
        (
            "target: http://127.0.0.1\nphases: [{rate: 1, duration: 1s}]\nslo: p99<5",
            "in the objective 'p99<5': '5' is not a duration"
        ),
        ("target: http://127.0.0.1\nphases: [{rate: 1, duration: 1s}]\nslo: 'x:p99<5ms'", "there is no class 'x'"),
        (
            "target: http://127.0.0.1\nphases: [{rate: 1, duration: 1s}]\nstop-on-miss: true",
            "stop-on-miss needs an 'slo'"
        ),
        ("target: [", "s.yaml: "),
    ])
    func namesFileLineAndField(text: String, complaint: String) {
        let error = #expect(throws: LoadError.self) { try LoadScript.parse(text, file: "s.yaml") }
        #expect(error?.description.contains(complaint) == true, "\(error?.description ?? "no error")")
    }

    @Test(arguments: [("250us", 250_000), ("1.5ms", 1_500_000), ("2s", 2_000_000_000), ("1h", 3_600_000_000_000)])
    func readsDurations(text: String, expected: Int) throws {
        #expect(try Quantities.duration(text) == expected)
    }

    @Test(arguments: ["http://localhost", "https://127.0.0.1:8443/a?b=c", "http://[::1]:80/"])
    func readsTargets(url: String) throws {
        let target = try LoadTarget(url)
        #expect(url.hasPrefix(target.origin))
        #expect(target.address.port == target.port)
    }
}
