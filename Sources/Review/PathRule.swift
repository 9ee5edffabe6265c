/// What a user, group or project may be called in a URL.
package enum PathRule {
    /// First parts of a full path that the web port, the API or the registry use themselves.
    package static let reserved: Set<String> = [
        "-", ".well-known", "admin", "api", "assets", "cache", "dashboard", "events", "explore", "groups",
        "health_check",
        "help", "import", "jwt", "login", "logout", "mirror", "oauth", "profile", "projects", "public", "sampan",
        "search",
        "static", "users", "v2",
    ]

    /// Checks one part of a path.
    /// - Throws: `GitLabError` 400 that names the field and what is right.
    package static func check(_ path: String, field: String = "path", isFirst: Bool = true) throws {
        guard isValid(path) else {
            throw GitLabError.invalid(
                field,
                "can contain only letters, digits, '_', '-' and '.'. It must start with a letter, digit or '_', and not end "
                    + "in '-', '.', '.git' or '.atom'. It has 1 to 255 characters"
            )
        }
        if isFirst && reserved.contains(path.lowercased()) {
            throw GitLabError.invalid(field, "'\(path)' is a reserved name")
        }
    }

    static func isValid(_ path: String) -> Bool {
        guard (1...255).contains(path.utf8.count), let first = path.utf8.first, let last = path.utf8.last else {
            return false
        }
        let lowercase = path.lowercased()
        return path.utf8.allSatisfy { isLetterOrDigit($0) || "_-.".utf8.contains($0) }
            && (isLetterOrDigit(first) || first == UInt8(ascii: "_"))
            && (isLetterOrDigit(last) || last == UInt8(ascii: "_"))
            && !path.contains("..") && !lowercase.hasSuffix(".git") && !lowercase.hasSuffix(".atom")
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}
