/// Reads one backend: its endpoints and how they are used.
struct BackendReader {
    let name: String

    private static let fields = ["endpoints", "resolveInterval"] + BackendPolicyReader.fields
    private static let maximumEndpoints = 1024

    func read(_ node: ConfigurationNode) -> FileConfiguration.BackendDefinition? {
        guard let object = node.object(Self.fields) else { return nil }
        guard let list = object.required("endpoints")?.elements(of: "endpoints", atMost: Self.maximumEndpoints) else {
            return nil
        }
        return FileConfiguration.BackendDefinition(
            name: name,
            endpoints: list.compactMap(endpoint),
            resolveInterval: object["resolveInterval"]?.duration(1000...86_400_000) ?? 30_000,
            policy: BackendPolicyReader().read(object)
        )
    }

    // MARK: - Private

    private func endpoint(_ node: ConfigurationNode) -> FileConfiguration.BackendDefinition.Endpoint? {
        guard !node.isScalar else { return shorthand(node) }
        guard let object = node.object(["address", "port", "weight"]) else { return nil }
        let host = object.required("address")?.endpointHost()
        let port = object.required("port")?.integer(1...65535)
        let weight = object.optional("weight", default: 1) { $0.integer(1...1000) }
        guard let host, let port, let weight else { return nil }
        return .init(host: host, port: port, weight: weight)
    }

    /// `10.0.0.1:8080`, `api.internal:80`, `[::1]:80`
    private func shorthand(_ node: ConfigurationNode) -> FileConfiguration.BackendDefinition.Endpoint? {
        guard let text = node.text("an endpoint") else { return nil }
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (1...65535).contains(port)
        else {
            node.fail("\"\(text)\" is not an address and a port; write 10.0.0.1:8080, api.internal:8080 or [::1]:8080")
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard FieldSyntax.isHost(String(host)) || NumericAddress.isValid(String(host)) else {
            node.fail("\"\(host)\" is neither a numeric address nor a host name")
            return nil
        }
        return .init(host: host.lowercased(), port: port, weight: 1)
    }
}

extension ConfigurationObject {
    /// The field's value, or a default where it is missing; `nil` only after a problem was noted.
    func optional<Value>(_ key: String, default value: Value, _ read: (ConfigurationNode) -> Value?) -> Value? {
        guard let node = self[key] else { return value }
        return read(node)
    }
}

extension ConfigurationNode {
    fileprivate func endpointHost() -> String? {
        guard let text = text("an address") else { return nil }
        guard NumericAddress.isValid(text) || FieldSyntax.isHost(text) else {
            fail("\"\(text)\" is neither a numeric address nor a host name")
            return nil
        }
        return text.lowercased()
    }
}
