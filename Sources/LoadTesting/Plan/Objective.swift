/// What is good enough: one bound on one figure, such as `p99<50ms`, `shop:errors<0.1%` or `goodput>900`.
package struct Objective: Sendable, Hashable {
    package enum Figure: String, Sendable, CaseIterable {
        case mean, p50, p75, p90, p95, p99, p999 = "p99.9", max
        /// The share of requests that were not answered as wanted.
        case errors
        /// The share of requests answered as wanted, but after the deadline.
        case late
        /// Answers in time per second.
        case goodput
        /// The share of requests answered in time.
        case good

        var isLatency: Bool {
            switch self {
            case .mean, .p50, .p75, .p90, .p95, .p99, .p999, .max: true
            case .errors, .late, .goodput, .good: false
            }
        }
    }

    package let text: String
    /// `nil` for all classes together.
    package let className: String?
    package let figure: Figure
    package let isUpperBound: Bool
    /// Milliseconds, a share, or requests per second, as the figure asks.
    package let bound: Double

    package init(_ text: String) throws {
        let parts = text.trimmingSpaces().wholeMatch(of: /(?:([^:<>]+):)?([a-z][a-z0-9.]*)\s*([<>])\s*([0-9][^\s]*)/)
        guard let parts, let figure = Figure(rawValue: String(parts.2)) else {
            let names = Figure.allCases.map(\.rawValue).joined(separator: ", ")
            throw LoadError("'\(text)' is not an objective; write [class:]figure<bound, with one of \(names)")
        }
        self.text = text.trimmingSpaces()
        self.figure = figure
        className = parts.1.map(String.init)
        isUpperBound = parts.3 == "<"
        let value = String(parts.4)
        do {
            switch figure {
            case _ where figure.isLatency: bound = Double(try Quantities.duration(value)) / 1e6
            case .goodput: bound = try Quantities.rate(value).perSecond
            default: bound = try Quantities.fraction(value)
            }
        } catch let error as LoadError {
            throw LoadError("in the objective '\(text)': \(error.description)")
        }
    }

    /// Reads objectives with commas between them.
    package static func list(_ text: String) throws -> [Objective] {
        try text.split(separator: ",").map { try Objective(String($0)) }
    }

    package func isMet(by summary: LoadSummary) -> Bool {
        let value = measure(summary)
        return isUpperBound ? value < bound : value > bound
    }

    func measure(_ summary: LoadSummary) -> Double {
        func share(_ count: UInt64) -> Double { summary.ended == 0 ? 0 : Double(count) / Double(summary.ended) }
        return switch figure {
        case .mean: summary.latency.mean
        case .p50: summary.latency.p50
        case .p75: summary.latency.p75
        case .p90: summary.latency.p90
        case .p95: summary.latency.p95
        case .p99: summary.latency.p99
        case .p999: summary.latency.p999
        case .max: summary.latency.max
        case .errors: summary.errorShare
        case .late: share(summary.outcomes[Outcome.late.label] ?? 0)
        case .goodput: summary.goodput
        case .good: share(summary.good)
        }
    }

    func verdict(on summary: LoadSummary) -> LoadReport.Verdict {
        let value = measure(summary)
        let measured =
            switch figure {
            case _ where figure.isLatency: Figures.milliseconds(value)
            case .goodput: "\(Figures.number(value))/s"
            default: Figures.percentage(value)
            }
        return LoadReport.Verdict(objective: text, measured: measured, isMet: isMet(by: summary))
    }
}

/// Decides when a test has missed its objectives for so long that going on tells nothing new. Pure.
struct ObjectiveWatch {
    private let plan: LoadPlan
    private var missed = 0

    init(plan: LoadPlan) { self.plan = plan }

    mutating func isHopeless(after second: LoadSecond) -> Bool {
        guard plan.stopsOnMiss, second.number >= plan.warmup, second.total.ended > 0 else { return false }
        let isMet = plan.objectives.allSatisfy { objective in
            let summary = second.classes.first { $0.name == objective.className }?.summary ?? second.total
            return objective.isMet(by: summary)
        }
        missed = isMet ? 0 : missed + 1
        return missed >= plan.secondsUntilStop
    }
}

extension String {
    fileprivate func trimmingSpaces() -> String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
