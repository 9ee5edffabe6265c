import KubernetesModel
import Testing

@testable import Controllers

struct JobPlanTests {
    private let now = Timestamp(seconds: 1_000_000)

    private func job(_ spec: JSON = [:], status: JSON = [:]) -> JobView {
        var json = JSON.job("work", spec: spec)
        json["metadata", "uid"] = "j"
        json["status"] = status
        return JobView(json)
    }

    private func pod(_ name: String, _ phase: String, endedBefore seconds: Int64 = 1000, restarts: Int = 0) -> PodView {
        var json: JSON = [
            "metadata": ["name": .string(name), "uid": .string(name)], "spec": ["nodeName": "n"],
            "status": ["phase": .string(phase)],
        ]
        var container: JSON = ["name": "main", "restartCount": JSON(restarts)]
        if phase == "Failed" || phase == "Succeeded" {
            let end = Timestamp(seconds: now.seconds - seconds).description
            container["state"] = ["terminated": ["finishedAt": .string(end)]]
        }
        json["status", "containerStatuses"] = [container]
        return PodView(json)
    }

    private func pods(_ phases: String...) -> [PodView] {
        phases.enumerated().map { pod("p\($0.offset)", $0.element) }
    }

    @Test
    func startsAsManyAsItMay() {
        let spec: JSON = ["completions": 10, "parallelism": 4]
        #expect(JobPlan(job(spec), pods: [], now: now).creations == 4)
        #expect(JobPlan(job(spec), pods: pods("Running", "Running"), now: now).creations == 2)
        #expect(JobPlan(job(spec), pods: pods("Running"), unseenCreations: 3, now: now).creations == 0)
        let almost = Array(repeating: "Succeeded", count: 8).enumerated().map { pod("s\($0.offset)", $0.element) }
        #expect(JobPlan(job(spec), pods: almost, now: now).creations == 2)
        let reduced: JSON = ["completions": 10, "parallelism": 1]
        #expect(JobPlan(job(reduced), pods: pods("Running", "Running"), now: now).deletions.count == 1)
    }

    @Test
    func workQueuesEndWithTheLastPodAfterASuccess() {
        let spec: JSON = ["parallelism": 3]
        let running = JobPlan(job(spec), pods: pods("Running", "Succeeded"), now: now)
        #expect(running.creations == 0)
        #expect(!Conditions(running.status["conditions"]).isTrue("Complete"))
        let ended = JobPlan(job(spec), pods: pods("Succeeded"), now: now)
        #expect(Conditions(ended.status["conditions"]).isTrue("Complete"))
    }

    @Test(arguments: [(1, Int64(5), Int64(5)), (1, 10, 0), (2, 15, 5), (3, 15, 25), (10, 100, 500)])
    func waitsAfterFailures(failures: Int, since: Int64, remaining: Int64) {
        let spec: JSON = ["completions": 1, "backoffLimit": 20]
        let failed = (0..<failures).map { pod("f\($0)", "Failed", endedBefore: since + Int64($0) * 100) }
        let plan = JobPlan(job(spec), pods: failed, now: now)
        if remaining > 0 {
            #expect(plan.creations == 0)
            #expect(plan.nextLook == Timestamp(seconds: now.seconds + remaining))
        } else {
            #expect(plan.creations == 1)
        }
    }

    @Test
    func failsOnceItsPodsAreStopped() {
        let spec: JSON = ["completions": 3, "parallelism": 3, "backoffLimit": 1]
        let first = JobPlan(job(spec), pods: pods("Failed", "Failed", "Running"), now: now)
        #expect(first.deletions.count == 1)
        #expect(Conditions(first.status["conditions"])["FailureTarget"]?["reason"] == "BackoffLimitExceeded")
        #expect(!Conditions(first.status["conditions"]).isTrue("Failed"))
        let second = JobPlan(job(spec, status: first.status), pods: pods("Failed", "Failed"), now: now)
        #expect(Conditions(second.status["conditions"])["Failed"]?["reason"] == "BackoffLimitExceeded")
        #expect(second.status["failed"] == 2)
    }

    @Test
    func countsRestartsOfContainersAsFailures() {
        var spec: JSON = ["backoffLimit": 3]
        spec["template"] = ["spec": ["restartPolicy": "OnFailure"]]
        #expect(JobPlan(job(spec), pods: [pod("a", "Running", restarts: 2)], now: now).deletions.isEmpty)
        #expect(JobPlan(job(spec), pods: [pod("a", "Running", restarts: 3)], now: now).deletions.count == 1)
    }

    @Test
    func leavesOutWhatIsZeroInsteadOfWritingNull() {
        let status = JobPlan(job(), pods: [], now: now).status
        #expect(status.object?.values.contains(.null) == false)
    }

    @Test
    func countsNeverFall() {
        let status: JSON = ["succeeded": 2, "failed": 1, "startTime": "2020-01-01T00:00:00Z"]
        let plan = JobPlan(job(["completions": 5], status: status), pods: pods("Succeeded"), now: now)
        #expect(plan.status["succeeded"] == 2)
        #expect(plan.status["failed"] == 1)
    }

    @Test
    func isKeptForItsTime() {
        let end = Timestamp(seconds: now.seconds - 50).description
        let condition: JSON = ["type": "Complete", "status": "True", "lastTransitionTime": .string(end)]
        let status: JSON = ["conditions": [condition]]
        #expect(!JobPlan(job(["ttlSecondsAfterFinished": 60], status: status), pods: [], now: now).isExpired)
        #expect(JobPlan(job(["ttlSecondsAfterFinished": 50], status: status), pods: [], now: now).isExpired)
        #expect(!JobPlan(job([:], status: status), pods: [], now: now).isExpired)
    }
}
