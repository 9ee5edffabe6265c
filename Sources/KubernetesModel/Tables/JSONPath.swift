/// The part of JSONPath that printer columns use: fields, quoted fields, indices, `[*]` and filters that compare a field with a text.
enum JSONPath {
    /// The values at `path`, such as `.status.conditions[?(@.type=="Ready")].status`; none where nothing is there or the path is not
    /// understood.
    static func values(at path: String, in object: JSON) -> [JSON] {
        var values = [object]
        var rest = path[...]
        if rest.hasPrefix("$") { rest.removeFirst() }
        while !rest.isEmpty {
            if rest.hasPrefix("[") {
                guard let end = closingBracket(rest) else { return [] }
                let inside = rest[rest.index(after: rest.startIndex)..<end]
                values = values.flatMap { select(inside, of: $0) }
                rest = rest[rest.index(after: end)...]
            } else {
                if rest.hasPrefix(".") { rest.removeFirst() }
                let name = fieldName(&rest)
                guard !name.isEmpty else { return [] }
                values = name == "*" ? values.flatMap(children) : values.compactMap { $0[name] }
            }
        }
        return values.filter { !$0.isNull }
    }

    // MARK: - Private

    /// A backslash makes a dot part of the name, as in `.metadata.annotations.example\.com/name`.
    private static func fieldName(_ rest: inout Substring) -> String {
        var name = ""
        while let character = rest.first, character != ".", character != "[" {
            rest.removeFirst()
            if character == "\\", let escaped = rest.popFirst() {
                name.append(escaped)
            } else {
                name.append(character)
            }
        }
        return name
    }

    private static func closingBracket(_ text: Substring) -> Substring.Index? {
        var depth = 0
        var quote: Character?
        for index in text.indices {
            let character = text[index]
            if let open = quote {
                if character == open { quote = nil }
            } else if character == "'" || character == "\"" {
                quote = character
            } else if character == "[" {
                depth += 1
            } else if character == "]" {
                depth -= 1
                if depth == 0 { return index }
            }
        }
        return nil
    }

    private static func select(_ selector: Substring, of value: JSON) -> [JSON] {
        if selector == "*" { return children(value) }
        if selector.hasPrefix("?(") { return children(value).filter { holds(selector.dropFirst(2).dropLast(), $0) } }
        if let name = unquoted(selector) { return value[name].map { [$0] } ?? [] }
        guard let index = Int(selector), let elements = value.array else { return [] }
        return value[index < 0 ? elements.count + index : index].map { [$0] } ?? []
    }

    private static func holds(_ filter: Substring, _ value: JSON) -> Bool {
        guard let range = ["==", "!="].lazy.compactMap({ firstRange(of: $0, in: filter) }).first else {
            return !values(at: path(filter), in: value).isEmpty
        }
        let isEqual = filter[range] == "=="
        let wanted = filter[range.upperBound...].trimmingSpaces
        let found = values(at: path(filter[..<range.lowerBound]), in: value).first
        let text = unquoted(wanted) ?? String(wanted)
        return (found.map { $0.string ?? $0.encodedString } == text) == isEqual
    }

    private static func path(_ text: Substring) -> String {
        let text = text.trimmingSpaces
        return String(text.hasPrefix("@") ? text.dropFirst() : text)
    }

    private static func unquoted(_ text: Substring) -> String? {
        guard text.count >= 2, let quote = text.first, quote == "'" || quote == "\"", text.last == quote else {
            return nil
        }
        return String(text.dropFirst().dropLast())
    }

    private static func firstRange(of sign: String, in text: Substring) -> Range<Substring.Index>? {
        text.indices.first { text[$0...].hasPrefix(sign) }.map { $0..<text.index($0, offsetBy: sign.count) }
    }

    private static func children(_ value: JSON) -> [JSON] {
        switch value {
        case .array(let elements): elements
        case .object(let fields): Array(fields.values)
        default: []
        }
    }
}

extension Substring {
    fileprivate var trimmingSpaces: Substring {
        var rest = self
        while rest.first == " " { rest.removeFirst() }
        while rest.last == " " { rest.removeLast() }
        return rest
    }
}
