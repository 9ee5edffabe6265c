import KubernetesModel
import Testing

@testable import NodeAgent

@Suite struct PodPlanTests {
    private static let now = Timestamp(seconds: 10_000)

    private static func pod(restart: String = "Always", inits: [JSON] = [], phase: String = "Pending") -> Pod {
        Pod([
            "metadata": ["name": "a", "namespace": "b", "uid": "u"],
            "spec": [
                "restartPolicy": .string(restart), "initContainers": .array(inits),
                "containers": [["name": "main", "image": "i:1"], ["name": "side", "image": "i:1"]],
            ],
            "status": ["phase": .string(phase)],
        ])
    }

    private static func sandbox(_ attempt: Int = 0, isReady: Bool = true) -> Sandbox {
        Sandbox(
            id: "s\(attempt)",
            name: "a",
            namespace: "b",
            podUID: "u",
            attempt: attempt,
            isReady: isReady,
            createdAt: Timestamp(seconds: Int64(attempt)),
            addresses: ["10.0.0.1"]
        )
    }

    private static func run(
        _ name: String,
        _ state: Container.State,
        exit: Int = 0,
        attempt: Int = 0,
        sandbox: Int = 0,
        finished: Int64 = 9_999
    ) -> Container {
        Container(
            id: "\(name)-\(attempt)",
            sandboxID: "s\(sandbox)",
            name: name,
            attempt: attempt,
            state: state,
            createdAt: Timestamp(seconds: 1),
            startedAt: Timestamp(seconds: 1),
            finishedAt: state == .exited ? Timestamp(seconds: finished) : nil,
            exitCode: exit
        )
    }

    private func plan(
        _ pod: Pod,
        _ sandboxes: [Sandbox],
        _ containers: [Container],
        _ memory: PodMemory = PodMemory()
    ) -> [PodAction] {
        let observed = PodObservation(sandboxes: sandboxes, containers: containers)
        return PodPlan(pod: pod, observed: observed, memory: memory, now: Self.now).actions()
    }

    @Test func startsWithASandbox() {
        #expect(plan(Self.pod(), [], []) == [.createSandbox(attempt: 0)])
    }

    @Test func waitsBeforeTryingASandboxAgain() {
        var memory = PodMemory()
        memory.setupRetry = Timestamp(seconds: 10_005)
        #expect(plan(Self.pod(), [], [], memory) == [.wait(until: Timestamp(seconds: 10_005))])
        memory.setupRetry = Timestamp(seconds: 9_000)
        #expect(plan(Self.pod(), [], [], memory) == [.createSandbox(attempt: 0)])
    }

    @Test func startsAllMainContainers() {
        let actions = plan(Self.pod(), [Self.sandbox()], [Self.run("side", .running)])
        #expect(actions == [.start(container: "main", attempt: 0)])
    }

    struct Exit: Sendable {
        var policy: String
        var code: Int
        var isRestarted: Bool
    }

    @Test(arguments: [
        Exit(policy: "Always", code: 0, isRestarted: true), Exit(policy: "Always", code: 1, isRestarted: true),
        Exit(policy: "OnFailure", code: 0, isRestarted: false), Exit(policy: "OnFailure", code: 1, isRestarted: true),
        Exit(policy: "Never", code: 1, isRestarted: false),
    ])
    func restartPolicy(_ exit: Exit) {
        let actions = plan(
            Self.pod(restart: exit.policy),
            [Self.sandbox()],
            [Self.run("side", .running), Self.run("main", .exited, exit: exit.code)]
        )
        #expect(actions == (exit.isRestarted ? [.start(container: "main", attempt: 1)] : []))
    }

    @Test func restartsWaitForTheBackOff() {
        var memory = PodMemory()
        memory.restarts.note("main", failedAt: Timestamp(seconds: 9_990))
        let containers = [
            Self.run("side", .running), Self.run("main", .exited, exit: 1, attempt: 1),
            Self.run("main", .exited, exit: 1, finished: 9_990),
        ]
        let actions = plan(Self.pod(), [Self.sandbox()], containers, memory)
        #expect(actions == [.wait(until: Timestamp(seconds: 10_009))])
    }

