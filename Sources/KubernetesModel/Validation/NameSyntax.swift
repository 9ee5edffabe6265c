/// The syntaxes of names and label values (RFC 1123, RFC 1035 and the Kubernetes API conventions). Each method answers what is wrong, or
/// `nil` for a name that is right.
package enum NameSyntax {
    /// Lower-case letters, digits and `-`, at most 63, starting and ending with a letter or digit.
    package static func problem(inLabel name: String) -> String? {
        guard name.utf8.count <= 63 else { return "must be no more than 63 characters" }
        guard isLabel(name.utf8[...]) else {
            return "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
                + "and must start and end with an alphanumeric character"
        }
        return nil
    }

    /// Labels joined by dots, at most 253 characters.
    package static func problem(inSubdomain name: String) -> String? {
        guard name.utf8.count <= 253 else { return "must be no more than 253 characters" }
        let parts = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.allSatisfy({ isLabel($0) }) else {
            return "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
                + "and must start and end with an alphanumeric character"
        }
        return nil
    }

    /// A label that starts with a letter (RFC 1035), as Services have.
    package static func problem(inServiceName name: String) -> String? {
        guard name.utf8.count <= 63 else { return "must be no more than 63 characters" }
        guard isLabel(name.utf8[...]), let first = name.utf8.first, isLowercaseLetter(first) else {
            return "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
                + "start with an alphabetic character, and end with an alphanumeric character"
        }
        return nil
    }

    /// The name of a port: at most 15 lower-case letters, digits and single `-`, with a letter.
    package static func problem(inPortName name: String) -> String? {
        guard name.utf8.count <= 15 else { return "must be no more than 15 characters" }
        guard isLabel(name.utf8[...]) else {
            return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
        }
        guard name.utf8.contains(where: isLowercaseLetter) else { return "must contain at least one letter (a-z)" }
        return name.contains("--") ? "must not contain consecutive hyphens" : nil
    }

    /// A name that can be one segment of a URL path, as the objects of RBAC have.
    package static func problem(inPathSegment name: String) -> String? {
        if name == "." || name == ".." { return "may not be '\(name)'" }
        if name.contains("/") { return "may not contain '/'" }
        return name.contains("%") ? "may not contain '%'" : nil
    }

    /// The key of a label or annotation: an optional DNS prefix and `/`, then at most 63 letters, digits, `-`, `_` and `.`.
    package static func problem(inQualifiedName name: String) -> String? {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { return "a qualified name must have at most one '/' after a DNS subdomain prefix" }
        if parts.count == 2 {
            guard !parts[0].isEmpty else { return "prefix part must be non-empty" }
            if let problem = problem(inSubdomain: String(parts[0])) { return "prefix part \(problem)" }
        }
        let last = parts[parts.count - 1]
        guard !last.isEmpty else { return "name part must be non-empty" }
        guard last.utf8.count <= 63 else { return "name part must be no more than 63 characters" }
        guard isLabelValue(last.utf8) else {
            return "name part must consist of alphanumeric characters, '-', '_' or '.', "
                + "and must start and end with an alphanumeric character"
        }
        return nil
    }

    /// Empty, or at most 63 letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit.
    package static func problem(inLabelValue value: String) -> String? {
        guard value.utf8.count <= 63 else { return "must be no more than 63 characters" }
        guard value.isEmpty || isLabelValue(value[...].utf8) else {
            return "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
                + "and must start and end with an alphanumeric character"
        }
        return nil
    }

    /// A key of a ConfigMap or Secret: at most 253 letters, digits, `-`, `_` and `.`.
    package static func problem(inConfigKey key: String) -> String? {
        guard key.utf8.count <= 253 else { return "must be no more than 253 characters" }
        guard !key.isEmpty, key.utf8.allSatisfy({ isAlphanumeric($0) || isJoiner($0) }) else {
            return "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        }
        if key == "." || key.hasPrefix("..") { return "must not be '.' or start with '..'" }
        return nil
    }

    // MARK: - Private

    private static func isLabel(_ name: Substring.UTF8View) -> Bool {
        guard let first = name.first, let last = name.last, name.count <= 63 else { return false }
        let hyphen = UInt8(ascii: "-")
        return first != hyphen && last != hyphen
            && name.allSatisfy { isLowercaseLetter($0) || isDigit($0) || $0 == hyphen }
    }

    private static func isLabelValue(_ value: Substring.UTF8View) -> Bool {
        guard let first = value.first, let last = value.last else { return false }
        return isAlphanumeric(first) && isAlphanumeric(last)
            && value.allSatisfy { isAlphanumeric($0) || isJoiner($0) }
    }

    private static func isLowercaseLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte) }
    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    private static func isJoiner(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".")
    }
    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        isDigit(byte) || isLowercaseLetter(byte | 0x20) && byte < 0x80
    }
}
