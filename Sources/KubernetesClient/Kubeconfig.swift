import Foundation
import KubernetesModel
import Yams

extension ClusterAccess {
    /// Reads the context `name` of the kubeconfig at `path`, or its current context.
    package init(kubeconfig path: String, context name: String? = nil) throws {
        let bytes = try Self.readFile(path)
        let directory = URL(fileURLWithPath: path).deletingLastPathComponent().path
        do {
            try self.init(
                parsingKubeconfig: String(decoding: bytes, as: UTF8.self),
                context: name,
                directory: directory
            )
        } catch let error as ClusterAccessError {
            throw ClusterAccessError("\(path): \(error)")
        }
    }

    /// Reads kubeconfig text; relative file names in it count from `directory`.
    package init(parsingKubeconfig text: String, context name: String? = nil, directory: String) throws {
        let file: Kubeconfig
        do {
            file = try YAMLDecoder().decode(Kubeconfig.self, from: text)
        } catch {
            throw ClusterAccessError("no kubeconfig: \(error)")
        }
        try self.init(file, context: name, directory: directory)
    }

    private init(_ file: Kubeconfig, context name: String?, directory: String) throws {
        let context = try file.context(named: name)
        let cluster = try file.cluster(named: context.cluster)
        let user = try file.user(named: context.user)
        self.init(
            server: cluster.server,
            certificateAuthority: try Self.content(
                cluster.certificateAuthorityData,
                orFile: cluster.certificateAuthority,
                field: "certificate-authority",
                in: directory
            ) ?? [],
            verifiesServer: !(cluster.insecureSkipTLSVerify ?? false),
            identity: try user.map { try Self.identity(of: $0, directory: directory) } ?? .anonymous,
            namespace: context.namespace ?? "default"
        )
    }

    private static func identity(of user: Kubeconfig.User, directory: String) throws -> Identity {
        if let token = user.token { return .token(token) }
        if let file = user.tokenFile { return .tokenFile(resolve(file, in: directory)) }
        let chain = try content(
            user.clientCertificateData,
            orFile: user.clientCertificate,
            field: "client-certificate",
            in: directory
        )
        guard let chain else {
            if user.exec != nil { throw ClusterAccessError("users that sign in by an exec plugin are not supported") }
            return .anonymous
        }
        let key = try content(user.clientKeyData, orFile: user.clientKey, field: "client-key", in: directory)
        guard let key else { throw ClusterAccessError("client-certificate is given without client-key") }
        return .certificate(chain: chain, key: key)
    }

    private static func content(
        _ base64: String?,
        orFile file: String?,
        field: String,
        in directory: String
    ) throws -> [UInt8]? {
        if let base64, !base64.isEmpty {
            guard let data = Data(base64Encoded: base64, options: .ignoreUnknownCharacters) else {
                throw ClusterAccessError("\(field)-data is not base64")
            }
            return [UInt8](data)
        }
        guard let file, !file.isEmpty else { return nil }
        return try readFile(resolve(file, in: directory))
    }

    private static func resolve(_ file: String, in directory: String) -> String {
        file.hasPrefix("/") ? file : "\(directory)/\(file)"
    }
}

/// The parts of a kubeconfig file that name a cluster and a user.
private struct Kubeconfig: Decodable {
    struct Entry<Value: Decodable>: Decodable {
        var name: String
        var value: Value

        struct Key: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        /// The value sits under a key that differs for each list: `cluster`, `context`, `user`.
        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            name = try container.decode(String.self, forKey: Key(stringValue: "name"))
            guard let key = container.allKeys.first(where: { $0.stringValue != "name" }) else {
                throw ClusterAccessError("entry \"\(name)\" is empty")
            }
            value = try container.decode(Value.self, forKey: key)
        }
    }

    struct Cluster: Decodable {
        var server: String
        var certificateAuthority: String?
        var certificateAuthorityData: String?
        var insecureSkipTLSVerify: Bool?

        enum CodingKeys: String, CodingKey {
            case server
            case certificateAuthority = "certificate-authority"
            case certificateAuthorityData = "certificate-authority-data"
            case insecureSkipTLSVerify = "insecure-skip-tls-verify"
        }
    }

    struct Context: Decodable {
        var cluster: String
        var user: String?
        var namespace: String?
    }

    struct Exec: Decodable {}

    struct User: Decodable {
        var token: String?
        var tokenFile: String?
        var clientCertificate: String?
        var clientCertificateData: String?
        var clientKey: String?
        var clientKeyData: String?
        var exec: Exec?

        enum CodingKeys: String, CodingKey {
            case token, tokenFile, exec
            case clientCertificate = "client-certificate"
            case clientCertificateData = "client-certificate-data"
            case clientKey = "client-key"
            case clientKeyData = "client-key-data"
        }
    }

    var clusters: [Entry<Cluster>]?
    var contexts: [Entry<Context>]?
    var users: [Entry<User>]?
    var currentContext: String?

    enum CodingKeys: String, CodingKey {
        case clusters, contexts, users
        case currentContext = "current-context"
    }

    func context(named name: String?) throws -> Context {
        guard let name = name ?? currentContext, !name.isEmpty else {
            throw ClusterAccessError("current-context is not set")
        }
        guard let context = contexts?.first(where: { $0.name == name }) else {
            throw ClusterAccessError("contexts has no entry \"\(name)\"")
        }
        return context.value
    }

    func cluster(named name: String) throws -> Cluster {
        guard let cluster = clusters?.first(where: { $0.name == name }) else {
            throw ClusterAccessError("clusters has no entry \"\(name)\"")
        }
        return cluster.value
    }

    func user(named name: String?) throws -> User? {
        guard let name, !name.isEmpty else { return nil }
        guard let user = users?.first(where: { $0.name == name }) else {
            throw ClusterAccessError("users has no entry \"\(name)\"")
        }
        return user.value
    }
}
