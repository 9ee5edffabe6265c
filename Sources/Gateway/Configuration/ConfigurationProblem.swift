/// One thing that is wrong with a configuration file, and where.
///
/// Reads as `gateway.yaml:12:9: routes[0].rules[0].backends[0].name: there is no backend "ap"; did you mean "api"?`
package struct ConfigurationProblem: Hashable, Sendable, CustomStringConvertible {
    package var file: String
    /// Counted from 1; zero where the problem is the file itself.
    package var line: Int
    package var column: Int
    /// The path to the field, as `routes[0].name`; empty for the whole document.
    package var field: String
    package var message: String

    package var description: String {
        let place = line > 0 ? "\(file):\(line):\(column)" : file
        return field.isEmpty ? "\(place): \(message)" : "\(place): \(field): \(message)"
    }
}

/// Why a configuration file cannot be used: everything that is wrong with it, in the order of its lines.
package struct ConfigurationError: Error, Hashable, CustomStringConvertible {
    package let problems: [ConfigurationProblem]

    package var description: String { problems.map(\.description).joined(separator: "\n") }

    init(_ problems: [ConfigurationProblem]) {
        self.problems = problems.sorted { ($0.line, $0.column, $0.field) < ($1.line, $1.column, $1.field) }
    }

    init(file: String, line: Int = 0, column: Int = 0, _ message: String) {
        problems = [ConfigurationProblem(file: file, line: line, column: column, field: "", message: message)]
    }
}

/// Collects what is wrong while a file is read, so that one run shows all of it. Keeps the first ``limit`` problems.
final class ConfigurationProblems {
    static let limit = 50

    let file: String
    private(set) var list: [ConfigurationProblem] = []

    init(file: String) { self.file = file }

    func add(line: Int, column: Int, field: String, _ message: String) {
        guard list.count < Self.limit else { return }
        list.append(ConfigurationProblem(file: file, line: line, column: column, field: field, message: message))
    }

    func throwIfAny() throws(ConfigurationError) {
        if !list.isEmpty { throw ConfigurationError(list) }
    }
}

/// Finds what a misspelt word was meant to be.
enum Suggestion {
    /// `; did you mean "…"?` when one of `words` is at most two letters away from `word`, else nothing.
    static func hint(for word: String, among words: some Sequence<String>) -> String {
        closest(to: word, among: words).map { "; did you mean \"\($0)\"?" } ?? ""
    }

    private static func closest(to word: String, among words: some Sequence<String>) -> String? {
        let limit = word.count <= 3 ? 1 : 2
        guard word.count <= 64 else { return nil }
        return words.filter { abs($0.count - word.count) <= limit }
            .map { (distance(Array(word.lowercased().utf8), Array($0.lowercased().utf8)), $0) }
            .filter { $0.0 <= limit }.min { $0 < $1 }?.1
    }

    /// Letters to change, add, remove or swap (optimal string alignment).
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var before: [Int] = []
        var last = Array(0...right.count)
        for (i, letter) in left.enumerated() {
            var row = [i + 1]
            for (j, other) in right.enumerated() {
                var best = min(last[j] + (letter == other ? 0 : 1), last[j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, letter == right[j - 1], left[i - 1] == other { best = min(best, before[j - 1] + 1) }
                row.append(best)
            }
            (before, last) = (last, row)
        }
        return last[right.count]
    }
}
