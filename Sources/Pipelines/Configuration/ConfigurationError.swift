/// What is wrong with a pipeline configuration, and where.
///
/// Reads as `.gitlab-ci.yml:12: jobs:test:stge: unknown keyword "stge"; did you mean "stage"?`
package struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    package var mark: SourceMark
    /// The keys that lead to the value, outermost first.
    package var path: [String]
    package var message: String

    package init(_ mark: SourceMark, _ path: [String], _ message: String) {
        self.mark = mark
        self.path = path
        self.message = message
    }

    package var description: String {
        let keys = path.isEmpty ? "" : path.joined(separator: ":") + ": "
        return "\(mark): \(keys)\(message)"
    }
}

/// All that is wrong with one configuration, in the order of its lines as far as it is known.
package struct InvalidConfiguration: Error, Hashable, Sendable, CustomStringConvertible {
    package var errors: [ConfigurationError]

    package init(_ errors: [ConfigurationError]) {
        self.errors = errors
    }

    package var description: String { errors.map(\.description).joined(separator: "\n") }
}

/// A line of a file; line zero stands for the file as a whole.
package struct SourceMark: Hashable, Sendable, CustomStringConvertible {
    package var file: String
    package var line: Int

    package init(file: String, line: Int) {
        self.file = file
        self.line = line
    }

    package var description: String { line > 0 ? "\(file):\(line)" : file }
}
