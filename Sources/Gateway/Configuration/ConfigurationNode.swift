import Yams

/// A value of a configuration file that knows where it stands. Readers return `nil` after they have noted what is wrong.
struct ConfigurationNode {
    let node: Node
    let field: String
    let problems: ConfigurationProblems

    func fail(_ message: String) {
        problems.add(line: node.mark?.line ?? 1, column: node.mark?.column ?? 1, field: field, message)
    }

    /// What the value is, for messages.
    private var kind: String {
        switch node {
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .scalar(let scalar): isNull ? "empty" : "\"\(scalar.string.prefix(80))\""
        case .alias: "an alias"
        }
    }

    var isNull: Bool {
        guard case .scalar(let scalar) = node, scalar.style == .plain || scalar.style == .any else { return false }
        return ["", "~", "null"].contains(scalar.string)
    }

    var isScalar: Bool { if case .scalar = node { true } else { false } }
    var isMapping: Bool { if case .mapping = node { true } else { false } }

    // MARK: - Collections

    /// A mapping with exactly these fields; others are noted as unknown.
    func object(_ keys: [String]) -> ConfigurationObject? {
        guard let entries = entries(of: "fields") else { return nil }
        var values: [String: ConfigurationNode] = [:]
        for entry in entries {
            if keys.contains(entry.key) {
                values[entry.key] = entry.value
            } else {
                entry.failAtKey("there is no such field\(Self.advice(entry.key, keys))")
            }
        }
        return ConfigurationObject(node: self, values: values)
    }

    private static func advice(_ key: String, _ keys: [String]) -> String {
        if key == "<<" { return "; merge keys are not supported, repeat the fields or use aliases for whole values" }
        let hint = Suggestion.hint(for: key, among: keys)
        return hint.isEmpty ? "; known are \(keys.joined(separator: ", "))" : hint
    }

    struct Entry {
        var key: String
        var keyMark: Mark?
        var value: ConfigurationNode

        func failAtKey(_ message: String) {
            value.problems.add(
                line: keyMark?.line ?? 1,
                column: keyMark?.column ?? 1,
                field: value.field,
                message
            )
        }
    }

    /// The entries of a mapping with free keys, in order.
    /// - Parameter noun: what the entries are, for messages.
    func entries(of noun: String, atMost limit: Int = 1000) -> [Entry]? {
        guard case .mapping(let mapping) = node else {
            fail("must be a mapping of \(noun), not \(kind)")
            return nil
        }
        guard mapping.count <= limit else {
            fail("has \(mapping.count) \(noun); at most \(limit) are allowed")
            return nil
        }
        var entries: [Entry] = []
        for (key, value) in mapping {
            guard case .scalar(let name) = key else {
                fail("has a key that is not text")
                continue
            }
            let path = field.isEmpty ? name.string : "\(field).\(name.string)"
            entries.append(
                Entry(
                    key: name.string,
                    keyMark: name.mark,
                    value: ConfigurationNode(node: value, field: path, problems: problems)
                )
            )
        }
        return entries
    }

    /// The elements of a list.
    func elements(of noun: String, atMost limit: Int = 1000) -> [ConfigurationNode]? {
        guard case .sequence(let sequence) = node else {
            fail("must be a list of \(noun), not \(kind)")
            return nil
        }
        guard sequence.count <= limit else {
            fail("has \(sequence.count) \(noun); at most \(limit) are allowed")
            return nil
        }
        return sequence.enumerated().map {
            ConfigurationNode(node: $1, field: "\(field)[\($0)]", problems: problems)
        }
    }

    // MARK: - Scalars

    /// Text as it is written, quoted or not.
    func text(_ what: String = "text") -> String? {
        guard case .scalar(let scalar) = node, !isNull else {
            fail("must be \(what), not \(kind)")
            return nil
        }
        return scalar.string
    }

    func boolean() -> Bool? {
        switch text("true or false") {
        case "true"?: return true
        case "false"?: return false
        case let other?:
            fail("must be true or false, not \"\(other)\"")
            return nil
        case nil: return nil
        }
    }

    func integer(_ range: ClosedRange<Int>) -> Int? {
        guard let text = text("a number") else { return nil }
        guard let value = Int(text) else {
            fail("must be a whole number, not \"\(text)\"")
            return nil
        }
        return within(range, value) { "\($0)" }
    }

    /// A number that may have a fraction.
    func number(_ range: ClosedRange<Double>) -> Double? {
        guard let text = text("a number") else { return nil }
        guard let value = Double(text), value.isFinite else {
            fail("must be a number, not \"\(text)\"")
            return nil
        }
        return within(range, value) { "\($0)" }
    }

