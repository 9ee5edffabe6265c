import Crypto
import Foundation
package import KubernetesModel
package import Logging
import ServiceLifecycle
import Synchronization

/// The embedded Kubernetes API: its store, its identities, its HTTPS front.
///
/// Making one opens the store and starts nothing. ``prepare()`` makes the objects that every cluster has; ``client`` works from then on.
/// ``run()`` serves until graceful shutdown or cancellation; every acknowledged write survives the end of the process at any time.
package final class APIServer: Service {
    package struct Configuration: Sendable {
        /// Where the store, the keys and the kubeconfigs are kept; made with mode 0700.
        package var directory: String
        /// Where HTTPS is served; port 0 is any free one. The first is the one that kubeconfigs name.
        package var listeners: [ListenAddress]
        package var serviceCIDR: String
        /// Further DNS names and IPv4 addresses of the server certificate.
        package var extraNames: [String]
        /// Where pods reach the API: the endpoint of the `kubernetes` service. Its address must be among the listeners.
        package var podEndpoint: ListenAddress?
        /// Who gets a kubeconfig beside the administrator.
        package var identities: [Identity]
        /// The collections that are encrypted on the disk, by plural and group: `secrets`, `releases.sampan.dev`.
        package var encryptedCollections: Set<String>
        /// What nobody acts on: writes of it are answered with a warning, and `kube-public` holds the list.
        package var kindsWithoutController: KindsWithoutController

        package init(
            directory: String,
            listeners: [ListenAddress] = [ListenAddress(host: "127.0.0.1", port: 6443)],
            serviceCIDR: String = "10.43.0.0/16",
            extraNames: [String] = [],
            podEndpoint: ListenAddress? = nil,
            identities: [Identity] = [],
            encryptedCollections: Set<String> = ["secrets"],
            kindsWithoutController: KindsWithoutController = KindsWithoutController()
        ) {
            self.directory = directory
            self.listeners = listeners
            self.serviceCIDR = serviceCIDR
            self.extraNames = extraNames
            self.podEndpoint = podEndpoint
            self.identities = identities
            self.encryptedCollections = encryptedCollections
            self.kindsWithoutController = kindsWithoutController
        }
    }

    package struct ListenAddress: Hashable, Sendable {
        package var host: String
        package var port: Int

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }
    }

    /// A client with a token of its own and a kubeconfig at ``APIServer/kubeconfigPath(_:)``.
    package struct Identity: Hashable, Sendable {
        /// Names the kubeconfig's file.
        package var name: String
        /// Who it is to RBAC.
        package var user: String
        package var groups: [String]

        package init(name: String, user: String, groups: [String]) {
            self.name = name
            self.user = user
            self.groups = groups
        }

        package static let admin = Identity(name: "admin", user: "kubernetes-admin", groups: [UserInfo.mastersGroup])
    }

    let configuration: Configuration
    let service: APIService
    let authority: ClusterAuthority
    let staticTokens: StaticTokens
    let front: APIFront
    let logger: Logger
    private let boundPort = Mutex<Int?>(nil)

    /// Opens the store and reads or makes the keys. Blocks for as long as the store takes to load.
    package init(configuration: Configuration, nodeConnection: (any NodeConnection)? = nil, logger: Logger) throws {
        guard let network = IPv4Network(configuration.serviceCIDR) else {
            throw StatusError.badRequest(
                "the service network \"\(configuration.serviceCIDR)\" is no IPv4 CIDR from /8 to /28"
            )
        }
        let directory = configuration.directory
        try PrivateFile.makeDirectory(directory)
        self.configuration = configuration
        self.logger = logger
        authority = try ClusterAuthority(directory: directory)
        staticTokens = try StaticTokens(
            path: "\(directory)/tokens.json",
            identities: [.admin] + configuration.identities
        )
        let log = try EncryptedLog(
            SQLiteLog(path: "\(directory)/store.sqlite"),
            keyPath: "\(directory)/encryption.json",
            collections: configuration.encryptedCollections
        )
        let store = try ObjectStore(log: log, logger: logger)
        service = APIService(
            store: store,
            addresses: ServiceAddresses(network: network, store: store),
            tokens: ServiceAccountTokens(key: try Self.tokenKey("\(directory)/service-account.key")),
            clusterAuthority: authority.certificate,
            nodeConnection: nodeConnection,
            kindsWithoutController: configuration.kindsWithoutController,
            logger: logger
        )
        front = APIFront(service: service, tokens: staticTokens, logger: logger)
    }

    /// The door for the parts that share this process.
    package var client: InProcessClusterClient { InProcessClusterClient(service: service) }

    /// The kubeconfig of the administrator; there when the server is ready.
    package var adminKubeconfigPath: String { kubeconfigPath("admin") }

    package func kubeconfigPath(_ identity: String) -> String {
        "\(configuration.directory)/\(identity).kubeconfig"
    }

    /// The port of the first listener, once it is bound.
    package var port: Int? { boundPort.withLock { $0 } }

    /// What clients must trust, PEM.
    package var certificateAuthority: String { authority.certificate }

    /// Makes the namespaces, the `kubernetes` service and the cluster roles that every cluster has. May be called more than once.
    package func prepare() async throws {
        let endpoint = configuration.podEndpoint.map { (address: $0.host, port: $0.port) }
        try await service.makeBuiltinObjects(endpoint: endpoint)
    }

    // MARK: - Private

    private static func tokenKey(_ path: String) throws -> P256.Signing.PrivateKey {
        if let pem = try PrivateFile.read(path) { return try P256.Signing.PrivateKey(pemRepresentation: pem) }
        let key = P256.Signing.PrivateKey()
        try PrivateFile.write(key.pemRepresentation, to: path)
        return key
    }

    func didBind(port: Int, host: String) throws {
        boundPort.withLock { $0 = port }
        let address = host == "0.0.0.0" ? "127.0.0.1" : host
        for identity in [.admin] + configuration.identities {
            guard let token = staticTokens.token(of: identity.name) else { continue }
            let text = Kubeconfig.text(
                server: "https://\(address):\(port)",
                authority: authority.certificate,
                user: identity.user,
                token: token
            )
            try PrivateFile.write(text, to: kubeconfigPath(identity.name))
        }
    }
}
