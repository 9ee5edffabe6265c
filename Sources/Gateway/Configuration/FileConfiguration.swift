import Yams

/// What a configuration file says, checked and complete but for the addresses of names; see docs/gateway.md for the file.
package struct FileConfiguration: Hashable, Sendable {
    /// Bounds of a file; larger ones are refused.
    static let maximumBytes = 4 << 20
    static let maximumRoutes = 10_000
    static let maximumBackends = 10_000

    /// `nil` is one per processor.
    package var workers: Int?
    package var admin = Admin()
    package var listeners: [Listener] = []
    package var rules: [RouteTable.Rule] = []
    package var backends: [BackendDefinition] = []

    package struct Admin: Hashable, Sendable {
        /// The path of the Unix socket.
        package var socket: String?
        /// On loopback, for reading only.
        package var port: Int?
    }

    package struct Listener: Hashable, Sendable {
        package var name: String
        package var address: String
        package var port: Int
    }

    /// A backend whose endpoints may still be names.
    package struct BackendDefinition: Hashable, Sendable {
        package var name: String
        package var endpoints: [Endpoint]
        /// Milliseconds between two resolutions of its names.
        package var resolveInterval: Int

        package struct Endpoint: Hashable, Sendable {
            /// A numeric address or a name.
            package var host: String
            package var port: Int
            package var weight: Int
        }
    }

    /// Reads and checks a file's text.
    ///
    /// - Parameters:
    ///   - file: how messages call it.
    /// - Throws: everything that is wrong, up to ``ConfigurationProblems/limit`` problems.
    package static func parse(_ text: String, file: String) throws(ConfigurationError) -> FileConfiguration {
        guard text.utf8.count <= maximumBytes else {
            throw ConfigurationError(
                file: file,
                "the file has \(text.utf8.count) bytes; at most \(maximumBytes) are allowed"
            )
        }
        let problems = ConfigurationProblems(file: file)
        guard let root = try compose(text, file: file) else {
            throw ConfigurationError(file: file, line: 1, column: 1, "the file is empty; it needs at least routes")
        }
        let reader = FileReader(root: ConfigurationNode(node: root, field: "", problems: problems))
        let configuration = reader.read()
        try problems.throwIfAny()
        return configuration
    }

    private static func compose(_ text: String, file: String) throws(ConfigurationError) -> Node? {
        do {
            return try Yams.compose(yaml: text, .basic)
        } catch let error as YamlError {
            throw error.problem(file: file)
        } catch {
            throw ConfigurationError(file: file, "\(error)")
        }
    }

    // MARK: - Names

    /// The hosts of endpoints that are no numeric addresses, with the shortest interval that one of their backends asks for.
    var names: [String: Int] {
        var names: [String: Int] = [:]
        for backend in backends {
            for endpoint in backend.endpoints where !NumericAddress.isValid(endpoint.host) {
                names[endpoint.host] = min(names[endpoint.host] ?? .max, backend.resolveInterval)
            }
        }
        return names
    }

    /// The table with every name replaced by its addresses; names without addresses add no endpoints.
    func table(addresses: [String: [String]]) -> RouteTable {
        RouteTable(
            rules: rules,
            backends: backends.map { RouteTable.Backend(name: $0.name, endpoints: $0.endpoints(addresses)) }
        )
    }
}

extension FileConfiguration.BackendDefinition {
    fileprivate func endpoints(_ addresses: [String: [String]]) -> [RouteTable.Endpoint] {
        var seen: Set<RouteTable.Endpoint> = []
        var result: [RouteTable.Endpoint] = []
        for endpoint in endpoints {
            let numeric = NumericAddress.isValid(endpoint.host) ? [endpoint.host] : addresses[endpoint.host] ?? []
            for address in numeric {
                let row = RouteTable.Endpoint(address: address, port: endpoint.port)
                if seen.insert(row).inserted { result.append(row) }
            }
        }
        return result
    }
}

extension YamlError {
    fileprivate func problem(file: String) -> ConfigurationError {
        switch self {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let prefix = context.map { "\($0.text) " } ?? ""
            return ConfigurationError(
                file: file,
                line: mark.line,
                column: mark.column,
                "this is not YAML: \(prefix)\(problem)"
            )
        case .duplicatedKeysInMapping(let keys, let context):
            return ConfigurationError(
                file: file,
                line: context.mark.line,
                column: context.mark.column,
                "the field \(keys.joined(separator: ", ")) is given twice"
            )
        default: return ConfigurationError(file: file, "this is not YAML: \(self)")
        }
    }
}
