import KubernetesModel

/// What to do for a Job, from what is there: pods to start or to stop, and the status that says so. Pure.
struct JobPlan: Equatable {
    /// Why a Job gives up.
    private struct Failure {
        var reason: String
        var message: String
    }

    /// The pause before a pod follows one that failed: doubled with each failure.
    static let initialBackoff: Int64 = 10
    static let maximumBackoff: Int64 = 600

    private(set) var creations = 0
    /// What the new pods work on, one for each, in an Indexed Job; empty in others.
    private(set) var creationIndexes: [Int] = []
    private(set) var deletions: [PodView] = []
    /// Pods that were counted and must bear the mark of it.
    private(set) var marks: [PodView] = []
    /// The Job is over and was kept for as long as it asked.
    private(set) var isExpired = false
    private(set) var status: JSON
    /// When time alone changes something: the end of a back-off, the deadline, the end of what is kept.
    private(set) var nextLook: Timestamp?

    private let job: JobView
    private let pods: [PodView]
    private let active: [PodView]
    private let unseenCreations: Int
    private let succeeded: Int
    private let failed: Int
    /// The indexes that are done, in an Indexed Job.
    private let completedIndexes: Set<Int>
    private let uncounted: JSON
    private let now: Timestamp
    private var conditions: Conditions

    /// - Parameters:
    ///   - pods: all pods of the Job
    ///   - unseenCreations: pods that were made and are not among `pods` yet
    init(_ job: JobView, pods: [PodView], unseenCreations: Int = 0, now: Timestamp) {
        self.job = job
        self.pods = pods
        self.unseenCreations = unseenCreations
        self.now = now
        active = pods.filter(\.isActive)
        status = job.status
        conditions = job.conditions
        let tally = JobTally(job, pods: pods)
        completedIndexes = job.isIndexed ? Self.completedIndexes(of: job, pods) : []
        succeeded = job.isIndexed ? completedIndexes.count : tally.succeeded
        failed = tally.failed
        uncounted = tally.list
        if job.isFinished { planCleanUp() } else if !job.isBeingDeleted { planWork() }
        status["conditions"] = conditions.json
    }

    // MARK: - Private

    private mutating func planCleanUp() {
        deletions = active
        guard let ttl = job.ttlSecondsAfterFinished, let finishedAt = job.finishedAt else { return }
        let due = Timestamp(seconds: finishedAt.seconds + Int64(ttl))
        if due <= now { isExpired = true } else { nextLook = due }
    }

    private mutating func planWork() {
        noteSuspension()
        if let failure = failure() {
            fail(failure)
        } else if isComplete {
            deletions = active
            complete()
        } else if job.isSuspended {
            deletions = active
        } else {
            planPods()
        }
        if !isOver { marks = JobTally(job, pods: pods).unmarked }
        updateCounts()
        scheduleDeadline()
    }

    private mutating func planPods() {
        let wanted =
            if let completions = job.completions { min(job.parallelism, completions - succeeded) } else {
                succeeded > 0 ? active.count : job.parallelism
            }
        if job.isIndexed, dropNeedlessIndexes() { return }
        let leaving = job.replacesOnlyFailed ? pods.count(where: \.isStopping) : 0
        let difference = wanted - active.count - leaving - unseenCreations
        if difference < 0 {
            let order = active.sorted { ReplicaSetPlan.goesBefore($0, $1) }
            deletions = Array(order.prefix(min(-difference, active.count)))
        } else if difference > 0 {
            if let due = backoffEnd, due > now {
                nextLook = due
            } else {
                create(min(difference, ReplicaSetPlan.burst))
            }
        }
    }

    private mutating func create(_ count: Int) {
        guard job.isIndexed else {
            creations = count
            return
        }
        // The indexes of pods that do not show yet are not known.
        guard unseenCreations == 0 else { return }
        let taken = completedIndexes.union(active.compactMap(\.completionIndex))
        creationIndexes = Array((0..<(job.completions ?? 0)).lazy.filter { !taken.contains($0) }.prefix(count))
        creations = creationIndexes.count
    }

    /// Stops pods whose index is done already, is another pod's too, or is beyond the last; answers whether there are any.
    private mutating func dropNeedlessIndexes() -> Bool {
        var seen = completedIndexes
        deletions = active.sorted { $0.creationTimestamp < $1.creationTimestamp }.filter { pod in
            guard let index = pod.completionIndex, index < job.completions ?? 0 else { return true }
            return !seen.insert(index).inserted
        }
        return !deletions.isEmpty
    }

