import Pipelines
import Synchronization
import SystemPackage

@testable import Pipelines

/// Runs jobs as a test says, and remembers what was asked of it.
final class ScriptedExecutor: JobExecutor {
    enum Script: Sendable {
        case ends(JobOutcome)
        case fails(Errno)
        /// Runs until it is stopped or released.
        case waits
    }

    private struct State {
        var scripts: [String: [Script]] = [:]
        var assignments: [JobAssignment] = []
        var resumed: [Int] = []
        var kept: [Set<Int>] = []
        var removed: [Int] = []
        var waiting: [Int: CheckedContinuation<JobOutcome, Never>] = [:]
        var early: [Int: JobOutcome] = [:]
        var mostAtOnce = 0
    }

    private let state = Mutex(State())

    /// What the runs of the job `name` do, one after the other; others succeed.
    func script(_ name: String, _ scripts: Script...) {
        state.withLock { $0.scripts[name] = scripts }
    }

    var assignments: [JobAssignment] { state.withLock { $0.assignments } }
    var resumed: [Int] { state.withLock { $0.resumed } }
    var kept: [Set<Int>] { state.withLock { $0.kept } }
    var removed: [Int] { state.withLock { $0.removed } }
    var mostAtOnce: Int { state.withLock { $0.mostAtOnce } }

    func release(_ jobID: Int, _ outcome: JobOutcome = .success) {
        let continuation = state.withLock { state in
            if state.waiting[jobID] == nil { state.early[jobID] = outcome }
            return state.waiting.removeValue(forKey: jobID)
        }
        continuation?.resume(returning: outcome)
    }

    func run(_ assignment: JobAssignment, trace: JobTrace, isResuming: Bool) async throws -> JobOutcome {
        let script = state.withLock { state in
            state.assignments.append(assignment)
            if isResuming { state.resumed.append(assignment.jobID) }
            guard var scripts = state.scripts[assignment.name], !scripts.isEmpty else { return Script.ends(.success) }
            let first = scripts.removeFirst()
            state.scripts[assignment.name] = scripts
            return first
        }
        try trace.append("output of \(assignment.name)\n")
        switch script {
        case .ends(let outcome): return outcome
        case .fails(let error): throw error
        case .waits:
            let outcome = await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let early = state.withLock { state in
                        if let early = state.early.removeValue(forKey: assignment.jobID) {
                            return JobOutcome?.some(early)
                        }
                        state.waiting[assignment.jobID] = continuation
                        state.mostAtOnce = max(state.mostAtOnce, state.waiting.count)
                        return nil
                    }
                    if let early { continuation.resume(returning: early) }
                }
            } onCancel: {
                self.release(assignment.jobID, .gone)
            }
            try Task.checkCancellation()
            return outcome
        }
    }

    func stop(jobID: Int) async throws { release(jobID, .gone) }
    func remove(jobID: Int) async throws { state.withLock { $0.removed.append(jobID) } }
    func start(keeping jobIDs: Set<Int>) async throws { state.withLock { $0.kept.append(jobIDs) } }
}
