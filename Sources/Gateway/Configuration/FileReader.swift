import FlowControl

/// Reads the top of a configuration file and hands its parts to their readers.
struct FileReader {
    let root: ConfigurationNode
    let files: CertificateFiles

    private static let fields = ["workers", "admin", "listeners", "routes", "backends", "policies"]

    func read() -> FileConfiguration {
        var configuration = FileConfiguration()
        guard let file = root.object(Self.fields + SettingsReader.fields) else { return configuration }
        configuration.workers = file["workers"]?.integer(1...1024)
        if let admin = file["admin"] { configuration.admin = self.admin(admin) }
        configuration.settings = SettingsReader().read(file)
        configuration.accessLog = SettingsReader().accessLog(file["accessLog"])
        configuration.listeners = ListenerReader(files: files).read(file["listeners"])
        configuration.backends = backends(file["backends"])
        let names = FileNames(
            backends: file["backends"]?.keys ?? [],
            listeners: Set(configuration.listeners.map(\.name)),
            policyNames: file["policies"]?.keys ?? [],
            policies: policies(file["policies"])
        )
        if let routes = file.required("routes") { configuration.rules = RouteReader(names: names).read(routes) }
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

    private func backends(_ node: ConfigurationNode?) -> [FileConfiguration.BackendDefinition] {
        let entries = node?.entries(of: "backends", atMost: FileConfiguration.maximumBackends) ?? []
        return entries.compactMap { entry in
            if !FieldSyntax.isName(entry.key) { entry.failAtKey("\"\(entry.key)\" \(FieldSyntax.nameRule)") }
            return BackendReader(name: entry.key).read(entry.value)
        }
    }

    private func policies(_ node: ConfigurationNode?) -> [String: TrafficPolicy] {
        let entries = node?.entries(of: "policies", atMost: FileConfiguration.maximumPolicies) ?? []
        return entries.reduce(into: [:]) { policies, entry in
            if !FieldSyntax.isName(entry.key) { entry.failAtKey("\"\(entry.key)\" \(FieldSyntax.nameRule)") }
            policies[entry.key] = PolicyReader(name: entry.key).read(entry.value)
        }
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
