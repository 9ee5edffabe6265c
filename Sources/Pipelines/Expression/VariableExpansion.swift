package import KubernetesModel

/// Puts the values of variables into text: `$NAME`, `${NAME}`, and `$$` for a dollar sign.
package enum VariableExpansion {
    /// `text` with every reference replaced; what is not set becomes empty.
    package static func expand(_ text: String, _ value: (String) -> String?) -> String {
        guard text.contains("$") else { return text }
        var result = ""
        result.reserveCapacity(text.utf8.count)
        var rest = Substring(text)
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[rest.index(after: dollar)...]
            result += replacement(&rest, value)
        }
        return result + rest
    }

    /// What stands for the reference at the start of `rest` (after its dollar sign), which is consumed.
    private static func replacement(_ rest: inout Substring, _ value: (String) -> String?) -> String {
        if rest.first == "$" {
            rest.removeFirst()
            return "$"
        }
        let isBraced = rest.first == "{"
        let name = (isBraced ? rest.dropFirst() : rest).prefix { $0.isVariableName }
        guard !name.isEmpty, name.first?.isNumber == false else { return "$" }
        let after = rest[name.endIndex...]
        guard isBraced else {
            rest = after
            return value(String(name)) ?? ""
        }
        guard after.first == "}" else { return "$" }
        rest = after.dropFirst()
        return value(String(name)) ?? ""
    }

    /// The names that `text` refers to.
    static func references(in text: String) -> [String] {
        var names: [String] = []
        _ = expand(text) { name in
            names.append(name)
            return nil
        }
        return names
    }
}

extension Character {
    fileprivate var isVariableName: Bool { isASCII && (isLetter || isNumber || self == "_") }
}

extension String {
    /// Whether a shell can export a variable of this name.
    package var isVariableName: Bool {
        guard let first, first.isNumber == false, utf8.count <= 255 else { return false }
        return allSatisfy(\.isVariableName)
    }
}

/// A variable of a running job or of a rule's evaluation.
package struct JobVariable: Hashable, Sendable, Codable {
    package var key: String
    package var value: String
    /// Whether the value is hidden in logs.
    package var isMasked = false
    /// Whether the job gets the path of a file with the value.
    package var isFile = false
    /// Whether references inside the value stay as they are.
    package var isRaw = false

    package init(_ key: String, _ value: String, isMasked: Bool = false, isFile: Bool = false, isRaw: Bool = false) {
        self.key = key
        self.value = value
        self.isMasked = isMasked
        self.isFile = isFile
        self.isRaw = isRaw
    }
}

/// Variables in the order of their precedence: what is added later wins.
package struct VariableCollection: Sendable {
    package private(set) var variables: OrderedDictionary<String, JobVariable> = [:]

    package init(_ variables: [JobVariable] = []) {
        append(contentsOf: variables)
    }

    package mutating func append(_ variable: JobVariable) {
        variables[variable.key] = variable
    }

    package mutating func append(contentsOf variables: some Sequence<JobVariable>) {
        for variable in variables { append(variable) }
    }

    package subscript(key: String) -> String? { variables[key]?.value }

    /// The collection with references between its values replaced. Values in a circle keep their references to one another.
    package func expanded() -> VariableCollection {
        var expansion = Expansion(source: variables)
        for key in variables.keys { _ = expansion.value(of: key) }
        var result = self
        for (key, value) in expansion.done { result.variables[key]?.value = value }
        return result
    }

    private struct Expansion {
        let source: OrderedDictionary<String, JobVariable>
        var done: [String: String] = [:]
        var open: Set<String> = []

        mutating func value(of key: String) -> String? {
            if let value = done[key] { return value }
            guard let variable = source[key] else { return nil }
            guard !variable.isRaw, !variable.isFile, variable.value.contains("$") else { return variable.value }
            guard open.insert(key).inserted else { return "$\(key)" }
            defer { open.remove(key) }
            var values: [String: String] = [:]
            for name in VariableExpansion.references(in: variable.value) { values[name] = self.value(of: name) }
            let value = VariableExpansion.expand(variable.value) { values[$0] }
            if value.utf8.count > Expansion.maximumBytes { return variable.value }
            done[key] = value
            return value
        }

        static let maximumBytes = 256 * 1024
    }
}
