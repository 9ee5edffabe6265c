import Foundation

/// A report as one HTML page that needs no network: plots are inline SVG.
package enum HTMLReport {
    package static func html(_ report: LoadReport) -> String {
        let sections =
            [header(report), tiles(report), verdicts(report), knee(report)] + plots(report) + [tables(report)]
        return """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
            <title>Load test of \(escaped(report.target))</title><style>\(style)</style></head>
            <body><main>
            \(sections.filter { !$0.isEmpty }.joined(separator: "\n"))
            </main></body></html>

            """
    }

    // MARK: - Words and numbers

    private static func header(_ report: LoadReport) -> String {
        let model = report.model == .open ? "open model" : "closed model"
        let ending = report.wasStopped ? ", stopped early" : ""
        let date = ISO8601DateFormatter().string(from: report.startedAt)
        let badge =
            report.verdicts.isEmpty
            ? ""
            : report.isMet
                ? "<b class=\"badge met\">objectives met</b>" : "<b class=\"badge missed\">objectives missed</b>"
        return """
            <header><h1>\(escaped(report.target)) \(badge)</h1>
            <p>\(date), \(Figures.number(report.duration)) s in the \(model)\(ending). \
            Latency counts from the moment at which a request should have been sent; requests given up count with the time they had.</p></header>
            """
    }

    private static func tiles(_ report: LoadReport) -> String {
        let total = report.total
        let share = total.ended == 0 ? 0 : Double(total.good) / Double(total.ended)
        let facts = [
            ("offered", "\(Figures.number(total.offeredRate))/s", "\(Figures.number(Double(total.offered))) requests"),
            ("good", "\(Figures.number(total.goodput))/s", Figures.percentage(share)),
            ("median", Figures.milliseconds(total.latency.p50), "mean \(Figures.milliseconds(total.latency.mean))"),
            ("p99", Figures.milliseconds(total.latency.p99), "p99.9 \(Figures.milliseconds(total.latency.p999))"),
            ("failed", Figures.percentage(total.errorShare), "\(Figures.number(Double(total.failed))) requests"),
        ]
        let tiles = facts.map { "<div><span>\($0.0)</span><strong>\($0.1)</strong><small>\($0.2)</small></div>" }
        return "<section class=\"tiles\">\(tiles.joined())</section>"
    }

    private static func verdicts(_ report: LoadReport) -> String {
        guard !report.verdicts.isEmpty else { return "" }
        let rows = report.verdicts.map { verdict in
            [
                badge(verdict.isMet ? "met" : "missed", isGood: verdict.isMet), escaped(verdict.objective),
                verdict.measured,
            ]
        }
        return table("Objectives", ["", "objective", "measured"], rows, words: [0, 1])
    }

    private static func badge(_ text: String, isGood: Bool) -> String {
        "<b class=\"badge \(isGood ? "met" : "missed")\">\(text)</b>"
    }

    private static func tables(_ report: LoadReport) -> String {
        let rows = (report.classes.count > 1 ? report.classes : []) + [.init(name: "total", summary: report.total)]
        let latency = rows.map { row in
            let (summary, latency) = (row.summary, row.summary.latency)
            return [escaped(row.name), Figures.number(Double(summary.offered)), Figures.number(summary.goodput)]
                + [latency.min, latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map(
                    Figures.milliseconds
                )
        }
        let seen = Outcome.allCases.map(\.label).filter { report.total.outcomes[$0] != nil }
        let endings = rows.map { row in
            [escaped(row.name)] + seen.map { Figures.number(Double(row.summary.outcomes[$0] ?? 0)) }
        }
        let generator =
            "Generator: \(report.threads) thread\(report.threads == 1 ? "" : "s"), \(Figures.number(report.generatorTime)) s of processor time; \(Figures.number(Double(report.total.connections))) connections, \(Figures.bytes(Double(report.total.receivedBytes))) received, \(Figures.number(Double(report.total.resent))) requests sent again."
        return table("Classes", ["class", "offered", "good/s", "min", "p50", "p90", "p99", "p99.9", "max"], latency)
            + table("How requests ended", ["class"] + seen, endings) + "<p>\(generator)</p>"
    }

    /// - Parameter words: the columns that hold words, which begin at the left.
    private static func table(
        _ title: String,
        _ header: [String],
        _ rows: [[String]],
        words: Set<Int> = [0]
    ) -> String {
        func side(_ column: Int) -> String { words.contains(column) ? " class=\"word\"" : "" }
        let head = header.enumerated().map { "<th\(side($0))>\(escaped($1))</th>" }.joined()
        let body = rows.map { row in
            "<tr>\(row.enumerated().map { "<td\(side($0))>\($1)</td>" }.joined())</tr>"
        }.joined()
        return
            "<section><h2>\(title)</h2><div class=\"wide\"><table><thead><tr>\(head)</tr></thead><tbody>\(body)</tbody></table></div></section>"
    }

    // MARK: - Plots

    private static func plots(_ report: LoadReport) -> [String] {
        guard report.seconds.count > 1 else { return [distribution(report)] }
        return [throughput(report), latency(report), classes(report), distribution(report)]
    }

    private static func marks(_ report: LoadReport) -> [Plot.Mark] {
        guard report.phases.count > 1 else { return [] }
        return report.phases.filter { !$0.name.isEmpty || report.phases.count <= 12 }.map { phase in
            let rate = phase.startRate.map { "\(Figures.number($0))/s" } ?? ""
            return Plot.Mark(x: phase.start, label: phase.name.isEmpty ? rate : phase.name)
        }
    }

    private static func throughput(_ report: LoadReport) -> String {
        var plot = Plot("Requests per second") { Figures.number($0) }
        plot.xUnit = " s"
        plot.marks = marks(report)
        func stack(
            _ name: String,
            _ style: String,
            _ low: (LoadSummary) -> UInt64,
            _ high: (LoadSummary) -> UInt64
        ) -> Plot.Area {
            let points = report.seconds.map { (Double($0.number) + 0.5, Double(low($0.total)), Double(high($0.total))) }
            return Plot.Area(name: name, style: style, points: points)
        }
        plot.areas = [
            stack("good", "good", { _ in 0 }, { $0.good }),
            stack("late", "late", { $0.good }, { $0.ended - $0.failed }),
            stack("failed", "failed", { $0.ended - $0.failed }, { $0.ended }),
        ]
        let offered = report.seconds.map { (Double($0.number) + 0.5, $0.total.offeredRate) }
        plot.lines = [Plot.Line(name: "offered", style: "offered", points: offered)]
        return plot.svg
    }

    private static func latency(_ report: LoadReport) -> String {
        var plot = Plot("Latency by second", yFormat: Figures.milliseconds)
        plot.yScale = .logarithmic
        plot.xUnit = " s"
        plot.marks = marks(report)
        let answered = report.seconds.filter { $0.total.latency.count > 0 }
        let curves: [(String, String, (LoadSummary.Latency) -> Double)] = [
            ("max", "c0", \.max), ("p99", "c1", \.p99), ("p90", "c2", \.p90), ("median", "c3", \.p50),
        ]
        plot.lines = curves.map { name, style, value in
            Plot.Line(
                name: name,
                style: style,
                points: answered.map { (Double($0.number) + 0.5, value($0.total.latency)) }
            )
        }
        return answered.isEmpty ? "" : plot.svg
    }

    private static func classes(_ report: LoadReport) -> String {
        guard report.classes.count > 1 else { return "" }
        var plot = Plot("Good answers per second, by class") { Figures.number($0) }
        plot.xUnit = " s"
        plot.marks = marks(report)
        plot.lines = report.classes.enumerated().map { index, one in
            let points = report.seconds.map { (Double($0.number) + 0.5, $0.classes[index].summary.goodput) }
            return Plot.Line(name: one.name, style: "c\(index % 8)", points: points)
        }
        return plot.svg
    }

    /// The horizontal axis counts nines: each step to the right holds a tenth of the requests of the step before.
    private static func distribution(_ report: LoadReport) -> String {
        var plot = Plot("Latency by share of the requests", yFormat: Figures.milliseconds)
        plot.yScale = .logarithmic
        let sources = report.classes.count > 1 ? report.classes : [.init(name: "", summary: report.total)]
        plot.lines = sources.enumerated().compactMap { index, one in
            let points = (one.summary.distribution ?? []).filter { $0[0] < 1 }.map { (-log10(1 - $0[0]), $0[1]) }
            return points.count < 2
                ? nil
                : Plot.Line(name: one.name, style: report.classes.count > 1 ? "c\(index % 8)" : "c3", points: points)
        }
        let nines = plot.lines.flatMap { $0.points.map(\.x) }.max() ?? 0
        let ticks = [
            (0, "0"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %"),
            (0.99999, "99.999 %"),
        ]
        plot.xTicks = ticks.map { (-log10(1 - $0.0), $0.1) }.filter { $0.0 <= nines + 1e-9 }
        return plot.lines.isEmpty ? "" : plot.svg
    }

    private static func knee(_ report: LoadReport) -> String {
        guard let knee = report.knee else { return "" }
        let rows = knee.steps.sorted { $0.rate < $1.rate }.map { step in
            [
                badge(step.holds ? "held" : "failed", isGood: step.holds), "\(Figures.number(step.rate))/s",
                "\(Figures.number(step.goodput))/s", Figures.milliseconds(step.p50), Figures.milliseconds(step.p99),
                escaped(step.reason ?? ""),
            ]
        }
        var plot = Plot("Latency by rate", yFormat: Figures.milliseconds)
        plot.yScale = .logarithmic
        plot.xUnit = "/s"
        let steps = knee.steps.filter { $0.p99 > 0 }.sorted { $0.rate < $1.rate }
        plot.lines = [
            Plot.Line(name: "p99", style: "c1", points: steps.map { ($0.rate, $0.p99) }),
            Plot.Line(name: "median", style: "c3", points: steps.map { ($0.rate, $0.p50) }),
        ]
        plot.marks = [Plot.Mark(x: knee.rate, label: "knee")]
        let title = knee.rate > 0 ? "The knee is at \(Figures.number(knee.rate)) requests per second" : "No rate held"
        let drawn = steps.count > 1 ? plot.svg : ""
        return drawn + table(title, ["", "offered", "good", "median", "p99", "why it failed"], rows, words: [0, 5])
            + "<h2>At the knee</h2>"
    }

    private static let style = """
        :root{color-scheme:light dark;--ink:#1c2330;--dim:#667085;--paper:#fff;--card:#f6f7f9;--rule:#e3e6eb;\
        --good:#2a9d6f;--late:#e0a526;--failed:#d64545;--c0:#b54747;--c1:#d9822b;--c2:#3b82c4;--c3:#2a9d6f;--c4:#7c5cc4;--c5:#c2548f;--c6:#5f7d8c;--c7:#8a8f2a}
        @media(prefers-color-scheme:dark){:root{--ink:#e7eaf0;--dim:#98a2b3;--paper:#12161d;--card:#1b212b;--rule:#2b3340;\
        --good:#43c08c;--late:#e9b94a;--failed:#ee6a6a;--c0:#e57373;--c1:#f0a35b;--c2:#6fb1ee;--c3:#43c08c;--c4:#a98cf0;--c5:#e886bb;--c6:#93b1c0;--c7:#c3c957}}
        *{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
        main{max-width:960px;margin:0 auto;padding:32px 24px 64px}
        h1{font-size:24px;margin:0;overflow-wrap:anywhere}h2{font-size:17px;margin:36px 0 8px}p{color:var(--dim);margin:6px 0 0}
        .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:24px 0}
        .tiles div{background:var(--card);border-radius:10px;padding:12px 16px;display:flex;flex-direction:column}
        .tiles span,.tiles small{color:var(--dim)}.tiles strong{font-size:24px;font-weight:600;font-variant-numeric:tabular-nums}
        figure{margin:28px 0 0}figcaption{font-weight:600;margin-bottom:6px}svg{width:100%;height:auto;display:block}
        .key{font-weight:400;color:var(--dim);margin-left:16px;font-size:13px}.key::before{content:"";display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:6px;background:var(--k)}
        .grid{stroke:var(--rule)}.mark{stroke:var(--dim);stroke-dasharray:2 4}.tick{fill:var(--dim);font-size:12px;font-variant-numeric:tabular-nums}
        .line{fill:none;stroke:var(--k);stroke-width:2;stroke-linejoin:round}.dot{fill:var(--k)}.area{fill:var(--k);fill-opacity:.75}
        .good{--k:var(--good)}.late{--k:var(--late)}.failed{--k:var(--failed)}.offered{--k:var(--ink)}.line.offered{stroke-width:1.5;stroke-dasharray:5 4}
        .c0{--k:var(--c0)}.c1{--k:var(--c1)}.c2{--k:var(--c2)}.c3{--k:var(--c3)}.c4{--k:var(--c4)}.c5{--k:var(--c5)}.c6{--k:var(--c6)}.c7{--k:var(--c7)}
        .wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
        th,td{text-align:right;padding:6px 10px;border-bottom:1px solid var(--rule);white-space:nowrap}th{color:var(--dim);font-weight:500}
        th.word,td.word{text-align:left}
        .badge{font-size:13px;font-weight:600;border-radius:999px;padding:2px 10px;color:#fff}.badge.met{background:var(--good)}.badge.missed{background:var(--failed)}
        """
}