    private static func completedIndexes(of job: JobView, _ pods: [PodView]) -> Set<Int> {
        let known = JobIndex.parse(job.status["completedIndexes"]?.string ?? "")
        return known.union(pods.filter { $0.phase == "Succeeded" }.compactMap(\.completionIndex))
            .filter { $0 < job.completions ?? 0 }
    }

    /// The end of the pause after the last failure, if no pod succeeded since.
    private var backoffEnd: Timestamp? {
        let finished = pods.filter(\.isFinished).compactMap { pod in pod.finishedAt.map { (pod, $0) } }
            .sorted { $0.1 > $1.1 }
        let failures = finished.prefix { $0.0.phase == "Failed" }
        guard let last = failures.first else { return nil }
        let pause = min(Self.initialBackoff << Int64(min(failures.count - 1, 16)), Self.maximumBackoff)
        return Timestamp(seconds: last.1.seconds + pause)
    }

    private var isComplete: Bool {
        if let completions = job.completions { return succeeded >= completions }
        return succeeded > 0 && active.isEmpty && unseenCreations == 0
    }

    private func failure() -> Failure? {
        if let target = conditions["FailureTarget"], target["status"]?.string == "True" {
            return Failure(reason: target["reason"]?.string ?? "", message: target["message"]?.string ?? "")
        }
        let restarts = job.restartsContainers ? active.reduce(0) { $0 + $1.restartCount } : 0
        if failed > job.backoffLimit || (restarts > 0 && restarts >= max(1, job.backoffLimit)) {
            return Failure(
                reason: "BackoffLimitExceeded",
                message: "Job has reached the specified backoff limit"
            )
        }
        if let deadline, deadline <= now {
            return Failure(reason: "DeadlineExceeded", message: "Job was active longer than specified deadline")
        }
        return nil
    }

    private var deadline: Timestamp? {
        guard let seconds = job.activeDeadlineSeconds, !job.isSuspended, let start = job.startTime else { return nil }
        return Timestamp(seconds: start.seconds + Int64(seconds))
    }

    private mutating func scheduleDeadline() {
        guard let deadline, deadline > now else { return }
        nextLook = min(deadline, nextLook ?? deadline)
    }

    /// Stops all pods first; the Job is Failed once none is left.
    private mutating func fail(_ failure: Failure) {
        deletions = active
        let isOver = active.isEmpty && unseenCreations == 0 && !pods.contains(where: \.isStopping)
        set(isOver ? "Failed" : "FailureTarget", "True", reason: failure.reason, message: failure.message)
    }

    private mutating func complete() {
        set("SuccessCriteriaMet", "True", reason: "CompletionsReached", message: Self.completionMessage)
        set("Complete", "True", reason: "CompletionsReached", message: Self.completionMessage)
        status["completionTime"] = .string(now.description)
    }

    private static let completionMessage = "Reached expected number of succeeded pods"

    private mutating func noteSuspension() {
        if job.isSuspended {
            if !conditions.isTrue("Suspended") {
                set("Suspended", "True", reason: "JobSuspended", message: "Job suspended")
            }
            status["startTime"] = nil
        } else {
            if conditions.isTrue("Suspended") {
                set("Suspended", "False", reason: "JobResumed", message: "Job resumed")
            }
            if status["startTime"] == nil { status["startTime"] = .string(now.description) }
        }
    }

    private mutating func updateCounts() {
        func count(_ value: Int) -> JSON? { value == 0 ? .none : JSON(value) }
        status["active"] = isOver ? .none : count(active.count)
        status["succeeded"] = count(succeeded)
        status["failed"] = count(failed)
        status["ready"] = JSON(isOver ? 0 : active.count(where: \.isReady))
        status["terminating"] = count(pods.count(where: \.isStopping))
        status["uncountedTerminatedPods"] = isOver ? [:] : uncounted
        if job.isIndexed { status["completedIndexes"] = .string(JobIndex.text(completedIndexes)) }
    }

    private var isOver: Bool { conditions.isTrue("Complete") || conditions.isTrue("Failed") }

    private mutating func set(_ type: String, _ value: String, reason: String, message: String) {
        conditions.set(type, status: value, reason: reason, message: message, at: now, timeField: "lastProbeTime")
    }
}

extension PodView {
    /// Asked to stop, but still there.
    fileprivate var isStopping: Bool { isBeingDeleted && !isFinished }

    /// When the last container ended; when it was made, if no container says.
    var finishedAt: Timestamp? {
        let times = (json["status", "containerStatuses"]?.array ?? []).compactMap {
            $0["state", "terminated", "finishedAt"]?.string.flatMap { Timestamp($0) }
        }
        return times.max() ?? Timestamp(creationTimestamp)
    }
}
