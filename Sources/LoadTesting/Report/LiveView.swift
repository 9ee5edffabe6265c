/// What a terminal shows while a test runs: drawn anew every second in the place of what was there. Pure; control codes are the caller's.
///
/// Keeps one number of each series per column, so its memory is bounded by ``columns``.
package struct LiveView {
    /// Seconds that the curves reach back.
    package static let columns = 60

    private let plan: LoadPlan
    private var latest: LoadSecond?
    private var offered: [Double] = []
    private var good: [Double] = []
    private var p99: [Double] = []
    private var outcomes: [String: UInt64] = [:]

    package init(_ plan: LoadPlan) { self.plan = plan }

    package mutating func add(_ second: LoadSecond) {
        latest = second
        Self.append(second.total.offeredRate, to: &offered)
        Self.append(second.total.goodput, to: &good)
        Self.append(second.total.latency.p99, to: &p99)
        outcomes.merge(second.total.outcomes, uniquingKeysWith: +)
    }

    /// The lines of one picture, none longer than `width`; none before the first second.
    package func lines(width: Int) -> [String] {
        guard let latest else { return [] }
        let columns = max(8, min(Self.columns, width - 36))
        return
            ([heading(latest)] + table(latest) + [
                curve("offered/s", offered, columns) { Figures.number($0) },
                curve("good/s", good, columns) { Figures.number($0) },
                curve("p99", p99, columns, Figures.milliseconds),
                failures,
            ]).map { String($0.prefix(width)) }
    }

    // MARK: - Private

    private static func append(_ value: Double, to series: inout [Double]) {
        if series.count == columns { series.removeFirst() }
        series.append(value)
    }

    private func heading(_ second: LoadSecond) -> String {
        let elapsed = second.number + 1
        let total = (plan.duration + 999_999_999) / 1_000_000_000
        let share = total == 0 ? 1 : min(1, Double(elapsed) / Double(total))
        let filled = Int(share * 20)
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 20 - filled)
        return "\(bar)  \(elapsed) of \(total) s\(phase(at: elapsed))\(elapsed <= plan.warmup ? ", warming up" : "")"
    }

    private func phase(at elapsed: Int) -> String {
        guard plan.phases.count > 1 else { return "" }
        var end = 0
        for (number, phase) in plan.phases.enumerated() {
            end += phase.duration
            guard elapsed * 1_000_000_000 <= end || number == plan.phases.count - 1 else { continue }
            let name = phase.name.isEmpty ? "" : " '\(phase.name)'"
            return ", phase \(number + 1) of \(plan.phases.count)\(name)"
        }
        return ""
    }

    private func table(_ second: LoadSecond) -> [String] {
        let rows = (second.classes.count > 1 ? second.classes : []) + [.init(name: "total", summary: second.total)]
        return TextReport.columns(
            ["", "OFFERED/S", "GOOD/S", "P50", "P99", "MAX", "LATE", "FAILED"],
            rows.map { row in
                let summary = row.summary
                return [
                    row.name, Figures.number(summary.offeredRate), Figures.number(summary.goodput),
                    Figures.milliseconds(summary.latency.p50), Figures.milliseconds(summary.latency.p99),
                    Figures.milliseconds(summary.latency.max),
                    Figures.number(Double(summary.outcomes[Outcome.late.label] ?? 0)),
                    Figures.number(Double(summary.failed)),
                ]
            }
        )
    }

    private func curve(_ name: String, _ series: [Double], _ columns: Int, _ text: (Double) -> String) -> String {
        let shown = series.suffix(columns)
        let highest = shown.max() ?? 0
        let steps = Array("▁▂▃▄▅▆▇█")
        let bars = shown.map { value in
            highest > 0 ? steps[min(7, Int(value / highest * 7.999))] : steps[0]
        }
        return TextReport.pad(name, 11) + String(bars) + "  at most \(text(highest))"
    }

    private var failures: String {
        let bad = Outcome.allCases.filter { $0 != .good }.compactMap { outcome in
            outcomes[outcome.label].map { "\(outcome.label) \(Figures.number(Double($0)))" }
        }
        guard !bad.isEmpty else { return "every request was answered in time so far" }
        return "not good so far: " + bad.joined(separator: ", ")
    }
}
