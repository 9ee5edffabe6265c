import KubernetesModel

/// Brings the listeners of all Gateways into one table. Listeners that agree in port, protocol and hostname are one there, with the
/// certificates of all; of two protocols on one port the older Gateway's stays.
struct ListenerBuilder {
    /// How the ports that Gateways name relate to those that are listened on.
    enum Ports: Hashable, Sendable {
        /// Whatever the number, plain HTTP comes in at the gateway's own plain port and HTTPS at its own port for TLS.
        case own
        /// Every port is listened on under its number, except for those that could not be opened.
        case named(unavailable: Set<Int>)
    }

    private(set) var listeners: [RouteTable.Listener] = []
    private let certificates: CertificateResolver
    private let ports: Ports
    /// Whether a port is for TLS.
    private var isTLS: [Int: Bool] = [:]
    private var indexes: [String: Int] = [:]

    init(certificates: CertificateResolver, ports: Ports) {
        self.certificates = certificates
        self.ports = ports
    }

    /// Adds what can be served, and notes at each listener where it went or why it did not.
    mutating func add(_ gateway: inout AttachableGateway) {
        for index in gateway.listeners.indices {
            add(&gateway.listeners[index], namespace: gateway.object.namespace)
        }
    }

    // MARK: - Private

    private mutating func add(_ listener: inout AttachableGateway.Listener, namespace: String) {
        if case .named(let unavailable) = ports, unavailable.contains(listener.port), listener.problem == nil {
            listener.problem = .init(
                reason: "PortUnavailable",
                message: "The port \(listener.port) cannot be opened; another program may have it."
            )
        }
        guard listener.problem == nil else { return }
        guard ports == .own || isTLS[listener.port] ?? listener.isTLS == listener.isTLS else {
            listener.conflict = .init(
                reason: "ProtocolConflict",
                message: "Another listener has the port \(listener.port) for \(listener.isTLS ? "HTTP" : "HTTPS")."
            )
            return
        }
        let certificates = resolve(&listener, namespace)
        guard let index = index(of: &listener) else { return }
        isTLS[listener.port] = listener.isTLS
        for certificate in certificates where listeners[index].tls?.certificates.contains(certificate) == false {
            listeners[index].tls?.certificates.append(certificate)
        }
    }

    private func resolve(_ listener: inout AttachableGateway.Listener, _ namespace: String) -> [RouteTable.Certificate]
    {
        guard listener.isTLS else { return [] }
        let references = listener.tls["certificateRefs"]?.array ?? []
        var found: [RouteTable.Certificate] = []
        if references.isEmpty {
            listener.references = .init(
                reason: "InvalidCertificateRef",
                message: "The listener names no certificate; give tls.certificateRefs."
            )
        }
        for reference in references {
            do {
                found.append(try certificates.resolve(reference, from: namespace))
            } catch {
                listener.references = listener.references ?? .init(reason: error.reason, message: error.message)
            }
        }
        return found
    }

    /// The table's listener, made where it is the first of its kind. Its name says what it stands for.
    private mutating func index(of listener: inout AttachableGateway.Listener) -> Int? {
        let hostname = listener.hostname.isEmpty ? "*" : listener.hostname
        let port = ports == .own ? 0 : listener.port
        let scheme = listener.isTLS ? "https" : "http"
        let name = port == 0 ? "\(scheme)://\(hostname)" : "\(scheme)://\(hostname):\(port)"
        if indexes[name] == nil {
            guard listeners.count < RouteTable.maximumListeners else {
                listener.problem = .init(
                    reason: "TooManyListeners",
                    message: "One gateway serves at most \(RouteTable.maximumListeners) different listeners."
                )
                return nil
            }
            indexes[name] = listeners.count
            let tls = listener.isTLS ? RouteTable.TLS(certificates: []) : nil
            listeners.append(RouteTable.Listener(name: name, port: port, hostname: hostname, tls: tls))
        }
        listener.tableName = name
        return indexes[name]
    }
}
