import Testing

@testable import Pipelines

struct PipelineProgressTests {
    typealias Job = PipelineProgress.Job

    @Test(arguments: [
        ("success success", "success"), ("success failed", "failed"), ("success skipped", "success"),
        ("skipped", "skipped"),
        ("created created", "created"), ("pending created", "pending"), ("running created", "running"),
        ("success created", "running"), ("success pending", "running"), ("success manual", "manual"),
        ("success manual?", "success"), ("manual?", "skipped"), ("success failed?", "success"), ("failed?", "success"),
        ("canceled success", "canceled"), ("canceled failed", "failed"), ("failed running", "running"),
        ("canceling", "canceling"),
        ("success manual failed", "manual"), ("waiting_for_resource success", "waiting_for_resource"),
        ("success canceled?", "success"), ("failed created", "running"),
    ])
    func statusOfThePipeline(_ row: String, _ expected: String) throws {
        let jobs = try row.split(separator: " ").enumerated().map { index, word in
            let name = word.filter { $0 != "?" }
            let status = try #require(JobStatus(rawValue: String(name)))
            return Job(id: index, name: "j\(index)", stageIndex: 0, status: status, allowsFailure: word.last == "?")
        }
        #expect(PipelineProgress(jobs: jobs).status.rawValue == expected)
    }

    private func stages(_ statuses: JobStatus..., when: [Int: When] = [:], optional: Set<Int> = []) -> PipelineProgress
    {
        var progress = PipelineProgress(
            jobs: statuses.enumerated().map { index, status in
                Job(
                    id: index,
                    name: "j\(index)",
                    stageIndex: index,
                    status: status,
                    when: when[index] ?? .onSuccess,
                    allowsFailure: optional.contains(index)
                )
            }
        )
        progress.advance()
        return progress
    }

    @Test func theFirstStageStartsAndOthersWait() {
        #expect(stages(.created, .created).jobs.map(\.status) == [.pending, .created])
        #expect(stages(.running, .created).jobs.map(\.status) == [.running, .created])
        #expect(stages(.success, .created).jobs.map(\.status) == [.success, .pending])
    }

    @Test func afterAFailureOnlyOnFailureAndAlwaysRun() {
        let progress = stages(.failed, .created, .created, .created, when: [2: .onFailure, 3: .always])
        #expect(progress.jobs.map(\.status) == [.failed, .skipped, .pending, .created])
        var finished = progress
        finished.set(.success, of: 2)
        finished.advance()
        #expect(finished.jobs[3].status == .pending)
        #expect(finished.status == .running)
    }

