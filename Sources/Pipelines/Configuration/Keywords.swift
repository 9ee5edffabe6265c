/// The words of `.gitlab-ci.yml`, as the public schema lists them.
enum Keywords {
    static let global: Set<String> = [
        "default", "stages", "variables", "workflow", "include", "image", "services", "cache", "before_script",
        "after_script", "spec", "types",
    ]

    /// What `default:` may set for all jobs.
    static let inheritable: Set<String> = [
        "after_script", "artifacts", "before_script", "cache", "hooks", "id_tokens", "identity", "image",
        "interruptible", "retry", "services", "tags", "timeout",
    ]

    static let job: Set<String> = inheritable.union([
        "script", "stage", "variables", "rules", "only", "except", "needs", "dependencies", "environment", "when",
        "allow_failure", "parallel", "resource_group", "coverage", "extends", "inherit", "start_in", "release",
        "trigger", "pages", "publish", "secrets", "run", "manual_confirmation", "inputs", "type",
    ])

    /// Accepted without effect here; each use is said in a warning.
    static let ignored: Set<String> = [
        "hooks", "id_tokens", "identity", "release", "pages", "publish", "secrets", "manual_confirmation", "inputs",
        "coverage",
    ]

    static let rule: Set<String> = [
        "if", "changes", "exists", "when", "allow_failure", "variables", "needs", "start_in", "interruptible",
    ]

    static let predefinedStages = ["build", "test", "deploy"]

    /// The member of `words` that `word` most probably stands for.
    static func suggestion(for word: String, among words: some Sequence<String>) -> String? {
        let limit = word.count <= 4 ? 1 : 2
        return words.map { (distance(word, $0), $0) }.filter { $0.0 <= limit }.min { $0 < $1 }?.1
    }

    /// How many letters must be changed, added, removed or swapped to make one word the other.
    private static func distance(_ left: String, _ right: String) -> Int {
        let (left, right) = (Array(left), Array(right))
        var rows = [Array(0...right.count)]
        for i in left.indices {
            var row = [i + 1]
            for j in right.indices {
                let changed = rows[i][j] + (left[i] == right[j] ? 0 : 1)
                var best = min(changed, rows[i][j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, left[i] == right[j - 1], left[i - 1] == right[j] {
                    best = min(best, rows[i - 1][j - 1] + 1)
                }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[left.count][right.count]
    }
}
