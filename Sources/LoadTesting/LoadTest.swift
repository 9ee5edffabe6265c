import CLinux
import Foundation

/// Runs one load test from the first request to the report.
///
/// ```swift
/// let report = try await LoadTest(plan).run { second in print(second.total.goodput) }
/// ```
package struct LoadTest: Sendable {
    private let plan: LoadPlan
    private let stopFlag = StopFlag()

    package init(_ plan: LoadPlan) { self.plan = plan }

    /// Ends the test before its time: nothing more is offered, requests under way finish. The report tells of what was done.
    package func stop() { stopFlag.set() }

    /// Offers the planned load. Returns when every offered request has ended; that is ``LoadPlan/timeout`` after the last one at most.
    /// - Parameter onSecond: called after each second of the test, in order, from one task.
    package func run(onSecond: (LoadSecond) -> Void = { _ in }) async throws -> LoadReport {
        clinux_raise_file_limit()
        let mailbox = GeneratorMailbox()
        let startedAt = Date()
        let threads = try startThreads(mailbox)
        var collector = LoadCollector(plan: plan, startedAt: startedAt)
        var watch = ObjectiveWatch(plan: plan)
        await withTaskCancellationHandler {
            while !collector.isComplete {
                for second in collector.take(await mailbox.next()) {
                    onSecond(second)
                    if watch.isHopeless(after: second) { stopFlag.set() }
                }
            }
        } onCancel: {
            stopFlag.set()
        }
        for thread in threads { _ = clinux_thread_join(thread) }
        return collector.report(wasStopped: stopFlag.isSet)
    }

    private func startThreads(_ mailbox: GeneratorMailbox) throws -> [UInt64] {
        let schedules = TrafficSplit.schedules(of: plan)
        // Late enough for all threads to be there, so that none of them starts behind.
        let start = clinux_monotonic() + 20_000_000
        let client =
            plan.target.scheme == "https" ? try TLSClient(host: plan.target.host, trust: plan.trust) : nil
        let threads = try (0..<plan.threads).map { thread in
            let link = GeneratorLink(thread: thread, stop: stopFlag, mailbox: mailbox)
            return GeneratorThread(
                try Generator(
                    plan: plan,
                    schedules: schedules,
                    thread: thread,
                    start: start,
                    client: client,
                    link: link
                )
            )
        }
        return try threads.enumerated().map { try $1.start(name: "load-\($0)") }
    }
}

/// Divides the rate of the phases among the classes, so that the parts add up exactly.
enum TrafficSplit {
    static func schedules(of plan: LoadPlan) -> [ArrivalSchedule] {
        let shares = plan.classes.map { $0.rate == nil ? $0.share : 0 }
        let total = max(1, shares.reduce(0, +))
        var before = 0
        return plan.classes.indices.map { index in
            defer { before += shares[index] }
            if let rate = plan.classes[index].rate {
                return ArrivalSchedule([LoadPhase(from: rate, duration: plan.duration)])
            }
            let (low, high) = (before, before + shares[index])
            func part(_ rate: Rate) -> Rate {
                Rate(thousandths: rate.thousandths * high / total - rate.thousandths * low / total)
            }
            return ArrivalSchedule(
                plan.phases.map {
                    LoadPhase(name: $0.name, from: part($0.start), to: part($0.end), duration: $0.duration)
                }
            )
        }
    }
}
