/// The `$(NAME)` references in `env`, `command`, `args` and `subPathExpr`.
enum VariableExpansion {
    /// Puts in the values of `variables`; unknown references stay as they are, and `$$` is an escaped dollar.
    static func expand(_ text: String, _ variables: [String: String]) -> String {
        guard text.contains("$") else { return text }
        var result = ""
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[rest.index(after: dollar)...]
            result += takeReference(&rest, variables)
        }
        return result + rest
    }

    /// Reads what follows a dollar.
    private static func takeReference(_ rest: inout Substring, _ variables: [String: String]) -> String {
        switch rest.first {
        case "$":
            rest.removeFirst()
            return "$"
        case "(":
            guard let end = rest.firstIndex(of: ")") else { return "$" }
            let name = String(rest[rest.index(after: rest.startIndex)..<end])
            rest = rest[rest.index(after: end)...]
            return variables[name] ?? "$(\(name))"
        default: return "$"
        }
    }
}
