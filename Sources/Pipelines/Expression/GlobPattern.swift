/// A path pattern with `*`, `**`, `?`, `[a-z]` and `{a,b}`; a slash is matched only by `**`.
package struct GlobPattern: Hashable, Sendable {
    package let pattern: String

    package init(_ pattern: String) {
        self.pattern = pattern.withoutLeadingSlash
    }

    package func matches(_ path: String) -> Bool {
        guard pattern.contains(where: { "*?[{".contains($0) }) else { return path == pattern }
        return (try? RegularExpression("^\(regularExpression)$"))?.matches(path) ?? false
    }

    /// The same as an extended regular expression (POSIX) without anchors.
    package var regularExpression: String {
        var translation = Translation(rest: Array(pattern)[...])
        return translation.run()
    }

    private struct Translation {
        var rest: ArraySlice<Character>
        var result = ""
        var openBraces = 0

        mutating func run() -> String {
            while let character = rest.popFirst() { translate(character) }
            return result + String(repeating: ")", count: openBraces)
        }

        private mutating func translate(_ character: Character) {
            switch character {
            case "*" where rest.first == "*": translateDoubleStar()
            case "*": result += "[^/]*"
            case "?": result += "[^/]"
            case "[": translateClass()
            case "{":
                openBraces += 1
                result += "("
            case "}" where openBraces > 0:
                openBraces -= 1
                result += ")"
            case "," where openBraces > 0: result += "|"
            case "\\": result += rest.popFirst().map(escape) ?? "\\\\"
            default: result += escape(character)
            }
        }

        private mutating func translateDoubleStar() {
            rest = rest.drop { $0 == "*" }
            guard rest.first == "/" else {
                result += ".*"
                return
            }
            rest.removeFirst()
            result += "(.*/)?"
        }

        private mutating func translateClass() {
            guard let end = rest.dropFirst().firstIndex(of: "]") else {
                result += "\\["
                return
            }
            var members = String(rest[..<end])
            if members.first == "!" { members = "^" + members.dropFirst() }
            result += "[\(members)]"
            rest = rest[(end + 1)...]
        }

        private func escape(_ character: Character) -> String {
            ".^$+()|{}[]*?\\".contains(character) ? "\\\(character)" : String(character)
        }
    }
}
