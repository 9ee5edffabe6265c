import Yams

/// What a configuration file says, checked and complete but for the addresses of names; see docs/gateway.md for the file.
package struct FileConfiguration: Hashable, Sendable {
    /// Bounds of a file; larger ones are refused.
    static let maximumBytes = 4 << 20
    static let maximumRoutes = 10_000
    static let maximumBackends = 10_000
    static let maximumPolicies = 1000

    /// `nil` is one per processor.
    package var workers: Int?
    package var admin = Admin()
    package var settings = DataPathConfiguration()
    package var accessLog: AccessLogSettings?
    package var listeners: [RouteTable.Listener] = []
    package var rules: [RouteTable.Rule] = []
    package var backends: [BackendDefinition] = []
    /// The files of certificates and keys; what they hold is part of the configuration.
    package var files: [String] = []

    package struct Admin: Hashable, Sendable {
        /// The path of the Unix socket.
        package var socket: String?
        /// On loopback, for reading only.
        package var port: Int?
    }

    /// A backend whose endpoints may still be names.
    package struct BackendDefinition: Hashable, Sendable {
        package var name: String
        package var endpoints: [Endpoint]
        /// Milliseconds between two resolutions of its names.
        package var resolveInterval: Int
        package var policy: BackendPolicy

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
    ///   - file: its path; messages name it, and paths in it start in its folder.
    ///   - load: finds what another file holds, `nil` where there is none.
    ///   - problem: why a certificate cannot be used, `nil` for a good one.
    /// - Throws: everything that is wrong, up to ``ConfigurationProblems/limit`` problems.
    package static func parse(
        _ text: String,
        file: String,
        load: @escaping (String) -> [UInt8]? = { _ in nil },
        problem: @escaping (RouteTable.Certificate) -> String? = { _ in nil }
    ) throws(ConfigurationError) -> FileConfiguration {
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
        let folder = file.lastIndex(of: "/").map { String(file[..<$0]) } ?? ""
        var loaded: [String] = []
        let files = CertificateFiles(
            folder: folder,
            load: { path in
                loaded.append(path)
                return load(path)
            },
            problem: problem
        )
        let node = ConfigurationNode(node: root, field: "", problems: problems)
        let configuration = FileReader(root: node, files: files).read()
        try problems.throwIfAny()
        return configuration.noting(files: loaded)
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

    private func noting(files: [String]) -> FileConfiguration {
        var configuration = self
        configuration.files = files
        return configuration
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
            backends: backends.map {
                RouteTable.Backend(name: $0.name, endpoints: $0.endpoints(addresses), policy: $0.policy)
            },
            listeners: listeners
        )
    }
}

extension FileConfiguration.BackendDefinition {
    fileprivate func endpoints(_ addresses: [String: [String]]) -> [RouteTable.Endpoint] {
        var seen: Set<[String]> = []
        var result: [RouteTable.Endpoint] = []
        for endpoint in endpoints {
            let numeric = NumericAddress.isValid(endpoint.host) ? [endpoint.host] : addresses[endpoint.host] ?? []
            for address in numeric {
                guard seen.insert([address, "\(endpoint.port)"]).inserted else { continue }
                result.append(RouteTable.Endpoint(address: address, port: endpoint.port, weight: endpoint.weight))
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
