package import CLinux

/// Where requests go: a URL, resolved to one address.
package struct LoadTarget: Sendable {
    package let scheme: String
    /// As it stands in the URL, for the Host field and for SNI.
    package let host: String
    package let port: UInt16
    /// The path and the query of the URL.
    package let path: String
    package let address: clinux_address

    /// The URL without its path.
    package var origin: String { "\(scheme)://\(authority)" }

    /// The value of the Host field (RFC 9110 §7.2): the port stands in it only where it is not the scheme's own.
    package var authority: String {
        port == (scheme == "https" ? 443 : 80) ? host : "\(host):\(port)"
    }

    /// Reads `http://host[:port][/path][?query]` and resolves the host's name.
    package init(_ url: String) throws {
        func refuse(_ reason: String) -> LoadError {
            LoadError("'\(url)' \(reason); write http://host[:port]/path or https://host[:port]/path")
        }
        guard
            let match = url.wholeMatch(
                of: /(https?):\/\/(\[[0-9a-fA-F:.]+\]|[^\/:?#\[\]@]+)(?::([0-9]{1,5}))?([\/?][^#]*)?/
            )
        else { throw refuse("is not a URL that can be loaded") }
        scheme = String(match.1)
        host = String(match.2)
        port = match.3.map { UInt16($0) ?? 0 } ?? (scheme == "https" ? 443 : 80)
        guard port > 0 else { throw refuse("has no valid port") }
        let path = String(match.4 ?? "/")
        self.path = path.hasPrefix("/") ? path : "/\(path)"
        guard self.path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw refuse("has characters in its path that must be percent-encoded")
        }
        address = try Self.resolve(host, port)
    }

    private static func resolve(_ host: String, _ port: UInt16) throws -> clinux_address {
        let name = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        var addresses = [clinux_address](repeating: clinux_address(), count: 8)
        var reason: UnsafePointer<CChar>?
        let count = clinux_resolve(name, port, &addresses, 8, &reason)
        guard count > 0 else {
            throw LoadError("cannot resolve '\(name)': \(reason.map { String(cString: $0) } ?? "it has no address")")
        }
        return addresses[0]
    }
}
