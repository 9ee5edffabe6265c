import Yams

/// Reads the top of a configuration file and hands its parts to their readers.
struct FileReader {
    let root: ConfigurationNode

    private static let fields = ["workers", "admin", "listeners", "routes", "backends"]

    func read() -> FileConfiguration {
        var configuration = FileConfiguration()
        guard let file = root.object(Self.fields) else { return configuration }
        configuration.workers = file["workers"]?.integer(1...1024)
        if let admin = file["admin"] { configuration.admin = self.admin(admin) }
        configuration.listeners = listeners(file["listeners"])
        configuration.backends = backends(file["backends"])
        if let routes = file.required("routes") {
            configuration.rules = RouteReader(backends: backendNames(file["backends"])).read(routes)
        }
        return configuration
    }

    // MARK: - Private

    private func admin(_ node: ConfigurationNode) -> FileConfiguration.Admin {
        var admin = FileConfiguration.Admin()
        guard let object = node.object(["socket", "port"]) else { return admin }
        admin.socket = object["socket"]?.text("the path of a Unix socket")
        admin.port = object["port"]?.integer(0...65535)
        return admin
    }

    private func listeners(_ node: ConfigurationNode?) -> [FileConfiguration.Listener] {
        guard let node, let elements = node.elements(of: "listeners", atMost: 1) else { return [] }
        return elements.compactMap { element in
            guard let object = element.object(["name", "address", "port"]) else { return nil }
            return FileConfiguration.Listener(
                name: object["name"]?.name() ?? "http",
                address: object["address"]?.numericAddress() ?? "0.0.0.0",
                port: object.required("port")?.integer(0...65535) ?? 0
            )
        }
    }

    private func backends(_ node: ConfigurationNode?) -> [FileConfiguration.BackendDefinition] {
        let entries = node?.entries(of: "backends", atMost: FileConfiguration.maximumBackends) ?? []
        return entries.compactMap { entry in
            if !FieldSyntax.isName(entry.key) { entry.failAtKey(FieldSyntax.nameRule) }
            return BackendReader(name: entry.key).read(entry.value)
        }
    }

    /// Every name that stands there, also of backends that are wrong: one mistake should not look like two.
    private func backendNames(_ node: ConfigurationNode?) -> Set<String> {
        guard let node, case .mapping(let mapping) = node.node else { return [] }
        return Set(mapping.keys.compactMap { $0.string })
    }
}

extension ConfigurationNode {
    /// The name of a route, a listener or the like, as it appears in metrics.
    func name() -> String? {
        guard let text = text("a name") else { return nil }
        guard FieldSyntax.isName(text) else {
            fail("\"\(text)\" \(FieldSyntax.nameRule)")
            return nil
        }
        return text
    }

    func numericAddress() -> String? {
        guard let text = text("an address") else { return nil }
        guard NumericAddress.isValid(text) else {
            fail("\"\(text)\" is not a numeric IPv4 or IPv6 address")
            return nil
        }
        return text
    }
}
