import Synchronization

/// Finds the highest rate that a service keeps up with, by trying rates in the open model.
///
/// A rate holds when the answers keep pace with the requests, the latency does not grow from second to second, at most one request in a
/// hundred fails, and the plan's objectives are met. The search doubles the rate until it fails and then closes in.
package final class KneeSearch: Sendable {
    package struct Settings: Sendable {
        /// The first rate to try.
        package var start = Rate(perSecond: 100)
        package var highest = Rate(perSecond: 1_000_000)
        /// Nanoseconds of each try, after a second of warm-up.
        package var stepDuration = 5_000_000_000
        /// The search ends when the bounds are this close to each other, as a share of the rate.
        package var precision = 0.02

        package init() {}
    }

    private let plan: LoadPlan
    private let settings: Settings
    private let isStopped = Atomic(false)
    private let current = Mutex<LoadTest?>(nil)

    /// - Parameter plan: its classes, objectives and limits count; its phases do not.
    package init(_ plan: LoadPlan, settings: Settings = .init()) throws {
        guard plan.model == .open else { throw LoadError("the knee can only be found in the open model") }
        guard settings.start.thousandths > 0, settings.start < settings.highest else {
            throw LoadError("the first rate must lie between 0 and \(settings.highest.perSecond)")
        }
        guard settings.stepDuration >= 2_000_000_000 else {
            throw LoadError("each rate must be tried for 2 s at least")
        }
        self.plan = plan
        self.settings = settings
    }

    /// Ends the search with what it found so far.
    package func stop() {
        isStopped.store(true, ordering: .relaxed)
        current.withLock { $0?.stop() }
    }

    /// - Returns: the report of the highest rate that held, or of the last one tried where none did, with all steps in it.
    package func run(onStep: (KneeReport.Step) -> Void = { _ in }) async throws -> LoadReport {
        var bounds = KneeBounds(settings)
        var steps: [KneeReport.Step] = []
        var best: LoadReport?
        var last: LoadReport?
        while let rate = bounds.next(), !isStopped.load(ordering: .relaxed), steps.count < 60 {
            let report = try await attempt(rate)
            if isStopped.load(ordering: .relaxed) { break }
            let step = KneeJudge.step(rate: rate, report: report, objectives: plan.objectives)
            onStep(step)
            steps.append(step)
            bounds.record(rate, holds: step.holds)
            last = report
            if step.holds { best = report }
        }
        guard var report = best ?? last else {
            throw LoadError("the search was stopped before its first rate was tried")
        }
        report.wasStopped = isStopped.load(ordering: .relaxed)
        report.knee = KneeReport(
            rate: bounds.holding?.perSecond ?? 0,
            failingRate: bounds.failing?.perSecond,
            steps: steps
        )
        return report
    }

    private func attempt(_ rate: Rate) async throws -> LoadReport {
        var plan = plan
        plan.warmup = 1
        // Longer than needed: what still waits after the last second measured is taken back, so that no try burdens the next one.
        let seconds = plan.warmup + (settings.stepDuration + 999_999_999) / 1_000_000_000
        plan.phases = [LoadPhase(from: rate, duration: (seconds + 1) * 1_000_000_000)]
        plan.stopsOnMiss = false
        let test = LoadTest(plan)
        current.withLock { $0 = test }
        if isStopped.load(ordering: .relaxed) { test.stop() }
        return try await test.run { second in
            if second.number + 1 >= seconds { test.stop() }
        }
    }
}

/// Which rate to try next. Pure.
struct KneeBounds {
    private let settings: KneeSearch.Settings
    private(set) var holding: Rate?
    private(set) var failing: Rate?

    init(_ settings: KneeSearch.Settings) { self.settings = settings }

    func next() -> Rate? {
        switch (holding, failing) {
        case (nil, nil): return settings.start
        case (let low?, nil):
            return low < settings.highest ? min(Rate(thousandths: low.thousandths * 2), settings.highest) : nil
        case (nil, let high?): return high.thousandths > 1000 ? Rate(thousandths: high.thousandths / 2) : nil
        case (let low?, let high?):
            guard high.perSecond > low.perSecond * (1 + settings.precision), high.thousandths > low.thousandths + 1
            else {
                return nil
            }
            return Rate(perSecond: (low.perSecond * high.perSecond).squareRoot())
        }
    }

    mutating func record(_ rate: Rate, holds: Bool) {
        if holds { holding = max(rate, holding ?? rate) } else { failing = min(rate, failing ?? rate) }
    }
}

/// Whether a rate held. Pure.
enum KneeJudge {
    static func step(rate: Rate, report: LoadReport, objectives: [Objective]) -> KneeReport.Step {
        let window = measured(report)
        let reason = complaint(window, report, objectives)
        let answered = window.reduce(0) { $0 + $1.total.good }
        return KneeReport.Step(
            rate: rate.perSecond,
            goodput: Double(answered) / Double(max(1, window.count)),
            p50: report.total.latency.p50,
            p99: report.total.latency.p99,
            errorShare: report.total.errorShare,
            holds: reason == nil,
            reason: reason
        )
    }

    /// The seconds after the warm-up in which requests were offered all the time.
    private static func measured(_ report: LoadReport) -> [LoadSecond] {
        let seconds = report.seconds.dropFirst(1)
        let steady = seconds.map(\.total.offered).sorted()[safe: seconds.count / 2] ?? 0
        return seconds.filter { Double($0.total.offered) > 0.9 * Double(steady) }
    }

    private static func complaint(
        _ window: [LoadSecond],
        _ report: LoadReport,
        _ objectives: [Objective]
    ) -> String? {
        let offered = window.reduce(0) { $0 + $1.total.offered }
        let answered = window.reduce(0) { $0 + $1.total.ended - $1.total.failed }
        if TextReport.isGeneratorBusy(report) { return "the generator was at its own limit" }
        if report.total.errorShare > 0.01 {
            return "\(Figures.percentage(report.total.errorShare)) of the requests failed"
        }
        if Double(answered + 2) < 0.98 * Double(offered) {
            return
                "only \(Figures.percentage(Double(answered) / Double(max(1, offered)))) of the requests were answered in their time"
        }
        if let missed = objectives.first(where: { !isMet($0, report) }) {
            return "\(missed.text) measured \(missed.verdict(on: summary(missed, report)).measured)"
        }
        return grows(window) ? "the latency grew from second to second" : nil
    }

    private static func summary(_ objective: Objective, _ report: LoadReport) -> LoadSummary {
        report.classes.first { $0.name == objective.className }?.summary ?? report.total
    }

    private static func isMet(_ objective: Objective, _ report: LoadReport) -> Bool {
        objective.isMet(by: summary(objective, report))
    }

    /// A queue that is never emptied: the median rises in every second, by more than 5 ms a second and half as much again in all.
    private static func grows(_ window: [LoadSecond]) -> Bool {
        let medians = window.map(\.total.latency.p50)
        guard medians.count >= 3, let first = medians.first, let last = medians.last else { return false }
        let isRising = zip(medians, medians.dropFirst()).allSatisfy { $0 < $1 }
        return isRising && last - first > 5 * Double(medians.count - 1) && last > 1.5 * first
    }
}

extension Array {
    fileprivate subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