    @Test func onFailureIsSkippedWhenAllIsWell() {
        #expect(
            stages(.success, .created, .created, when: [1: .onFailure]).jobs.map(\.status) == [
                .success, .skipped, .pending,
            ]
        )
    }

    @Test func aFailureThatIsAllowedLetsTheNextStageRun() {
        #expect(stages(.failed, .created, optional: [0]).jobs.map(\.status) == [.failed, .pending])
    }

    @Test func anOptionalManualJobBlocksNothingAndABlockingOneAll() {
        #expect(
            stages(.created, .created, when: [0: .manual], optional: [0]).jobs.map(\.status) == [.manual, .pending]
        )
        let blocked = stages(.created, .created, when: [0: .manual])
        #expect(blocked.jobs.map(\.status) == [.manual, .created])
        #expect(blocked.status == .manual)
    }

    @Test func playingAManualJobGoesOn() {
        var progress = stages(.created, .created, when: [0: .manual])
        let played = [progress.play(0), progress.play(1)]
        #expect(played == [true, false])
        progress.set(.success, of: 0)
        progress.advance()
        #expect(progress.jobs.map(\.status) == [.success, .pending])
    }

    private func graph(_ jobs: [(String, JobStatus, [String]?)]) -> PipelineProgress {
        var progress = PipelineProgress(
            jobs: jobs.enumerated().map {
                Job(id: $0, name: $1.0, stageIndex: $1.2 == nil ? 0 : 1, status: $1.1, needs: $1.2)
            }
        )
        progress.advance()
        return progress
    }

    @Test func neededJobsAloneDecide() {
        let progress = graph([
            ("a", .success, nil), ("b", .running, nil), ("c", .created, ["a"]), ("d", .created, ["a", "b"]),
            ("e", .created, []),
        ])
        #expect(progress.jobs.map(\.status) == [.success, .running, .pending, .created, .pending])
    }

    @Test func aNeedThatFailedOrNeverRanSkips() {
        let progress = graph([("a", .failed, nil), ("b", .created, ["a"]), ("c", .created, ["b"])])
        #expect(progress.jobs.map(\.status) == [.failed, .skipped, .skipped])
        #expect(progress.status == .failed)
    }

    @Test func retryingLetsTheSkippedOnesWaitAgain() {
        var progress = graph([("a", .failed, nil), ("b", .created, ["a"]), ("c", .created, ["b"])])
        progress.replace(0, with: Job(id: 9, name: "a", stageIndex: 0, status: .pending))
        progress.advance()
        #expect(progress.jobs.map(\.status) == [.pending, .created, .created])
        progress.set(.success, of: 9)
        progress.advance()
        #expect(progress.jobs.map(\.status) == [.success, .pending, .created])
    }

    @Test func cancelingAsksWhatRunsAndEndsTheRest() {
        var progress = stages(.success, .running, .created)
        progress.cancel()
        #expect(progress.jobs.map(\.status) == [.success, .canceling, .canceled])
        #expect(progress.status == .canceling)
        progress.set(.canceled, of: 1)
        progress.advance()
        #expect(progress.status == .canceled)
    }

    @Test func changesAreOnlyWhatMoved() {
        #expect(stages(.success, .created, .created).changes.map(\.id) == [1])
    }

    @Test func aNewerPipelineReplacesWhatMayBeInterrupted() {
        func redundant(_ status: JobStatus, _ isInterruptible: Bool) -> Bool {
            PipelineProgress(
                jobs: [
                    Job(id: 0, name: "a", stageIndex: 0, status: status, isInterruptible: isInterruptible),
                    Job(id: 1, name: "b", stageIndex: 1),
                ]
            ).isRedundantWhenNewer
        }
        #expect(redundant(.running, true))
        #expect(redundant(.pending, false))
        #expect(!redundant(.running, false))
        #expect(!redundant(.success, false))
    }

    @Test(arguments: [
        (RetryDefinition(max: 1), FailureReason.scriptFailure, 1, 1, true),
        (RetryDefinition(max: 1), .scriptFailure, 1, 2, false),
        (RetryDefinition(), .scriptFailure, 1, 1, false),
        (RetryDefinition(max: 2, when: ["runner_system_failure"]), .scriptFailure, 1, 1, false),
        (RetryDefinition(max: 2, when: ["runner_system_failure"]), .runnerSystemFailure, 1, 2, true),
        (RetryDefinition(max: 2, when: ["stuck_or_timeout_failure"]), .jobExecutionTimeout, 1, 1, true),
        (RetryDefinition(max: 2, when: [], exitCodes: [137]), .scriptFailure, 137, 1, true),
        (RetryDefinition(max: 2, when: [], exitCodes: [137]), .scriptFailure, 1, 1, false),
    ])
    func retries(_ retry: RetryDefinition, _ reason: FailureReason, _ code: Int, _ attempts: Int, _ expected: Bool) {
        #expect(RetryDecision.retries(retry, reason: reason, exitCode: code, attempts: attempts) == expected)
    }

    /// Whatever the order in which jobs end, the pipeline ends, no job starts before what it waits for, and none is forgotten.
    @Test func everyPipelineEnds() throws {
        for seed in 1...200 {
            var generator = SeededGenerator(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15)
            let whens: [When] = [.onSuccess, .onSuccess, .always, .onFailure]
            var progress = PipelineProgress(
                jobs: (0..<9).map { index in
                    let needs = (0..<index).filter { _ in generator.next() % 4 == 0 }.map { "j\($0)" }
                    return Job(
                        id: index,
                        name: "j\(index)",
                        stageIndex: index / 3,
                        when: whens[Int(generator.next() % 4)],
                        allowsFailure: generator.next() % 5 == 0,
                        needs: generator.next() % 2 == 0 ? needs : nil
                    )
                }
            )
            progress.advance()
            var steps = 0
            while !progress.status.isComplete {
                steps += 1
                try #require(steps < 100, "seed \(seed) does not end: \(progress.jobs.map(\.status))")
                let ready = progress.jobs.filter { $0.status == .pending }
                let job = try #require(ready.randomElement(using: &generator))
                if job.needs == nil {
                    #expect(progress.jobs.allSatisfy { $0.stageIndex >= job.stageIndex || $0.status.isComplete })
                }
                progress.set(generator.next() % 3 == 0 ? .failed : .success, of: job.id)
                progress.advance()
            }
            #expect(progress.jobs.allSatisfy { $0.status.isComplete })
        }
    }
}