    /// One of a few words.
    func choice<Value>(_ values: KeyValuePairs<String, Value>) -> Value? {
        let words = values.map(\.key)
        guard let text = text("one of \(words.joined(separator: ", "))") else { return nil }
        guard let found = values.first(where: { $0.key == text }) else {
            let hint = Suggestion.hint(for: text, among: words)
            fail("\"\(text)\" is unknown; use \(Self.joined(words))\(hint)")
            return nil
        }
        return found.value
    }

    /// Milliseconds.
    func duration(_ range: ClosedRange<Int> = 0...86_400_000) -> Int? {
        unit(ConfigurationUnits.milliseconds, "a duration like 1.5s, 500ms or 1m30s", range) {
            ConfigurationUnits.text(milliseconds: $0)
        }
    }

    /// Bytes.
    func size(_ range: ClosedRange<Int>) -> Int? {
        unit(ConfigurationUnits.bytes, "a size like 64Ki, 10Mi or 500", range) { "\($0)" }
    }

    /// Events in a time.
    func rate() -> ConfigurationUnits.Rate? {
        let what = "a rate of whole numbers like 100/s, 30/m or 1000/h"
        guard let text = text(what) else { return nil }
        guard let rate = ConfigurationUnits.rate(text), rate.events > 0 else {
            fail("\"\(text)\" is not \(what)")
            return nil
        }
        return rate
    }

    /// 0 to 1, written as `5%` or `0.05`.
    func fraction(_ range: ClosedRange<Double> = 0...1) -> Double? {
        unit(ConfigurationUnits.fraction, "a share like 5% or 0.05", range) { "\(($0 * 10_000).rounded() / 100)%" }
    }

    /// Whole percent.
    func percent(_ range: ClosedRange<Int> = 0...100) -> Int? {
        let bounds = Double(range.lowerBound) / 100...Double(range.upperBound) / 100
        return fraction(bounds).map { Int(($0 * 100).rounded()) }
    }

    func regularExpression() -> RegularExpression? {
        guard let text = text("a regular expression") else { return nil }
        guard !text.isEmpty else {
            fail("must not be empty; .* matches everything")
            return nil
        }
        do throws(RegularExpressionError) {
            return try RegularExpression(text)
        } catch {
            fail("\"\(text)\" cannot be used as a regular expression: \(error)")
            return nil
        }
    }

    // MARK: - Private

    /// `a, b or c`
    fileprivate static func joined(_ words: [String]) -> String {
        guard words.count > 1, let last = words.last else { return words.first ?? "" }
        return "\(words.dropLast().joined(separator: ", ")) or \(last)"
    }

    private func unit<Value: Comparable>(
        _ parse: (String) -> Value?,
        _ what: String,
        _ range: ClosedRange<Value>,
        _ describe: (Value) -> String
    ) -> Value? {
        guard let text = text(what) else { return nil }
        guard let value = parse(text) else {
            fail("\"\(text)\" is not \(what)")
            return nil
        }
        return within(range, value, describe)
    }

    private func within<Value: Comparable>(
        _ range: ClosedRange<Value>,
        _ value: Value,
        _ describe: (Value) -> String
    ) -> Value? {
        guard !range.contains(value) else { return value }
        fail("must be between \(describe(range.lowerBound)) and \(describe(range.upperBound)), not \(describe(value))")
        return nil
    }
}

/// A mapping whose fields are known.
struct ConfigurationObject {
    let node: ConfigurationNode
    let values: [String: ConfigurationNode]

    /// `nil` where the field is missing or empty.
    subscript(key: String) -> ConfigurationNode? {
        guard let value = values[key], !value.isNull else { return nil }
        return value
    }

    func has(_ key: String) -> Bool { self[key] != nil }

    /// Notes that the field is missing where it is.
    func required(_ key: String) -> ConfigurationNode? {
        if let value = self[key] { return value }
        node.fail("the field \(key) is missing")
        return nil
    }

    /// The only one of these fields that is given; notes it when none or several are.
    func one(of keys: [String]) -> (key: String, value: ConfigurationNode)? {
        let given = keys.filter(has)
        guard given.count == 1, let value = self[given[0]] else {
            let count = given.isEmpty ? "exactly one" : "only one"
            node.fail("must have \(count) of \(ConfigurationNode.joined(keys))")
            return nil
        }
        return (given[0], value)
    }
}
