/// Says why a selector cannot be read.
package struct SelectorError: Error, Hashable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// Chooses objects by their labels; all requirements must hold, and without any every object is chosen.
///
/// Read from the syntax of `kubectl -l` or from the object form of specifications.
package struct LabelSelector: Hashable, Sendable {
    package enum Requirement: Hashable, Sendable {
        case isIn(key: String, values: Set<String>)
        /// Also holds where the label is absent.
        case isNotIn(key: String, values: Set<String>)
        case exists(key: String)
        case isAbsent(key: String)
        case isGreater(key: String, than: Int64)
        case isLess(key: String, than: Int64)
    }

    package private(set) var requirements: [Requirement]

    package init(requirements: [Requirement] = []) {
        self.requirements = requirements
    }

    package init(matchLabels: [String: String]) {
        requirements = matchLabels.sorted { $0.key < $1.key }.map { .isIn(key: $0.key, values: [$0.value]) }
    }

    /// Reads `a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1,j<2`.
    package init(parsing text: String) throws(SelectorError) {
        var parser = LabelSelectorParser(text)
        requirements = try parser.parse()
    }

    /// Reads `{matchLabels: {…}, matchExpressions: [{key, operator, values}]}`.
    package init(_ object: JSON) throws(SelectorError) {
        guard object.object != nil else {
            throw SelectorError("a label selector must be an object, not \(object.typeName)")
        }
        self.init(matchLabels: object["matchLabels"]?.stringMap ?? [:])
        for expression in object["matchExpressions"]?.array ?? [] {
            requirements.append(try LabelSelector.requirement(expression))
        }
    }

    package var isEmpty: Bool { requirements.isEmpty }

    package func matches(_ labels: [String: String]) -> Bool {
        requirements.allSatisfy { $0.holds(labels) }
    }

    private static func requirement(_ expression: JSON) throws(SelectorError) -> Requirement {
        guard let key = expression["key"]?.string, !key.isEmpty else {
            throw SelectorError("an entry of matchExpressions needs a key")
        }
        let values = Set(expression["values"]?.array?.compactMap(\.string) ?? [])
        switch expression["operator"]?.string {
        case "In" where !values.isEmpty: return .isIn(key: key, values: values)
        case "NotIn" where !values.isEmpty: return .isNotIn(key: key, values: values)
        case "Exists" where values.isEmpty: return .exists(key: key)
        case "DoesNotExist" where values.isEmpty: return .isAbsent(key: key)
        case "In", "NotIn": throw SelectorError("the operators In and NotIn of \"\(key)\" need values")
        case "Exists", "DoesNotExist":
            throw SelectorError("the operators Exists and DoesNotExist of \"\(key)\" take no values")
        case let other:
            throw SelectorError(
                "\"\(other ?? "")\" of \"\(key)\" is not a valid label selector operator: expected In, NotIn, Exists or DoesNotExist"
            )
        }
    }
}

extension LabelSelector.Requirement {
    package func holds(_ labels: [String: String]) -> Bool {
        switch self {
        case .isIn(let key, let values): labels[key].map(values.contains) ?? false
        case .isNotIn(let key, let values): !(labels[key].map(values.contains) ?? false)
        case .exists(let key): labels[key] != nil
        case .isAbsent(let key): labels[key] == nil
        case .isGreater(let key, let bound): labels[key].flatMap { Int64($0) }.map { $0 > bound } ?? false
        case .isLess(let key, let bound): labels[key].flatMap { Int64($0) }.map { $0 < bound } ?? false
        }
    }
}

private struct LabelSelectorParser {
    private enum Token: Hashable {
        case word(String)
        case sign(String)
        case end
    }

    private let text: String
    private var tokens: [Token] = []
    private var position = 0

    init(_ text: String) { self.text = text }

    mutating func parse() throws(SelectorError) -> [LabelSelector.Requirement] {
        tokens = try tokenize()
        var requirements: [LabelSelector.Requirement] = []
        while current != .end {
            requirements.append(try parseRequirement())
            if current == .end { break }
            guard current == .sign(",") else { throw unexpected("',' or the end") }
            position += 1
            guard current != .end else { throw unexpected("a label key") }
        }
        return requirements
    }

    private var current: Token { position < tokens.count ? tokens[position] : .end }

    private mutating func parseRequirement() throws(SelectorError) -> LabelSelector.Requirement {
        if current == .sign("!") {
            position += 1
            return .isAbsent(key: try takeKey())
        }
        let key = try takeKey()
        switch current {
        case .end, .sign(","): return .exists(key: key)
        case .sign("="), .sign("=="):
            position += 1
            return .isIn(key: key, values: [try takeValue()])
        case .sign("!="):
            position += 1
            return .isNotIn(key: key, values: [try takeValue()])
        case .sign(">"):
            position += 1
            return .isGreater(key: key, than: try takeNumber())
        case .sign("<"):
            position += 1
            return .isLess(key: key, than: try takeNumber())
        case .word("in"):
            position += 1
            return .isIn(key: key, values: try takeSet())
        case .word("notin"):
            position += 1
            return .isNotIn(key: key, values: try takeSet())
        default: throw unexpected("an operator: =, ==, !=, in, notin, < or >")
        }
    }

    private mutating func takeKey() throws(SelectorError) -> String {
        guard case .word(let key) = current else { throw unexpected("a label key") }
        if let problem = NameSyntax.problem(inQualifiedName: key) {
            throw SelectorError("unable to parse requirement: the key \"\(key)\" is invalid: \(problem)")
        }
        position += 1
        return key
    }

    /// Nothing before the next comma or the end means the empty value.
    private mutating func takeValue() throws(SelectorError) -> String {
        switch current {
        case .end, .sign(","): return ""
        case .word(let value):
            if let problem = NameSyntax.problem(inLabelValue: value) {
                throw SelectorError("unable to parse requirement: the value \"\(value)\" is invalid: \(problem)")
            }
            position += 1
            return value
        default: throw unexpected("a label value")
        }
    }

    private mutating func takeNumber() throws(SelectorError) -> Int64 {
        guard case .word(let text) = current, let number = Int64(text) else { throw unexpected("a whole number") }
        position += 1
        return number
    }

    private mutating func takeSet() throws(SelectorError) -> Set<String> {
        guard current == .sign("(") else { throw unexpected("'('") }
        position += 1
        var values: Set<String> = []
        while true {
            if current == .sign(")") || current == .sign(",") {
                values.insert("")
            } else {
                values.insert(try takeValue())
            }
            if current == .sign(")") { break }
            guard current == .sign(",") else { throw unexpected("',' or ')'") }
            position += 1
        }
        position += 1
        return values
    }

    private func tokenize() throws(SelectorError) -> [Token] {
        var tokens: [Token] = []
        var rest = text[...]
        while let first = rest.first {
            if first.isWhitespace {
                rest.removeFirst()
            } else if let sign = ["==", "!=", "=", "!", ",", "(", ")", "<", ">"].first(where: rest.hasPrefix) {
                tokens.append(.sign(sign))
                rest.removeFirst(sign.count)
            } else {
                let word = rest.prefix { !$0.isWhitespace && !"=!,()<>".contains($0) }
                tokens.append(.word(String(word)))
                rest = rest[word.endIndex...]
            }
        }
        return tokens
    }

    private func unexpected(_ expected: String) -> SelectorError {
        let found =
            switch current {
            case .word(let text), .sign(let text): "'\(text)'"
            case .end: "the end"
            }
        return SelectorError("unable to parse requirement: found \(found) in \"\(text)\", expected \(expected)")
    }
}
