import KubernetesModel

/// How many pods of a Job ended, each counted once, though pods may be deleted after they were counted. Pure.
///
/// A pod is counted in one write with its uid in `status.uncountedTerminatedPods`, then it gets a mark of its own, then its uid leaves
/// the list. So whatever is lost in between, no pod is counted twice.
struct JobTally {
    /// On pods that are counted.
    static let mark = "sampan.dev/counted"

    private(set) var succeeded: Int
    private(set) var failed: Int
    /// Counted before, and still to be marked.
    private(set) var unmarked: [PodView] = []
    /// The uids of pods that are counted and not known to be marked, by what they are.
    private var listed: [String: Set<String>] = [:]

    init(_ job: JobView, pods: [PodView]) {
        succeeded = job.status["succeeded"]?.int ?? 0
        failed = job.status["failed"]?.int ?? 0
        let known = Self.uids(job)
        for pod in pods where pod.isFinished && pod.annotations[Self.mark] == nil {
            let field = pod.phase == "Succeeded" ? "succeeded" : "failed"
            if known.contains(pod.uid) {
                unmarked.append(pod)
            } else if pod.phase == "Succeeded" {
                succeeded += 1
            } else if pod.isBeingDeleted {
                continue  // it was stopped, and did not fail by itself
            } else {
                failed += 1
            }
            listed[field, default: []].insert(pod.uid)
        }
    }

    /// For `status.uncountedTerminatedPods`.
    var list: JSON {
        var list: JSON = [:]
        for field in ["failed", "succeeded"] {
            if let uids = listed[field] { list[field] = .array(uids.sorted().map { .string($0) }) }
        }
        return list
    }

    private static func uids(_ job: JobView) -> Set<String> {
        let list = job.status["uncountedTerminatedPods"]
        return Set(["succeeded", "failed"].flatMap { list?[$0]?.array?.compactMap(\.string) ?? [] })
    }
}
