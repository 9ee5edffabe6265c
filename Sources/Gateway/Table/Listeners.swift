extension RouteTable {
    /// Listeners in one table; what compiles a table refuses more.
    package static let maximumListeners = 64

    /// A hostname on a port where requests come in (Gateway API, `Listener`), plain or with TLS.
    ///
    /// Among the listeners of a port the most specific hostname that covers a name takes it: an exact one, then the longest wildcard, then
    /// `*`. TLS connections belong to the listener that the server name of their handshake selects; a request on them for a host of another
    /// listener is answered with 421, for a host of none with 404. A handshake that selects none is refused with `unrecognized_name`.
    package struct Listener: Hashable, Sendable {
        /// Rules refer to it, and connections remember it: it stays the same from table to table.
        package var name: String
        /// A numeric address; empty for the gateway's own.
        package var address: String
        /// Zero stands for the gateway's own port for plain HTTP or for TLS.
        package var port: Int
        /// `*` for every host, `*.example.org` for every name below a domain, else one name; in lower case.
        package var hostname: String
        /// `nil` for plain HTTP.
        package var tls: TLS?

        package init(name: String, address: String = "", port: Int = 0, hostname: String = "*", tls: TLS? = nil) {
            self.name = name
            self.address = address
            self.port = port
            self.hostname = hostname
            self.tls = tls
        }
    }

    /// How a listener terminates TLS.
    package struct TLS: Hashable, Sendable {
        package enum Version: Hashable, Sendable { case v12, v13 }

        /// With none every handshake fails. The first whose names cover the server name is shown, else the first of all. Certificates of different kinds of
        /// keys for the same names may stand side by side; the client's abilities choose.
        package var certificates: [Certificate]
        package var minimumVersion: Version

        package init(certificates: [Certificate], minimumVersion: Version = .v12) {
            self.certificates = certificates
            self.minimumVersion = minimumVersion
        }
    }

    /// A certificate with its chain and its private key, in PEM. Never shown: the description names only where it comes from.
    package struct Certificate: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
        /// For people: the Secret's `namespace/name`, or the file.
        package var name: String
        /// The leaf first, then its issuers.
        package var chain: [UInt8]
        package var key: [UInt8]

        package init(name: String, chain: [UInt8], key: [UInt8]) {
            self.name = name
            self.chain = chain
            self.key = key
        }

        package var description: String { "certificate \(name)" }
        package var customMirror: Mirror { Mirror(self, children: ["name": name]) }
    }
}
