import KubernetesClient
import KubernetesModel
import Logging
import Synchronization

/// The Kubernetes API without a transport: route → admit → store, for whoever has been let in.
///
/// The HTTPS front and the in-process client are thin layers over it, so both give the same answers and errors.
final class APIService: Sendable {
    let store: ObjectStore
    let addresses: ServiceAddresses
    let tokens: ServiceAccountTokens
    let nodeConnection: (any NodeConnection)?
    let kindsWithoutController: KindsWithoutController
    let now: @Sendable () -> Timestamp
    let logger: Logger
    /// What every namespace's `kube-root-ca.crt` holds.
    let clusterAuthority: String
    private let servedKinds: Mutex<ResourceCatalog>

    init(
        store: ObjectStore,
        addresses: ServiceAddresses,
        tokens: ServiceAccountTokens,
        clusterAuthority: String,
        nodeConnection: (any NodeConnection)?,
        kindsWithoutController: KindsWithoutController = KindsWithoutController(),
        logger: Logger,
        now: @escaping @Sendable () -> Timestamp = { .present }
    ) {
        self.store = store
        self.addresses = addresses
        self.tokens = tokens
        self.clusterAuthority = clusterAuthority
        self.nodeConnection = nodeConnection
        self.kindsWithoutController = kindsWithoutController
        self.logger = logger
        self.now = now
        servedKinds = Mutex(.builtin)
        registerStoredKinds()
    }

    /// All kinds that are served now.
    var catalog: ResourceCatalog { servedKinds.withLock { $0 } }

    func changeCatalog<Failure: Error>(_ change: (inout ResourceCatalog) throws(Failure) -> Void) throws(Failure) {
        try servedKinds.withLock { catalog throws(Failure) in try change(&catalog) }
    }

    /// What is known of `resource`.
    func definition(_ resource: Resource) throws -> ResourceDefinition {
        let found = catalog.definition(group: resource.group, version: resource.version, plural: resource.plural)
        guard let found else { throw StatusError.noSuchResource() }
        return found
    }
}

/// Who asks, and how the answer is to be made.
struct RequestContext: Sendable {
    var user: UserInfo
    var options: WriteOptions

    init(user: UserInfo = .system, options: WriteOptions = WriteOptions()) {
        self.user = user
        self.options = options
    }
}

/// What a write amounts to.
struct WriteResult: Sendable {
    var object: JSON
    var isCreated = false
    /// One sentence each, for the `Warning` headers.
    var warnings: [String] = []
}

// MARK: - Get

extension APIService {
    func get(_ definition: ResourceDefinition, namespace: String?, name: String) throws -> StoredObject {
        let resource = definition.resource
        guard let object = store.object(key(resource, namespace: namespace, name: name)) else {
            throw StatusError.notFound(resource, name)
        }
        return try object.served(as: definition)
    }

    func key(_ resource: Resource, namespace: String?, name: String) -> StoreKey {
        StoreKey(
            collection: resource.qualifiedName,
            namespace: resource.isNamespaced ? namespace ?? "" : "",
            name: name
        )
    }
}

// MARK: - Errors

extension StatusError {
    /// The path names no kind that is served.
    static func noSuchResource() -> StatusError {
        StatusError(
            code: 404,
            reason: "NotFound",
            message: "the server could not find the requested resource",
            details: [:]
        )
    }

    /// What a failure of the store means to a client.
    init(_ error: StoreError, _ resource: Resource, _ name: String) {
        switch error {
        case .alreadyExists: self = .alreadyExists(resource, name)
        case .modified: self = .modified(resource, name)
        case .expired(let oldest):
            self = .expired("too old resource version: the oldest that is kept is \(oldest)")
        case .fromTheFuture(let current):
            self = StatusError(
                code: 504,
                reason: "Timeout",
                message: "Too large resource version: current: \(current)",
                details: ["causes": [["reason": "ResourceVersionTooLarge"]], "retryAfterSeconds": 1]
            )
        case .overloaded:
            self = StatusError(
                code: 429,
                reason: "TooManyRequests",
                message: "too many writes are waiting, please try again later",
                details: ["retryAfterSeconds": 1]
            )
        case .writeFailed(let why): self = .internalError("the store could not be written: \(why)")
        case .diskFull:
            self = StatusError(
                code: 507,
                reason: "InsufficientStorage",
                message: "the disk of the platform is full, nothing was changed: free space and try again"
            )
        case .isClosed: self = .unavailable("the server is shutting down")
        }
    }
}
