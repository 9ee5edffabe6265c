/// The condition of a rule, such as `$CI_COMMIT_BRANCH == "main" && $DEPLOY !~ /^no/i`.
///
/// A variable that is not set is `null`; alone it holds when it is set and not empty.
package indirect enum RuleExpression: Sendable {
    case null
    case string(String)
    case variable(String)
    case pattern(RulePattern)
    case equal(RuleExpression, RuleExpression)
    case notEqual(RuleExpression, RuleExpression)
    case match(RuleExpression, RuleExpression)
    case notMatch(RuleExpression, RuleExpression)
    case and(RuleExpression, RuleExpression)
    case or(RuleExpression, RuleExpression)

    /// Whether the condition holds where `variable` gives the values.
    package func holds(_ variable: (String) -> String?) -> Bool {
        switch self {
        case .null: false
        case .pattern: true
        case .string, .variable: !(value(variable) ?? "").isEmpty
        case .equal(let left, let right): left.value(variable) == right.value(variable)
        case .notEqual(let left, let right): left.value(variable) != right.value(variable)
        case .match(let left, let right): Self.matches(left, right, variable)
        case .notMatch(let left, let right): !Self.matches(left, right, variable)
        case .and(let left, let right): left.holds(variable) && right.holds(variable)
        case .or(let left, let right): left.holds(variable) || right.holds(variable)
        }
    }

    private func value(_ variable: (String) -> String?) -> String? {
        switch self {
        case .null: nil
        case .string(let text): text
        case .variable(let name): variable(name)
        case .pattern(let pattern): pattern.source
        default: holds(variable) ? "true" : "false"
        }
    }

    private static func matches(
        _ text: RuleExpression,
        _ pattern: RuleExpression,
        _ variable: (String) -> String?
    ) -> Bool {
        guard let text = text.value(variable) else { return false }
        if case .pattern(let pattern) = pattern { return pattern.expression.matches(text) }
        // A variable on the right holds a pattern between slashes; anything else is looked for literally.
        guard let source = pattern.value(variable) else { return false }
        if let pattern = try? RulePattern(source) { return pattern.expression.matches(text) }
        return text.contains(source)
    }
}

/// A pattern as it is written: `/^release-\d+/i`.
package struct RulePattern: Sendable {
    package let source: String
    let expression: RegularExpression

    struct Malformed: Error {}

    package init(_ source: String) throws {
        guard source.count > 2, source.first == "/", let end = source.lastIndex(of: "/"), end > source.startIndex else {
            throw Malformed()
        }
        let flags = String(source[source.index(after: end)...])
        guard flags.allSatisfy({ "ismU".contains($0) }) else { throw Malformed() }
        let pattern = source[source.index(after: source.startIndex)..<end]
        self.source = source
        expression = try RegularExpression(String(pattern).replacing("\\/", with: "/"), flags: flags)
    }
}
