/// One status for many jobs, by GitLab's rules: a failure that is allowed counts as success, an optional manual job not at all.
struct CompositeStatus {
    struct Part: Hashable {
        var status: JobStatus
        var isFailureAllowed: Bool
    }

    private enum Effect: Hashable {
        case status(JobStatus)
        case ignored
        case warning
    }

    private let effects: Set<Effect>

    init(_ parts: some Sequence<Part>) {
        effects = Set(parts.map(Self.effect))
    }

    private static func effect(_ part: Part) -> Effect {
        guard part.isFailureAllowed else { return .status(part.status) }
        return switch part.status {
        case .manual: .ignored
        case .failed, .canceled: .warning
        default: .status(part.status)
        }
    }

    /// The status of a stage or a pipeline; `nil` without jobs.
    var status: PipelineStatus? {
        guard !effects.isEmpty else { return nil }
        if consists(of: .status(.skipped), .ignored) { return .skipped }
        if consists(of: .status(.success), .status(.skipped), .warning, .ignored) { return .success }
        if consists(of: .status(.created), .warning, .ignored) { return .created }
        if consists(of: .status(.canceled), .status(.success), .status(.skipped), .warning, .ignored) {
            return .canceled
        }
        if consists(of: .status(.pending), .status(.created), .status(.skipped), .warning, .ignored) { return .pending }
        return unfinishedStatus
    }

    private var unfinishedStatus: PipelineStatus {
        if has(.running) || has(.pending) { return .running }
        if has(.waitingForResource) { return .waitingForResource }
        if has(.manual) { return .manual }
        if has(.canceling) { return .canceling }
        return has(.created) ? .running : .failed
    }

    /// The status of the jobs that a job needs: `nil` while they are not all finished, skipped as soon as one never runs.
    var statusOfNeeds: PipelineStatus? {
        if effects.isEmpty { return .success }
        if has(.skipped) || effects.contains(.ignored) { return .skipped }
        let finished: Set<Effect> = [.status(.success), .status(.failed), .status(.canceled), .warning]
        return effects.isSubset(of: finished) ? status : nil
    }

    private func consists(of allowed: Effect...) -> Bool { effects.isSubset(of: allowed) }
    private func has(_ status: JobStatus) -> Bool { effects.contains(.status(status)) }
}
