/// Chooses objects by the values of fields, in the syntax of `kubectl --field-selector`: `status.phase=Running,spec.nodeName!=a`.
///
/// Any path of field names is allowed. A field that is absent has the empty value.
package struct FieldSelector: Hashable, Sendable {
    package struct Requirement: Hashable, Sendable {
        package let path: [String]
        package let value: String
        package let isNegated: Bool
    }

    package private(set) var requirements: [Requirement]

    package init() { requirements = [] }

    package init(parsing text: String) throws(SelectorError) {
        requirements = []
        for term in FieldSelector.terms(of: text) where !term.isEmpty {
            requirements.append(try FieldSelector.requirement(term))
        }
    }

    package var isEmpty: Bool { requirements.isEmpty }

    package func matches(_ object: JSON) -> Bool {
        requirements.allSatisfy { requirement in
            (FieldSelector.text(of: object[path: requirement.path]) == requirement.value) != requirement.isNegated
        }
    }

    /// The value that every chosen object has at `path`, if the selector asks for one.
    package func requiredValue(at path: String) -> String? {
        let path = path.split(separator: ".").map(String.init)
        return requirements.first { $0.path == path && !$0.isNegated }?.value
    }

    // MARK: - Private

    /// Splits at commas that no backslash precedes.
    private static func terms(of text: String) -> [String] {
        var terms = [""]
        var isEscaped = false
        for character in text {
            if isEscaped {
                terms[terms.count - 1].append("\\")
                terms[terms.count - 1].append(character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "," {
                terms.append("")
            } else {
                terms[terms.count - 1].append(character)
            }
        }
        return terms
    }

    private static func requirement(_ term: String) throws(SelectorError) -> Requirement {
        guard let sign = term.firstIndex(where: { $0 == "=" || $0 == "!" }) else {
            throw SelectorError("invalid selector: '\(term)'; expected field=value, field==value or field!=value")
        }
        let rest = term[sign...]
        guard let written = ["!=", "==", "="].first(where: rest.hasPrefix) else {
            throw SelectorError("invalid selector: '\(term)'; expected field=value, field==value or field!=value")
        }
        let path = term[..<sign].split(separator: ".").map(String.init)
        guard !path.isEmpty else { throw SelectorError("invalid selector: '\(term)'; the field name is missing") }
        return Requirement(path: path, value: unescaped(rest.dropFirst(written.count)), isNegated: written == "!=")
    }

    private static func unescaped(_ text: Substring) -> String {
        var result = ""
        var isEscaped = false
        for character in text {
            if character == "\\", !isEscaped {
                isEscaped = true
                continue
            }
            result.append(character)
            isEscaped = false
        }
        return result
    }

    private static func text(of value: JSON?) -> String {
        switch value {
        case .string(let text)?: text
        case .bool(let value)?: value ? "true" : "false"
        case .integer(let value)?: String(value)
        case .number(let value)?: String(value)
        default: ""
        }
    }
}
