/// The fast loop of load shedding: each tenth of a second, which classes does the service rate suffice for?
///
/// Works only while the cap refuses requests or has done so lately; then the rate at which the backend answers is its capacity. The next
/// tenth's arrivals are expected to be like the last ones. Classes are let through from the most important one down until the budget is
/// used up; the class at the boundary is let through in part. One step finds the right cut after any change of load.
///
/// The budget exceeds the measured rate by a twentieth, so that it can find out that the backend has become faster; the cap takes what
/// that is too much.
struct PriorityCut: BitwiseCopyable {
    static let excess = 0.05

    /// What happened in the last tenth of a second.
    struct Sample {
        /// By class.
        var arrivals: InlineArray<4, Double>
        var completions: Double
        /// Refused by the cap; what the cut refused does not count.
        var refusals: Double
        var inFlight: Double
        var cap: Double
    }

    struct Decision: Equatable {
        /// Classes before this one pass.
        var boundary: Int
        /// The part of the boundary's requests that pass.
        var fraction: Double

        static let all = Decision(boundary: LoadShedding.maximumClasses, fraction: 0)
    }

    private(set) var isEngaged = false
    private var rate = 0.0
    private var budget = 0.0
    private var expected = InlineArray<4, Double>(repeating: 0)

    init() {}

    mutating func decide(_ sample: Sample) -> Decision {
        expect(sample.arrivals)
        if sample.refusals > 0.01 * budgetOr(sample.completions) {
            rate = isEngaged ? 0.7 * rate + 0.3 * sample.completions : sample.completions
            budget = rate * (1 + Self.excess)
            isEngaged = true
        } else if isEngaged {
            rate = max(rate, 0.7 * rate + 0.3 * sample.completions)
            budget = max(budget, rate) * (1 + Self.excess) + max(0, sample.cap - sample.inFlight) / 2
        }
        guard isEngaged else { return .all }
        let decision = cut()
        if decision == .all { isEngaged = false }
        return decision
    }

    // MARK: - Private

    private func budgetOr(_ completions: Double) -> Double { isEngaged ? budget : completions }

    private mutating func expect(_ arrivals: InlineArray<4, Double>) {
        for index in 0..<LoadShedding.maximumClasses {
            // A rise is believed at once, and so is the end of a surge; smaller falls may be chance and take a few tenths.
            let isOver = arrivals[index] < 0.5 * expected[index]
            expected[index] = isOver ? arrivals[index] : max(arrivals[index], 0.5 * (expected[index] + arrivals[index]))
        }
    }

    private func cut() -> Decision {
        var left = budget
        for index in 0..<LoadShedding.maximumClasses {
            if expected[index] > left { return Decision(boundary: index, fraction: max(0, left) / expected[index]) }
            left -= expected[index]
        }
        return .all
    }
}
