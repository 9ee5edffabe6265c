import HTTPTypes

/// The name of a repository: lower-case path components joined by slashes, at most 255 characters
/// (OCI distribution specification, "Pulling manifests").
///
/// A valid name is safe as a relative path: no component starts with a dot or an underscore.
package struct RepositoryName: Hashable, Sendable, CustomStringConvertible {
    package let description: String

    package init?(_ text: some StringProtocol) {
        guard !text.isEmpty, text.utf8.count <= 255 else { return nil }
        guard text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy({ Self.isComponent($0.utf8) })
        else {
            return nil
        }
        description = String(text)
    }

    static func parse(_ text: some StringProtocol) throws(RegistryError) -> RepositoryName {
        guard let name = RepositoryName(text) else {
            throw RegistryError(
                .badRequest,
                .nameInvalid,
                """
                "\(text.prefix(255))" is no repository name; expected lower-case letters and digits, \
                separated by . _ __ - or /, at most 255 characters
                """
            )
        }
        return name
    }

    private enum Previous { case start, alphanumeric, dot, underscore, twoUnderscores, dash }

    private static func isComponent(_ text: some Sequence<UInt8>) -> Bool {
        var previous = Previous.start
        for byte in text {
            guard let next = following(previous, byte) else { return false }
            previous = next
        }
        return previous == .alphanumeric
    }

    private static func following(_ previous: Previous, _ byte: UInt8) -> Previous? {
        switch (previous, byte) {
        case (_, UInt8(ascii: "a")...UInt8(ascii: "z")), (_, UInt8(ascii: "0")...UInt8(ascii: "9")): .alphanumeric
        case (.alphanumeric, UInt8(ascii: ".")): .dot
        case (.alphanumeric, UInt8(ascii: "_")): .underscore
        case (.underscore, UInt8(ascii: "_")): .twoUnderscores
        case (.alphanumeric, UInt8(ascii: "-")), (.dash, UInt8(ascii: "-")): .dash
        default: nil
        }
    }
}

/// How a request names a manifest: by tag or by digest.
package enum ManifestReference: Hashable, Sendable, CustomStringConvertible {
    case tag(String)
    case digest(ContentDigest)

    package init?(_ text: some StringProtocol) {
        if let digest = ContentDigest(text) {
            self = .digest(digest)
        } else if Self.isTag(text) {
            self = .tag(String(text))
        } else {
            return nil
        }
    }

    package var description: String {
        switch self {
        case .tag(let tag): tag
        case .digest(let digest): digest.description
        }
    }

    static func parse(_ text: some StringProtocol) throws(RegistryError) -> ManifestReference {
        guard let reference = ManifestReference(text) else {
            throw RegistryError(
                .badRequest,
                .manifestInvalid,
                """
                "\(text.prefix(200))" is neither a sha256 digest nor a tag; a tag has at most 128 letters, digits, \
                _ . - and starts with neither . nor -
                """
            )
        }
        return reference
    }

    private static func isTag(_ text: some StringProtocol) -> Bool {
        guard let first = text.utf8.first, text.utf8.count <= 128 else { return false }
        guard first != UInt8(ascii: "."), first != UInt8(ascii: "-") else { return false }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }
}
