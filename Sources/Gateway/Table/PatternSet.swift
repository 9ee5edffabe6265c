/// The regular expressions of a table behind plain pointers, to be matched without allocation.
struct PatternSet: BitwiseCopyable {
    fileprivate let rows: FlatArray<Row>
    fileprivate let classes: FlatArray<UInt8>
    fileprivate let transitions: FlatArray<UInt16>

    fileprivate struct Row: BitwiseCopyable {
        var classes: UInt32
        var transitions: UInt32
        var stride: UInt32
    }

    /// Whether the whole of `text` matches; one step for each byte, until it cannot match any more.
    func matches(_ number: UInt32, _ text: ByteSpan) -> Bool {
        let row = rows[Int(number)]
        let classes = classes.base + Int(row.classes)
        let transitions = transitions.base + Int(row.transitions)
        let stride = Int(row.stride)
        var state = RegularExpression.Program.start
        for index in 0..<text.count {
            state = Int(transitions[state * stride + Int(classes[Int(text[index])])])
            if state == RegularExpression.Program.dead { return false }
        }
        return transitions[state * stride + stride - 1] != 0
    }

    func free() {
        rows.free()
        classes.free()
        transitions.free()
    }
}

/// Collects expressions, each once.
struct PatternSetBuilder {
    private var numbers: [RegularExpression: UInt32] = [:]
    private var rows: [PatternSet.Row] = []
    private var classes: [UInt8] = []
    private var transitions: [UInt16] = []

    mutating func number(of expression: RegularExpression) -> UInt32 {
        if let number = numbers[expression] { return number }
        let program = expression.program
        rows.append(
            PatternSet.Row(
                classes: UInt32(classes.count),
                transitions: UInt32(transitions.count),
                stride: UInt32(program.stride)
            )
        )
        classes += program.classes
        transitions += program.transitions
        numbers[expression] = UInt32(rows.count - 1)
        return UInt32(rows.count - 1)
    }

    func finish() -> PatternSet {
        PatternSet(rows: FlatArray(rows), classes: FlatArray(classes), transitions: FlatArray(transitions))
    }
}
