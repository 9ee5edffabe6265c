import FlowControl
import Synchronization

/// A backend of one table, laid out for workers.
final class CompiledBackend: @unchecked Sendable {
    // Safe to share: everything is written before `init` returns and never changed until `deinit`.

    let record: BackendRecord
    /// In the order of the table.
    let endpoints: [EndpointRecord]
    let row: BackendRow
    /// Indexes of endpoints, for consistent hashes; empty for other kinds of balancing.
    let hashTable: FlatArray<UInt32>

    init(_ backend: RouteTable.Backend, record: BackendRecord, endpoints: [EndpointRecord]) {
        self.record = record
        self.endpoints = endpoints
        row = BackendRow(backend.policy)
        hashTable = FlatArray(row.balancing == .consistentHash ? MaglevTable.make(backend.endpoints) : [])
    }

    deinit { hashTable.free() }
}

/// A backend's policy as the data path reads it. Times in milliseconds; zero where the gateway's default holds.
struct BackendRow: BitwiseCopyable {
    enum Balancing: UInt8 { case roundRobin, leastRequests, consistentHash }

    var balancing = Balancing.leastRequests
    var watchesOutliers = false
    var panicThreshold: UInt32 = 50
    var slowStartWindow: UInt32 = 0
    var slowStartMinimum: UInt32 = 0
    /// Over all workers; zero for no limit.
    var maximumConnections: UInt32 = 0
    var maximumPending: UInt32 = 0
    var connectTimeout: UInt32 = 0
    var idleTimeout: UInt32 = 0
    /// Zero for rules that are switched off.
    var maximumErrorRun: UInt32 = 0
    var maximumGatewayFailureRun: UInt32 = 0
    var retryPercent: UInt32 = 20
    var minimumRetries: UInt32 = 10
    /// Retries over the budget are only counted.
    var budgetIsDryRun = false

    init() {}

    var budgetPolicy: RetryBudget.Policy {
        RetryBudget.Policy(
            percent: Int(retryPercent),
            minimumPerSecond: Int(minimumRetries),
            dryRun: budgetIsDryRun
        )
    }

    init(_ policy: BackendPolicy) {
        switch policy.loadBalancing {
        case .roundRobin: balancing = .roundRobin
        case .leastRequests: balancing = .leastRequests
        case .consistentHash: balancing = .consistentHash
        }
        watchesOutliers = policy.outlierDetection != nil
        panicThreshold = UInt32(clamping: policy.panicThreshold)
        slowStartWindow = UInt32(clamping: policy.slowStart?.window ?? 0)
        slowStartMinimum = UInt32(clamping: min(100, max(1, policy.slowStart?.minimumWeightPercent ?? 1)))
        maximumConnections = UInt32(clamping: policy.connections.maximumPerEndpoint ?? 0)
        maximumPending = UInt32(clamping: policy.connections.maximumPending)
        connectTimeout = UInt32(clamping: policy.connections.connectTimeout ?? 0)
        idleTimeout = UInt32(clamping: policy.connections.idleTimeout ?? 0)
        maximumErrorRun = UInt32(clamping: policy.outlierDetection?.consecutive5xx ?? 0)
        maximumGatewayFailureRun = UInt32(clamping: policy.outlierDetection?.consecutiveGatewayFailures ?? 0)
        retryPercent = UInt32(clamping: policy.retryBudget.percent)
        minimumRetries = UInt32(clamping: policy.retryBudget.minimumPerSecond)
        budgetIsDryRun = policy.retryBudget.dryRun
    }
}

/// The records behind the backends of the table in force. Records of earlier tables live on while those do.
final class BackendRegistry: Sendable {
    private struct State {
        var backends: [String: BackendRecord] = [:]
        var endpoints: [EndpointRecord.Key: EndpointRecord] = [:]
    }

    private let workers: Int
    private let state = Mutex(State())

    init(workers: Int = 1) { self.workers = workers }

    /// The backends of the table in force, by name.
    var backends: [BackendRecord] { state.withLock { $0.backends.values.sorted { $0.name < $1.name } } }

    /// Makes `backends` those in force and finds or makes their records.
    func compile(_ backends: [RouteTable.Backend], now: UInt64) -> [CompiledBackend] {
        state.withLock { state in
            var next = State()
            let compiled = backends.map { backend -> CompiledBackend in
                let record =
                    state.backends[backend.name] ?? BackendRecord(name: backend.name, policy: backend.policy)
                let endpoints = backend.endpoints.map { endpoint in
                    let key = EndpointRecord.Key(backend.name, endpoint)
                    let record =
                        next.endpoints[key] ?? state.endpoints[key]
                        ?? EndpointRecord(key, workers: workers, now: now)
                    next.endpoints[key] = record
                    return record
                }
                record.change(to: backend.policy, endpoints: endpoints)
                next.backends[backend.name] = record
                return CompiledBackend(backend, record: record, endpoints: endpoints)
            }
            state = next
            return compiled
        }
    }
}
