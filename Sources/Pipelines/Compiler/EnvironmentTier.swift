/// What an environment's name tells of its purpose, as GitLab guesses it.
enum EnvironmentTier {
    private static let words = [
        ("development", ["dev", "review", "trunk"]),
        ("testing", ["test", "tst", "int", "accept", "acpt", "qa", "qc", "control", "quality"]),
        ("staging", ["stag", "stg", "model", "modl", "pre", "demo", "non"]),
        ("production", ["prod", "prd", "live"]),
    ]

    static func guess(_ name: String) -> String {
        let name = name.lowercased()
        return words.first { $0.1.contains(where: name.contains) }?.0 ?? "other"
    }
}
