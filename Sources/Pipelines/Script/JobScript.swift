/// Makes the shell texts that a job's pod runs. Pure: text in, text out.
enum JobScript {
    /// The commands in one shell that stops at the first failure; each is shown before it runs.
    static func script(_ commands: [String]) -> String {
        let head = """
            set -e
            if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi

            """
        return head + commands.map(step).joined()
    }

    private static func step(_ command: String) -> String {
        "printf '\\033[32;1m%s\\033[0;m\\n' \(quoted("$ " + title(command)))\n\(command)\n"
    }

    /// What the log shows of a command.
    private static func title(_ command: String) -> String {
        let lines = command.trimmed.split(whereSeparator: \.isNewline)
        guard lines.count > 1 else { return lines.first.map(String.init) ?? "" }
        return "\(lines[0]) # collapsed multi-line command"
    }

    /// Assignments that a shell reads; files are named by where they are mounted.
    static func environment(_ variables: [JobVariable], folder: String) -> String {
        variables.filter(\.key.isVariableName)
            .map { "export \($0.key)=\(quoted($0.isFile ? "\(folder)/file.\($0.key)" : $0.value))\n" }
            .joined()
    }

    /// `text` as one word of a POSIX shell, whatever it holds.
    static func quoted(_ text: String) -> String {
        "'" + text.replacing("'", with: "'\\''").filter { $0 != "\0" } + "'"
    }

    /// Extended regular expressions, one per line, that select files below the project's folder as `find .` names them.
    static func selection(_ patterns: [String], projectFolder: String) -> String {
        patterns.compactMap { relative($0, to: projectFolder) }
            .map { pattern in
                pattern.isEmpty ? "^\\./" : "^\\./\(GlobPattern(pattern).regularExpression)(/.*)?$"
            }
            .map { $0 + "\n" }
            .joined()
    }

    /// `path` below the project's folder; `nil` when it leads out of it.
    private static func relative(_ path: String, to folder: String) -> String? {
        var path = path
        if path.hasPrefix("/") {
            guard path == folder || path.hasPrefix(folder + "/") else { return nil }
            path = String(path.dropFirst(folder.count))
        }
        let parts = path.split(separator: "/").filter { $0 != "." }
        return parts.contains("..") ? nil : parts.joined(separator: "/")
    }
}