    @Test func initContainersRunInOrder() {
        let pod = Self.pod(inits: [["name": "one", "image": "i:1"], ["name": "two", "image": "i:1"]])
        let box = [Self.sandbox()]
        #expect(plan(pod, box, []) == [.start(container: "one", attempt: 0)])
        #expect(plan(pod, box, [Self.run("one", .running)]) == [])
        let first = Self.run("one", .exited)
        #expect(plan(pod, box, [first]) == [.start(container: "two", attempt: 0)])
        #expect(plan(pod, box, [Self.run("two", .exited, exit: 1), first]) == [.start(container: "two", attempt: 1)])
        #expect(
            plan(pod, box, [Self.run("two", .exited), first])
                == [.start(container: "main", attempt: 0), .start(container: "side", attempt: 0)]
        )
    }

    @Test func aFailedInitContainerEndsAPodThatNeverRestarts() {
        let pod = Self.pod(restart: "Never", inits: [["name": "one", "image": "i:1"]])
        let actions = plan(pod, [Self.sandbox()], [Self.run("one", .exited, exit: 1)])
        #expect(actions == [.stopSandbox(id: "s0")])
    }

    @Test func sidecarsMustHaveStarted() {
        let probe: JSON = ["exec": ["command": ["true"]]]
        let pod = Self.pod(inits: [
            ["name": "proxy", "image": "i:1", "restartPolicy": "Always", "startupProbe": probe]
        ])
        let running = [Self.run("proxy", .running)]
        #expect(plan(pod, [Self.sandbox()], running) == [])
        var memory = PodMemory()
        memory.started = ["proxy-0"]
        #expect(plan(pod, [Self.sandbox()], running, memory).first == .start(container: "main", attempt: 0))
    }

    @Test func sidecarsStopWhenTheRestIsDone() {
        let pod = Self.pod(restart: "Never", inits: [["name": "proxy", "image": "i:1", "restartPolicy": "Always"]])
        let done = [Self.run("main", .exited), Self.run("side", .exited)]
        #expect(
            plan(pod, [Self.sandbox()], done + [Self.run("proxy", .running)])
                == [.stop(id: "proxy-0", container: "proxy", reason: "The pod has finished")]
        )
        #expect(plan(pod, [Self.sandbox()], done + [Self.run("proxy", .exited)]) == [.stopSandbox(id: "s0")])
        #expect(plan(pod, [Self.sandbox(isReady: false)], done + [Self.run("proxy", .exited)]) == [])
    }

    @Test func aLostSandboxIsReplacedAndContainersRunAgain() {
        let dead = [Self.run("main", .exited, exit: 137), Self.run("side", .exited, exit: 137)]
        #expect(plan(Self.pod(), [Self.sandbox(isReady: false)], dead) == [.createSandbox(attempt: 1)])
        #expect(
            plan(Self.pod(), [Self.sandbox(1), Self.sandbox(isReady: false)], dead)
                == [.start(container: "main", attempt: 1), .start(container: "side", attempt: 1)]
        )
    }

    @Test func unhealthyAndOutdatedContainersStop() {
        var memory = PodMemory()
        memory.unhealthy = ["main-0": "why"]
        var old = Self.run("side", .running)
        old.annotations = [Annotation.hash: "another"]
        let actions = plan(Self.pod(), [Self.sandbox()], [Self.run("main", .running), old], memory)
        #expect(
            actions == [
                .stop(id: "main-0", container: "main", reason: "why"),
                .stop(
                    id: "side-0",
                    container: "side",
                    reason: "Container side definition changed, will be restarted"
                ),
            ]
        )
    }

    @Test func onlyTwoRunsAreKept() {
        let runs = (0..<4).reversed().map { Self.run("main", .exited, exit: 1, attempt: $0) }
        var memory = PodMemory()
        memory.retries = ["main": Timestamp(seconds: 10_100)]
        let actions = plan(Self.pod(), [Self.sandbox()], [Self.run("side", .running)] + runs, memory)
        #expect(actions.contains(.removeContainer(id: "main-0")))
        #expect(actions.contains(.removeContainer(id: "main-1")))
        #expect(!actions.contains(.removeContainer(id: "main-2")))
    }

    @Test func anOverdueOrFinishedPodStops() {
        var pod = Self.pod()
        pod.json["spec", "activeDeadlineSeconds"] = 60
        pod.json["status", "startTime"] = .string(Timestamp(seconds: 9_000).description)
        let running = [Self.run("main", .running)]
        #expect(
            plan(pod, [Self.sandbox()], running)
                == [.stop(id: "main-0", container: "main", reason: "The pod has finished")]
        )
        #expect(plan(Self.pod(phase: "Failed"), [], []) == [])
    }
}

@Suite struct BackOffTests {
    @Test func doublesUntilFiveMinutes() {
        var backOff = BackOff()
        var time = Timestamp(seconds: 0)
        var delays: [Int64] = []
        for _ in 0..<7 {
            delays.append(backOff.delay("a", after: time))
            backOff.note("a", failedAt: time)
            time = time.adding(seconds: 1)
        }
        #expect(delays == [0, 10, 20, 40, 80, 160, 300])
        #expect(backOff.delay("b", after: time) == 0)
    }

    @Test func startsAgainAfterTenQuietMinutes() {
        var backOff = BackOff()
        backOff.note("a", failedAt: Timestamp(seconds: 0))
        #expect(backOff.delay("a", after: Timestamp(seconds: 600)) == 10)
        #expect(backOff.delay("a", after: Timestamp(seconds: 601)) == 0)
    }

    @Test func theNextTryIsInTheFuture() {
        var backOff = BackOff()
        backOff.note("a", failedAt: Timestamp(seconds: 0))
        let event = Timestamp(seconds: 5)
        #expect(backOff.nextTry("a", after: event, now: Timestamp(seconds: 14)) == Timestamp(seconds: 15))
        #expect(backOff.nextTry("a", after: event, now: Timestamp(seconds: 15)) == nil)
    }
}
