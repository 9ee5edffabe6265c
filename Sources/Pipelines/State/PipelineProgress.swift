/// Decides what the jobs of one pipeline do next. Pure: no clock, no I/O.
///
/// The driver changes what happened to a job with one of the verbs, stores ``changes`` in the same transaction, and acts on them.
package struct PipelineProgress: Sendable {
    package struct Job: Hashable, Sendable {
        package var id: Int
        package var name: String
        package var stageIndex: Int
        package var status: JobStatus
        package var when: When
        package var allowsFailure: Bool
        /// Names of needed jobs; `nil` when the job waits for all earlier stages.
        package var needs: [String]?
        package var isInterruptible: Bool

        package init(
            id: Int,
            name: String,
            stageIndex: Int,
            status: JobStatus = .created,
            when: When = .onSuccess,
            allowsFailure: Bool = false,
            needs: [String]? = nil,
            isInterruptible: Bool = false
        ) {
            self.id = id
            self.name = name
            self.stageIndex = stageIndex
            self.status = status
            self.when = when
            self.allowsFailure = allowsFailure
            self.needs = needs
            self.isInterruptible = isInterruptible
        }
    }

    /// The latest job of each name; retried ones are history and take no part.
    package private(set) var jobs: [Job]
    /// The jobs whose status is not the one they came with.
    package var changes: [Job] { jobs.filter { original[$0.id] != $0.status } }

    private let original: [Int: JobStatus]

    package init(jobs: [Job]) {
        self.jobs = jobs
        original = Dictionary(uniqueKeysWithValues: jobs.map { ($0.id, $0.status) })
    }

    package var status: PipelineStatus {
        CompositeStatus(jobs.map(\.part)).status ?? .skipped
    }

    /// Moves every job forward that waits for nothing any more.
    package mutating func advance() {
        while let (index, status) = nextStep() { jobs[index].status = status }
    }

    package mutating func set(_ status: JobStatus, of id: Int) {
        guard let index = jobs.firstIndex(where: { $0.id == id }) else { return }
        jobs[index].status = status
    }

    /// Starts a manual job; what was skipped because of it waits for it again.
    ///
    /// - Returns: whether the job was waiting for that.
    package mutating func play(_ id: Int) -> Bool {
        guard let index = jobs.firstIndex(where: { $0.id == id }), jobs[index].status == .manual else { return false }
        jobs[index].status = .pending
        requeue(after: [jobs[index].name])
        return true
    }

    /// Puts `replacement` in the place of the job `id`, which becomes history, and lets what was skipped wait again.
    package mutating func replace(_ id: Int, with replacement: Job) {
        guard let index = jobs.firstIndex(where: { $0.id == id }) else { return }
        jobs[index] = replacement
        requeue(after: [replacement.name])
    }

    /// Stops everything that is not finished: what runs is asked to, the rest is canceled at once.
    package mutating func cancel() {
        for index in jobs.indices where jobs[index].status.isCancelable {
            jobs[index].status = jobs[index].status == .running ? .canceling : .canceled
        }
    }

    package mutating func cancel(_ id: Int) {
        guard let index = jobs.firstIndex(where: { $0.id == id }), jobs[index].status.isCancelable else { return }
        jobs[index].status = jobs[index].status == .running ? .canceling : .canceled
    }

    /// Whether a newer pipeline of the same ref makes this one superfluous: nothing that must not be interrupted has started.
    package var isRedundantWhenNewer: Bool {
        !status.isComplete && !jobs.contains { !$0.isInterruptible && $0.status.hasStarted }
    }

    // MARK: - Steps

    private func nextStep() -> (Int, JobStatus)? {
        for (index, job) in jobs.enumerated() where job.status == .created {
            guard let before = statusBefore(job) else { continue }
            return (index, step(job, after: before, isByNeeds: job.needs != nil))
        }
        return nil
    }

    /// The finished status of what `job` waits for, or `nil` while it must wait.
    private func statusBefore(_ job: Job) -> PipelineStatus? {
        if let needs = job.needs {
            return CompositeStatus(jobs.filter { needs.contains($0.name) }.map(\.part)).statusOfNeeds
        }
        let earlier = jobs.filter { $0.stageIndex < job.stageIndex }
        let status = CompositeStatus(earlier.map(\.part)).status ?? .success
        return status.isComplete ? status : nil
    }

    private func step(_ job: Job, after before: PipelineStatus, isByNeeds: Bool) -> JobStatus {
        let runs =
            switch job.when {
            case .onSuccess, .manual: before == .success || (!isByNeeds && before == .skipped)
            case .onFailure: before == .failed
            case .always: [.success, .failed, .skipped].contains(before)
            case .never: false
            }
        guard runs else { return .skipped }
        return job.when == .manual ? .manual : .pending
    }

    /// Makes skipped jobs that come after the named ones wait again.
    private mutating func requeue(after names: Set<String>) {
        var names = names
        let stage = jobs.filter { names.contains($0.name) }.map(\.stageIndex).min() ?? 0
        var isGrowing = true
        while isGrowing {
            isGrowing = false
            for index in jobs.indices where jobs[index].status == .skipped {
                let job = jobs[index]
                let isAfter = job.needs.map { $0.contains(where: names.contains) } ?? (job.stageIndex > stage)
                guard isAfter else { continue }
                jobs[index].status = .created
                names.insert(job.name)
                isGrowing = true
            }
        }
    }
}

extension PipelineProgress.Job {
    var part: CompositeStatus.Part { CompositeStatus.Part(status: status, isFailureAllowed: allowsFailure) }
}

/// Decides whether a failed job gets another try by itself.
package enum RetryDecision {
    /// - Parameter attempts: how often a job of this name has run in the pipeline, this run included.
    package static func retries(
        _ retry: RetryDefinition,
        reason: FailureReason,
        exitCode: Int?,
        attempts: Int
    ) -> Bool {
        guard attempts <= retry.max else { return false }
        if let exitCode, retry.exitCodes.contains(exitCode) { return true }
        return retry.when.contains { name in
            switch name {
            case "always": true
            case "stuck_or_timeout_failure": reason == .jobExecutionTimeout
            default: name == reason.rawValue
            }
        }
    }
}
