/// The nondeterministic automaton of a pattern, as Thompson builds it. States are numbered as they are made.
struct PositionAutomaton {
    enum State {
        case bytes(ByteSet, next: Int)
        case split(Int, Int)
        /// Only before the first byte.
        case start(next: Int)
        /// Only after the last byte.
        case end(next: Int)
        case accept
    }

    private(set) var states: [State] = [.accept]
    private(set) var first = 0

    mutating func add(_ syntax: RegularExpressionSyntax) throws(RegularExpressionError) {
        first = try add(syntax, before: 0)
    }

    // MARK: - Private

    /// - Returns: the state to begin in.
    private mutating func add(
        _ syntax: RegularExpressionSyntax,
        before next: Int
    ) throws(RegularExpressionError) -> Int {
        switch syntax {
        case .empty: return next
        case .bytes(let set): return try make(.bytes(set, next: next))
        case .start: return try make(.start(next: next))
        case .end: return try make(.end(next: next))
        case .sequence(let items):
            var state = next
            for item in items.reversed() { state = try add(item, before: state) }
            return state
        case .alternatives(let branches):
            var state = try add(branches[branches.count - 1], before: next)
            for branch in branches.dropLast().reversed() {
                state = try make(.split(try add(branch, before: next), state))
            }
            return state
        case .repetition(let item, let least, let most): return try add(item, least, most, before: next)
        }
    }

    private mutating func add(
        _ item: RegularExpressionSyntax,
        _ least: Int,
        _ most: Int?,
        before next: Int
    ) throws(RegularExpressionError) -> Int {
        var state = next
        if let most {
            for _ in least..<most { state = try make(.split(try add(item, before: state), next)) }
        } else {
            state = try make(.split(next, next))
            let loop = state
            states[loop] = .split(try add(item, before: loop), next)
        }
        for _ in 0..<least { state = try add(item, before: state) }
        return state
    }

    private mutating func make(_ state: State) throws(RegularExpressionError) -> Int {
        guard states.count < RegularExpression.Limits.positions else {
            throw RegularExpressionError(
                "it stands for more than \(RegularExpression.Limits.positions) positions; repeat less"
            )
        }
        states.append(state)
        return states.count - 1
    }
}
