/// A report for people at a terminal.
package enum TextReport {
    /// The whole, after the test.
    package static func text(_ report: LoadReport) -> String {
        var lines = [heading(report), ""]
        lines += table(report)
        lines += ["", latencyLine(report.total.latency), failureLine(report.total)]
        if let problem = report.problem { lines.append(problem) }
        if let knee = report.knee { lines += [""] + kneeLines(knee) }
        if !report.verdicts.isEmpty {
            lines.append("")
            lines += report.verdicts.map {
                "\($0.isMet ? "met   " : "missed")  \($0.objective)   measured \($0.measured)"
            }
        }
        if isGeneratorBusy(report) {
            lines += [
                "", "The generator used its processors fully: the figures may be its own. Give it more --threads.",
            ]
        }
        return lines.joined(separator: "\n")
    }

    /// One line a second while the test runs.
    package static func line(_ second: LoadSecond) -> String {
        let total = second.total
        let failed = total.failed > 0 ? "   failed \(Figures.number(Double(total.failed)))" : ""
        let late = total.outcomes[Outcome.late.label].map { "   late \(Figures.number(Double($0)))" } ?? ""
        return "\(pad("\(second.number + 1) s", 6))  offered \(pad(Figures.number(total.offeredRate), 9))"
            + "  good \(pad(Figures.number(total.goodput), 9))"
            + "  p50 \(pad(Figures.milliseconds(total.latency.p50), 8))  p99 \(pad(Figures.milliseconds(total.latency.p99), 8))"
            + late + failed
    }

    /// One line for each rate that a search tried.
    package static func line(_ step: KneeReport.Step) -> String {
        "\(step.holds ? "held  " : "failed")  \(pad("\(Figures.number(step.rate))/s", 11))"
            + "  p50 \(pad(Figures.milliseconds(step.p50), 8))  p99 \(pad(Figures.milliseconds(step.p99), 8))"
            + (step.reason.map { "  \($0)" } ?? "")
    }

    /// Columns as wide as their longest cell.
    static func columns(_ header: [String], _ rows: [[String]]) -> [String] {
        let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
        return ([header] + rows).map { row in zip(row, widths).map(pad).joined(separator: "  ") }
    }

    static func pad(_ text: String, _ width: Int) -> String {
        text.count >= width ? text : text + String(repeating: " ", count: width - text.count)
    }

    static func isGeneratorBusy(_ report: LoadReport) -> Bool {
        report.generatorTime / Double(max(1, report.seconds.count) * report.threads) > 0.9
    }

    // MARK: - Private

    private static func heading(_ report: LoadReport) -> String {
        let kind = report.model == .open ? "open model" : "closed model"
        let ending = report.wasStopped ? ", stopped early" : ""
        return "\(report.target)   \(kind), \(Figures.number(report.duration)) s\(ending)"
    }

    private static func table(_ report: LoadReport) -> [String] {
        let rows = (report.classes.count > 1 ? report.classes : []) + [.init(name: "total", summary: report.total)]
        let header = ["CLASS", "OFFERED", "RATE/S", "GOOD/S", "GOOD", "P50", "P90", "P99", "P99.9", "MAX"]
        let cells = rows.map { row in
            let (summary, latency) = (row.summary, row.summary.latency)
            let good = summary.ended == 0 ? 0 : Double(summary.good) / Double(summary.ended)
            return [
                row.name, Figures.number(Double(summary.offered)), Figures.number(summary.offeredRate),
                Figures.number(summary.goodput), Figures.percentage(good),
            ] + [latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map(Figures.milliseconds)
        }
        return columns(header, cells)
    }

    private static func latencyLine(_ latency: LoadSummary.Latency) -> String {
        latency.count == 0
            ? "no request was answered as wanted"
            : "latency counts from the intended send time; mean \(Figures.milliseconds(latency.mean))"
    }

    private static func failureLine(_ summary: LoadSummary) -> String {
        let bad = Outcome.allCases.filter { $0 != .good }.compactMap { outcome in
            summary.outcomes[outcome.label].map { "\(outcome.label) \(Figures.number(Double($0)))" }
        }
        return bad.isEmpty ? "every request was answered in time" : "not good: " + bad.joined(separator: ", ")
    }

    private static func kneeLines(_ knee: KneeReport) -> [String] {
        let end = knee.rate > 0 ? "knee at \(Figures.number(knee.rate)) requests per second" : "no rate held"
        return knee.steps.map(line) + ["", end]
    }
}
