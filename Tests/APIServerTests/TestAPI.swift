import Crypto
import KubernetesClient
import KubernetesModel
import Logging
import Synchronization
import Testing

@testable import APIServer

/// An API over an in-memory store, with the objects that every cluster has.
struct TestAPI {
    let service: APIService
    let clock: TestClock
    var client: InProcessClusterClient { InProcessClusterClient(service: service) }

    init(
        log: any RevisionLog = MemoryLog(),
        retention: StoreState.Retention = .init(),
        nodeConnection: (any NodeConnection)? = nil
    ) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let store = try ObjectStore(log: log, retention: retention, logger: logger)
        let network = try #require(IPv4Network("10.43.0.0/24"))
        let clock = TestClock()
        self.clock = clock
        service = APIService(
            store: store,
            addresses: ServiceAddresses(network: network, store: store),
            tokens: ServiceAccountTokens(key: P256.Signing.PrivateKey()),
            clusterAuthority: "test authority",
            nodeConnection: nodeConnection,
            logger: logger,
            now: { clock.now }
        )
        try await service.makeBuiltinObjects(endpoint: nil)
    }
}

/// A clock that stands still until a test moves it.
final class TestClock: Sendable {
    private let seconds = Mutex<Int64>(1_800_000_000)

    var now: Timestamp { Timestamp(seconds: seconds.withLock { $0 }) }

    func advance(by interval: Int64) { seconds.withLock { $0 += interval } }
}

/// Objects that tests create.
enum Sample {
    static func configMap(_ name: String, labels: [String: String] = [:], data: [String: String] = [:]) -> JSON {
        ["metadata": ["name": .string(name), "labels": JSON(labels)], "data": JSON(data)]
    }

    static func pod(_ name: String, node: String? = nil, labels: [String: String] = [:]) -> JSON {
        var pod: JSON = [
            "metadata": ["name": .string(name), "labels": JSON(labels)],
            "spec": ["containers": [["name": "main", "image": "example.org/app:1"]]],
        ]
        pod["spec", "nodeName"] = node.map { .string($0) }
        return pod
    }

    static func deployment(_ name: String, replicas: Int = 1) -> JSON {
        [
            "metadata": ["name": .string(name)],
            "spec": [
                "replicas": JSON(replicas), "selector": ["matchLabels": ["app": .string(name)]],
                "template": [
                    "metadata": ["labels": ["app": .string(name)]],
                    "spec": ["containers": [["name": "main", "image": "example.org/app:1"]]],
                ],
            ],
        ]
    }

    static func service(_ name: String, _ spec: JSON = [:]) -> JSON {
        var service: JSON = [
            "metadata": ["name": .string(name)],
            "spec": ["selector": ["app": .string(name)], "ports": [["port": 80, "targetPort": 8080]]],
        ]
        for (key, value) in spec.object ?? [:] { service["spec", key] = value }
        return service
    }
}

/// The error that `body` throws, when it is one of the API.
func statusError(_ body: () async throws -> Void) async -> StatusError? {
    do {
        try await body()
        return nil
    } catch {
        return error as? StatusError
    }
}

extension AsyncThrowingStream where Element: Sendable, Failure == any Error {
    /// The next `count` elements; fails the test's task when they do not come in time.
    func first(_ count: Int, within limit: Duration = .seconds(60)) async throws -> [Element] {
        try await withThrowingTaskGroup(of: [Element].self) { group in
            group.addTask {
                var elements: [Element] = []
                for try await element in self {
                    elements.append(element)
                    if elements.count == count { break }
                }
                return elements
            }
            group.addTask {
                try await Task.sleep(for: limit)
                throw StatusError(code: 504, reason: "Timeout", message: "fewer than \(count) elements came in time")
            }
            defer { group.cancelAll() }
            return try await group.next() ?? []
        }
    }
}
