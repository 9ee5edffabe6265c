import CLinux

/// What may stand in the fields of routes, wherever they are described.
enum FieldSyntax {
    static let nameRule = "must be 1 to 253 letters, digits, and . _ - / between them"

    /// The name of a route, listener or backend: safe in metrics and logs.
    static func isName(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard (1...253).contains(bytes.count), isLetterOrDigit(bytes[0]), isLetterOrDigit(bytes[bytes.count - 1]) else {
            return false
        }
        return bytes.allSatisfy { isLetterOrDigit($0) || [0x2D, 0x2E, 0x2F, 0x5F, 0x3A].contains($0) }
    }

    /// A host name without port (RFC 1123), in any case.
    static func isHost(_ text: String) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        return text.utf8.split(separator: 0x2E, omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.count) && label.first != 0x2D && label.last != 0x2D
                && label.allSatisfy { isLetterOrDigit($0) || $0 == 0x2D || $0 == 0x5F }
        }
    }

    /// `*`, `*.example.org`, a host name or a numeric address.
    static func isHostPattern(_ text: String) -> Bool {
        if text == "*" || NumericAddress.isValid(text) { return true }
        return isHost(text.hasPrefix("*.") ? String(text.dropFirst(2)) : text)
    }

    /// `*`, or scheme, host and perhaps port of a page, where `*` may stand for the host or for its first labels.
    static func isOrigin(_ text: String) -> Bool {
        if text == "*" { return true }
        guard let scheme = ["http://", "https://"].first(where: text.hasPrefix) else { return false }
        var host = text.dropFirst(scheme.count)
        if let colon = host.lastIndex(of: ":"), !host.hasSuffix("]") {
            guard let port = Int(host[host.index(after: colon)...]), (1...65535).contains(port) else { return false }
            host = host[..<colon]
        }
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        return isBracketed
            ? NumericAddress.isValid(String(host.dropFirst().dropLast())) : isHostPattern(String(host))
    }

    /// RFC 9110 §5.1
    static func isHeaderName(_ text: String) -> Bool {
        (1...256).contains(text.utf8.count) && text.utf8.allSatisfy(ASCII.isToken)
    }

    /// RFC 9110 §5.5: no control characters but the tab.
    static func isHeaderValue(_ text: String) -> Bool {
        text.utf8.count <= 8192 && !text.utf8.contains { $0 < 0x20 && $0 != ASCII.tab || $0 == 0x7F }
    }

    /// Fields that say where messages end or what a connection is for: proxies write them themselves.
    static func isFraming(_ name: String) -> Bool {
        ["connection", "content-length", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"]
            .contains(name.lowercased())
    }

    /// A path as requests carry it: from a slash on, visible ASCII without `?` and `#`.
    static func isPath(_ text: String) -> Bool {
        text.hasPrefix("/") && text.utf8.count <= 1024
            && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x3F && $0 != 0x23 }
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        ASCII.isDigit(byte) || (0x61...0x7A).contains(ASCII.lowercased(byte))
    }
}

enum NumericAddress {
    static func isValid(_ text: String) -> Bool {
        var address = clinux_address()
        return clinux_parse_address(text, 0, &address) == 0
    }
}
