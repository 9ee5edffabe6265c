/// Makes a ``PositionAutomaton`` deterministic: every set of states that it can be in becomes one state of the table.
struct TransitionBuilder {
    private let states: [PositionAutomaton.State]
    private let first: Int
    private var classes: [UInt8] = []
    /// One byte of each class.
    private var representatives: [UInt8] = []
    private var numbers: [[Int]: Int] = [:]
    private var sets: [[Int]] = [[]]
    private var transitions: [UInt16] = []
    private var steps = 0
    private var marks: [Int]
    private var round = 0

    init(_ automaton: PositionAutomaton) {
        states = automaton.states
        first = automaton.first
        marks = Array(repeating: 0, count: automaton.states.count)
    }

    mutating func build() throws(RegularExpressionError) -> RegularExpression.Program {
        divideBytes()
        transitions = Array(repeating: 0, count: stride)  // the dead state
        // The first state has a number of its own: only there the text has not begun.
        sets.append(try closure([first], isStart: true))
        var next = RegularExpression.Program.start
        while next < sets.count {
            try addRow(of: next)
            next += 1
        }
        return RegularExpression.Program(classes: classes, stride: stride, transitions: transitions)
    }

    private var stride: Int { representatives.count + 1 }

    // MARK: - Bytes

    /// Bytes that no part of the pattern tells apart form a class.
    private mutating func divideBytes() {
        var distinct: Set<ByteSet> = []
        for case .bytes(let set, _) in states { distinct.insert(set) }
        var classOf = Array(repeating: 0, count: 256)
        var count = 1
        for set in distinct {
            var numbers: [Int: Int] = [:]
            count = 0
            for byte in 0..<256 {
                let key = classOf[byte] * 2 + (set.contains(UInt8(byte)) ? 1 : 0)
                if numbers[key] == nil {
                    numbers[key] = count
                    count += 1
                }
                classOf[byte] = numbers[key]!
            }
        }
        classes = classOf.map(UInt8.init)
        representatives = (0..<count).map { number in UInt8(classOf.firstIndex(of: number)!) }
    }

    // MARK: - States

    private mutating func addRow(of number: Int) throws(RegularExpressionError) {
        let set = sets[number]
        for byte in representatives {
            var targets: [Int] = []
            for state in set {
                steps += 1
                if case .bytes(let bytes, let next) = states[state], bytes.contains(byte) { targets.append(next) }
            }
            transitions.append(UInt16(try self.number(of: closure(targets, isStart: false))))
        }
        let isStart = number == RegularExpression.Program.start
        transitions.append(try closure(set, isStart: isStart, isEnd: true).contains(0) ? 1 : 0)
    }

    private mutating func number(of set: [Int]) throws(RegularExpressionError) -> Int {
        if set.isEmpty { return RegularExpression.Program.dead }
        if let number = numbers[set] { return number }
        guard sets.count < RegularExpression.Limits.states,
            (sets.count + 1) * stride <= RegularExpression.Limits.entries
        else { throw tooLarge }
        numbers[set] = sets.count
        sets.append(set)
        return sets.count - 1
    }

    /// The states that can be reached from `origins` without a byte, in order, but for those that only lead on.
    private mutating func closure(
        _ origins: [Int],
        isStart: Bool,
        isEnd: Bool = false
    ) throws(RegularExpressionError) -> [Int] {
        round += 1
        var stack = origins
        var result: [Int] = []
        while let state = stack.popLast() {
            guard marks[state] != round else { continue }
            marks[state] = round
            steps += 1
            switch states[state] {
            case .bytes, .accept: result.append(state)
            case .split(let left, let right): stack += [left, right]
            case .start(let next): if isStart { stack.append(next) }
            case .end(let next):
                result.append(state)
                if isEnd { stack.append(next) }
            }
        }
        guard steps <= RegularExpression.Limits.steps else { throw tooLarge }
        return result.sorted()
    }

    private var tooLarge: RegularExpressionError {
        RegularExpressionError(
            "its table would be too large; repeat less after .* or between alternatives, or use several rules"
        )
    }
}
