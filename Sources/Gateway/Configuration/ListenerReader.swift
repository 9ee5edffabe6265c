/// Reads where requests come in, and the certificates of TLS.
struct ListenerReader {
    /// Finds the bytes of a file that the configuration names.
    let files: CertificateFiles

    private static let maximumCertificates = 64

    func read(_ node: ConfigurationNode?) -> [RouteTable.Listener] {
        guard let node else { return [] }
        let elements = node.elements(of: "listeners", atMost: RouteTable.maximumListeners) ?? []
        var names: Set<String> = []
        var places: Set<[String]> = []
        return elements.compactMap { element in
            guard let listener = listener(element) else { return nil }
            if !names.insert(listener.name).inserted {
                element.fail("there is another listener \"\(listener.name)\"")
            }
            if !places.insert([listener.address, "\(listener.port)", listener.hostname]).inserted {
                element.fail("another listener has the same port and hostname")
            }
            return listener
        }
    }

    // MARK: - Private

    private func listener(_ node: ConfigurationNode) -> RouteTable.Listener? {
        guard let object = node.object(["name", "address", "port", "hostname", "tls"]) else { return nil }
        let name = object.required("name")?.name()
        let port = object.required("port")?.integer(1...65535)
        var listener = RouteTable.Listener(name: name ?? "", port: port ?? 0)
        listener.address = object["address"]?.numericAddress() ?? "0.0.0.0"
        if let hostname = object["hostname"].flatMap({ $0.hostPattern() }) { listener.hostname = hostname }
        if let tls = object["tls"] { listener.tls = self.tls(tls) }
        return name == nil || port == nil ? nil : listener
    }

    private func tls(_ node: ConfigurationNode) -> RouteTable.TLS? {
        guard let object = node.object(["certificates", "minimumVersion"]) else { return nil }
        let list = object.required("certificates")?.elements(of: "certificates", atMost: Self.maximumCertificates)
        if let list, list.isEmpty { object["certificates"]?.fail("must have at least one certificate") }
        var tls = RouteTable.TLS(certificates: (list ?? []).compactMap(certificate))
        if let version = object["minimumVersion"].flatMap({
            $0.choice(["1.2": RouteTable.TLS.Version.v12, "1.3": RouteTable.TLS.Version.v13])
        }) {
            tls.minimumVersion = version
        }
        return tls
    }

    private func certificate(_ node: ConfigurationNode) -> RouteTable.Certificate? {
        guard let object = node.object(["certificateFile", "keyFile"]) else { return nil }
        let chain = object.required("certificateFile").flatMap { read($0, holding: "CERTIFICATE") }
        let key = object.required("keyFile").flatMap { read($0, holding: "PRIVATE KEY") }
        guard let chain, let key, let file = object["certificateFile"], let name = file.text() else { return nil }
        let certificate = RouteTable.Certificate(name: name, chain: chain, key: key)
        if let problem = files.problem(certificate) { file.fail("cannot be used with its key: \(problem)") }
        return certificate
    }

    private func read(_ node: ConfigurationNode, holding label: String) -> [UInt8]? {
        guard let path = node.text("the path of a file") else { return nil }
        guard let bytes = files.read(path) else {
            node.fail("cannot read the file \(files.absolute(path))")
            return nil
        }
        guard String(decoding: bytes, as: UTF8.self).contains("\(label)-----") else {
            node.fail("the file \(files.absolute(path)) holds no \(label) in PEM")
            return nil
        }
        return bytes
    }
}

/// The files of certificates and keys; relative paths start in the folder of the configuration file.
struct CertificateFiles {
    static let maximumBytes = 1 << 20

    let folder: String
    /// The bytes of a file, or `nil`.
    let load: (String) -> [UInt8]?
    /// Why a certificate cannot be used, or `nil`.
    let problem: (RouteTable.Certificate) -> String?

    func absolute(_ path: String) -> String {
        path.hasPrefix("/") || folder.isEmpty ? path : "\(folder)/\(path)"
    }

    func read(_ path: String) -> [UInt8]? {
        load(absolute(path)).flatMap { $0.count <= Self.maximumBytes ? $0 : nil }
    }
}

extension ConfigurationNode {
    /// `*`, `*.example.org` or a name; in lower case.
    func hostPattern() -> String? {
        guard let text = text("a host") else { return nil }
        guard FieldSyntax.isHostPattern(text) else {
            fail("\"\(text)\" is not a host; write shop.example.org, *.example.org or *, without scheme and port")
            return nil
        }
        return text.lowercased()
    }
}
