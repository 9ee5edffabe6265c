/// A regular expression in RE2's syntax that is matched in time linear to the text, whatever the text and the pattern.
///
/// It matches a whole text, byte by byte: `/item/[0-9]+` takes `/item/7`, not `/item/7/x`. Captures are not kept, so groups only group.
/// Made ready once: a pattern becomes a table of transitions, within ``Limits``; what RE2 has beyond regular languages (back references,
/// look-around) is refused.
package struct RegularExpression: Hashable, Sendable, CustomStringConvertible {
    package let pattern: String
    let program: Program

    /// What bounds the cost of making a pattern ready and of keeping it.
    package enum Limits {
        /// Of the pattern.
        package static let bytes = 1024
        /// Groups within groups.
        package static let nesting = 32
        /// `n` and `m` in `{n,m}`.
        package static let repetitions = 1000
        /// States of the nondeterministic automaton: about one for each letter, counted as often as it is repeated.
        package static let positions = 4000
        /// States of the table.
        package static let states = 4096
        /// Entries of the table, two bytes each.
        package static let entries = 131_072
        /// Steps that making the table may take.
        package static let steps = 4_000_000
    }

    /// - Throws: what is wrong with the pattern and what would be right.
    package init(_ pattern: String) throws(RegularExpressionError) {
        self.pattern = pattern
        var parser = RegularExpressionParser(pattern)
        let syntax = try parser.parse()
        var automaton = PositionAutomaton()
        try automaton.add(syntax)
        var builder = TransitionBuilder(automaton)
        program = try builder.build()
    }

    package var description: String { pattern }

    package static func == (left: RegularExpression, right: RegularExpression) -> Bool { left.pattern == right.pattern }

    package func hash(into hasher: inout Hasher) { hasher.combine(pattern) }

    /// For control code and tests; the data path matches by ``TableView``.
    func matches(_ bytes: some Sequence<UInt8>) -> Bool {
        var state = Program.start
        for byte in bytes {
            state = Int(program.transitions[state * program.stride + Int(program.classes[Int(byte)])])
            if state == Program.dead { return false }
        }
        return program.transitions[state * program.stride + program.stride - 1] != 0
    }

    /// A row of transitions for each state: the next state for each class of bytes, then whether a text may end here.
    final class Program: Sendable {
        static let dead = 0
        static let start = 1

        /// The class of each byte.
        let classes: [UInt8]
        let stride: Int
        let transitions: [UInt16]

        init(classes: [UInt8], stride: Int, transitions: [UInt16]) {
            self.classes = classes
            self.stride = stride
            self.transitions = transitions
        }
    }
}

/// Why a pattern cannot be used.
package struct RegularExpressionError: Error, Hashable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
