/// The purpose of an environment.
package enum EnvironmentTier: String, Hashable, Sendable, CaseIterable {
    case production, staging, testing, development, other

    private static let words: [(Self, [String])] = [
        (.development, ["dev", "review", "trunk"]),
        (.testing, ["test", "tst", "int", "accept", "acpt", "qa", "qc", "control", "quality"]),
        (.staging, ["stag", "stg", "model", "modl", "pre", "demo", "non"]),
        (.production, ["prod", "prd", "live"]),
    ]

    /// What an environment's name tells, as GitLab guesses it.
    static func guess(_ name: String) -> Self {
        let name = name.lowercased()
        return words.first { $0.1.contains(where: name.contains) }?.0 ?? .other
    }
}
