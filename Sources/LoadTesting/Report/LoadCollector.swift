import Foundation

/// Puts the accounts of all threads together, second by second. Pure: no clock, no I/O.
struct LoadCollector {
    private let plan: LoadPlan
    private let startedAt: Date
    private var open: [Int: (tallies: [Tally], threads: Int)] = [:]
    private var sums: [Tally]
    private var seconds: [LoadSecond] = []
    private var reached: [Int]
    private var finished = 0
    private var processorTime: UInt64 = 0
    private var offeringTime: UInt64 = 0
    private var problem: String?

    init(plan: LoadPlan, startedAt: Date) {
        self.plan = plan
        self.startedAt = startedAt
        sums = plan.classes.map { _ in Tally() }
        reached = Array(repeating: -1, count: plan.threads)
    }

    var isComplete: Bool { finished == plan.threads }

    /// Returns the seconds that are complete now.
    mutating func take(_ message: GeneratorMessage) -> [LoadSecond] {
        switch message {
        case .second(let thread, let number, let tallies):
            reached[thread] = number
            var tallied = open[number]?.tallies ?? plan.classes.map { _ in Tally() }
            for index in tallied.indices { tallied[index].add(tallies[index]) }
            open[number] = (tallied, (open[number]?.threads ?? 0) + 1)
            return close(upTo: reached.min() ?? -1)
        case .finished(let time, let offering, let reason):
            finished += 1
            processorTime += time
            offeringTime = max(offeringTime, offering)
            problem = problem ?? reason
            // A thread may finish seconds before the others do.
            return isComplete ? close(upTo: open.keys.max() ?? -1) : []
        }
    }

    private mutating func close(upTo last: Int) -> [LoadSecond] {
        var closed: [LoadSecond] = []
        while seconds.count <= last {
            let tallies = open.removeValue(forKey: seconds.count)?.tallies ?? plan.classes.map { _ in Tally() }
            let second = LoadSecond(
                number: seconds.count,
                total: LoadSummary(Self.sum(tallies), duration: 1),
                classes: zip(plan.classes, tallies).map { .init(name: $0.name, summary: LoadSummary($1, duration: 1)) }
            )
            if seconds.count >= plan.warmup {
                for index in sums.indices { sums[index].add(tallies[index]) }
            }
            seconds.append(second)
            closed.append(second)
        }
        return closed
    }

    func report(wasStopped: Bool) -> LoadReport {
        let offering = Double(wasStopped ? offeringTime : UInt64(plan.duration)) / 1e9
        let duration = max(1e-3, offering - Double(plan.warmup))
        var report = LoadReport(
            target: plan.target.origin + plan.target.path,
            model: plan.model,
            startedAt: startedAt,
            duration: duration,
            wasStopped: wasStopped,
            phases: phases,
            total: LoadSummary(Self.sum(sums), duration: duration, withDistribution: true),
            classes: zip(plan.classes, sums).map {
                .init(name: $0.name, summary: LoadSummary($1, duration: duration, withDistribution: true))
            },
            seconds: seconds,
            verdicts: [],
            generatorTime: Double(processorTime) / 1e9,
            threads: plan.threads,
            problem: problem
        )
        report.judge(plan.objectives)
        return report
    }

    private var phases: [LoadReport.Phase] {
        var start = 0
        return plan.phases.map { phase in
            defer { start += phase.duration }
            return LoadReport.Phase(
                name: phase.name,
                startRate: plan.model == .open ? phase.start.perSecond : nil,
                endRate: plan.model == .open ? phase.end.perSecond : nil,
                start: Double(start) / 1e9,
                duration: Double(phase.duration) / 1e9
            )
        }
    }

    private static func sum(_ tallies: [Tally]) -> Tally {
        tallies.reduce(into: Tally()) { $0.add($1) }
    }
}
