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

    private func marked(_ pod: PodView) -> PodView {
        var pod = pod
        pod.annotations[JobTally.mark] = "true"
        return pod
    }

    @Test
    func countsEachPodOnceThoughItIsDeletedLater() {
        let spec: JSON = ["completions": 5, "backoffLimit": 9]
        let first = JobPlan(job(spec), pods: [pod("a", "Succeeded"), pod("b", "Failed")], now: now)
        #expect(first.status["succeeded"] == 1 && first.status["failed"] == 1)
        #expect(first.status["uncountedTerminatedPods"] == ["failed": ["b"], "succeeded": ["a"]])
        #expect(first.marks.isEmpty, "what is counted is written before it is marked")
        let second = JobPlan(
            job(spec, status: first.status),
            pods: [pod("a", "Succeeded"), marked(pod("b", "Failed")), pod("c", "Failed")],
            now: now
        )
        #expect(second.marks.map(\.name) == ["a"])
        #expect(second.status["succeeded"] == 1 && second.status["failed"] == 2)
        #expect(second.status["uncountedTerminatedPods"] == ["failed": ["c"], "succeeded": ["a"]])
        let third = JobPlan(job(spec, status: second.status), pods: [pod("d", "Succeeded")], now: now)
        #expect(third.status["succeeded"] == 2 && third.status["failed"] == 2, "the others were deleted")
        #expect(third.status["uncountedTerminatedPods"] == ["succeeded": ["d"]])
    }

    @Test
    func podsThatWereStoppedDidNotFail() {
        var stopped = pod("a", "Failed")
        stopped.json["metadata", "deletionTimestamp"] = "2020-01-01T00:00:00Z"
        #expect(JobPlan(job(["completions": 2]), pods: [stopped], now: now).status["failed"] == nil)
    }

    @Test
    func replacesPodsWhenTheyAreGoneIfToldSo() {
        var leaving = pod("a", "Running")
        leaving.json["metadata", "deletionTimestamp"] = "2020-01-01T00:00:00Z"
        #expect(JobPlan(job(["completions": 1]), pods: [leaving], now: now).creations == 1)
        let spec: JSON = ["completions": 1, "podReplacementPolicy": "Failed"]
        #expect(JobPlan(job(spec), pods: [leaving], now: now).creations == 0)
    }

    private func indexed(_ index: Int, _ phase: String) -> PodView {
        var pod = pod("i\(index)", phase)
        pod.annotations[JobIndex.annotation] = String(index)
        return pod
    }

    @Test
    func givesEachPodAnIndexThatIsNotDone() {
        let spec: JSON = ["completions": 6, "parallelism": 3, "completionMode": "Indexed"]
        #expect(JobPlan(job(spec), pods: [], now: now).creationIndexes == [0, 1, 2])
        let status: JSON = ["completedIndexes": "0,1", "succeeded": 2]
        let pods = [indexed(3, "Succeeded"), indexed(4, "Running"), indexed(0, "Succeeded"), indexed(2, "Failed")]
        let plan = JobPlan(job(spec, status: status), pods: pods, now: now)
        #expect(plan.creationIndexes == [2, 5])
        #expect(plan.status["completedIndexes"] == "0,1,3" && plan.status["succeeded"] == 3)
        #expect(JobPlan(job(spec), pods: [indexed(0, "Running")], unseenCreations: 1, now: now).creations == 0)
        let doubled = [indexed(0, "Succeeded"), indexed(0, "Running"), indexed(1, "Running"), indexed(6, "Running")]
        #expect(JobPlan(job(spec), pods: doubled, now: now).deletions.map(\.completionIndex) == [0, 6])
        let done = JobPlan(job(spec, status: ["completedIndexes": "0-4"]), pods: [indexed(5, "Succeeded")], now: now)
        #expect(Conditions(done.status["conditions"]).isTrue("Complete"))
        #expect(done.status["completedIndexes"] == "0-5" && done.status["succeeded"] == 6)
    }

    @Test(arguments: [("", []), ("3", [3]), ("0,1", [0, 1]), ("0-2,5,7-9", [0, 1, 2, 5, 7, 8, 9])])
    func writesIndexesAsRanges(_ text: String, _ indexes: [Int]) {
        #expect(JobIndex.text(Set(indexes)) == text)
        #expect(JobIndex.parse(text) == Set(indexes))
    }

    @Test
    func tellsPodsTheirIndex() {
        let own: JSON = ["name": "own", "env": [["name": "JOB_COMPLETION_INDEX", "value": "x"]]]
        var pod: JSON = [
            "metadata": ["name": "work-abcde"],
            "spec": ["containers": [["name": "main"], own], "initContainers": [[:]]],
        ]
        JobIndex.assign(12, to: &pod, of: "work")
        #expect(pod["metadata", "name"] == "work-12-abcde" && pod["spec", "hostname"] == "work-12")
        #expect(pod["metadata", "annotations", JobIndex.annotation] == "12")
        let variables = pod["spec", "containers"]?.array?.map { $0["env"]?.array?.count }
        #expect(variables == [1, 1])
        let path = pod["spec", "initContainers"]?[0]?["env"]?[0]?["valueFrom", "fieldRef", "fieldPath"]
        #expect(path == .string("metadata.annotations['\(JobIndex.annotation)']"))
        #expect(pod["spec", "containers"]?[1]?["env"]?[0]?["value"] == "x")
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
