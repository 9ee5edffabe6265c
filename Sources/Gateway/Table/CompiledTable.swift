import CLinux
import FlowControl

/// A ``RouteTable`` laid out for lookup: flat rows and bytes, no reference counting, no allocation.
///
/// Immutable. Workers hold one reference each while requests use it; the memory goes when the last one lets go.
final class CompiledTable: @unchecked Sendable {
    // Safe to share: everything is written before `init` returns and never changed until `deinit`.

    let source: RouteTable
    let view: TableView
    let listeners: CompiledListeners
    /// What the rows of policies point to.
    private let policyStates: [TrafficPolicy: PolicyState]
    /// In the order of the source.
    let backends: [CompiledBackend]

    private let lease: SeriesLease?

    /// Counts tables up, so that a report can say which one is in force.
    let generation: Int

    /// - Parameter series: numbers under which the metrics of a route and a backend are kept; all share one where it is not given.
    /// - Parameter policies: keeps the states of policies from table to table.
    /// - Parameter backends: of the source, in its order; a table of its own makes them where they are not given.
    init(
        _ source: RouteTable,
        generation: Int,
        listeners: CompiledListeners = .none,
        policies: PolicyRegistry = PolicyRegistry(),
        backends: [CompiledBackend]? = nil,
        series lease: SeriesLease? = nil
    ) {
        self.lease = lease
        self.source = source
        self.backends = backends ?? BackendRegistry().compile(source.backends, now: 0)
        self.generation = generation
        self.listeners = listeners
        policyStates = policies.states(for: source.rules.lazy.flatMap(\.policies))
        var builder = TableBuilder(
            listeners: listeners,
            series: { lease?.number(of: $0) ?? 0 },
            policyStates: policyStates
        )
        builder.add(source)
        view = builder.finish()
    }

    deinit { view.free() }
}

/// The rows of a compiled table behind plain pointers.
struct TableView: BitwiseCopyable {
    /// Freed by the table's ``CompiledListeners``.
    let listeners: ListenerView
    let bytes: FlatArray<UInt8>
    let hosts: FlatArray<HostRow>
    let paths: FlatArray<PathRow>
    let candidates: FlatArray<CandidateRow>
    let conditions: FlatArray<ConditionRow>
    let pathPatterns: FlatArray<PathPatternRow>
    let patterns: PatternSet
    let mirrors: FlatArray<MirrorRow>
    let rules: FlatArray<RuleRow>
    let targets: FlatArray<TargetRow>
    let changes: FlatArray<ChangeRow>
    let policies: FlatArray<PolicyRow>
    let selectors: FlatArray<SelectorRow>
    let crossOrigins: CrossOriginRows
    /// Series number for requests that no rule takes.
    let unmatchedSeries: Int

    struct HostRow: BitwiseCopyable {
        /// Zero marks an unused row.
        var hash: UInt64 = 0
        /// The name without `*.`.
        var name = ByteRange()
        var isWildcard = false
        /// What path rows refer to.
        var number: UInt32 = 0
        /// In the order in which they are tried.
        var pathPatterns = RowRange()
    }

    struct PathPatternRow: BitwiseCopyable {
        /// Among ``TableView/patterns``.
        var pattern: UInt32 = 0
        var candidates = RowRange()
    }

    struct PathRow: BitwiseCopyable {
        var hash: UInt64 = 0
        var host: UInt32 = 0
        /// Without a final slash for prefixes.
        var path = ByteRange()
        var isPrefix = false
        var candidates = RowRange()
    }

    struct CandidateRow: BitwiseCopyable {
        /// Empty for any method.
        var method = ByteRange()
        var headers = RowRange()
        var query = RowRange()
        var rule: UInt32 = 0
        /// The listeners that the rule is attached to, a bit each.
        var listeners: UInt64 = .max
    }

    struct ConditionRow: BitwiseCopyable {
        /// In lower case for headers.
        var name = ByteRange()
        /// Of no meaning with a pattern.
        var value = ByteRange()
        /// Among ``TableView/patterns``; ``none`` for an exact value.
        var pattern: UInt32 = ConditionRow.none

        static let none = UInt32.max
    }

    struct MirrorRow: BitwiseCopyable {
        /// Index among the table's backends.
        var backend: UInt32 = 0
        /// Of ``RouteTable/RequestMirror/whole``.
        var share: UInt32 = 0
        var series: UInt32 = 0
    }

    struct RuleRow: BitwiseCopyable {
        var targets = RowRange()
        var totalWeight: UInt32 = 0
        var requestChanges = RowRange()
        var responseChanges = RowRange()
        var rewriteHost = ByteRange()
        var rewritePath = PathChangeRow()
        var redirect = RedirectRow()
        var response = ResponseRow()
        var mirrors = RowRange()
        /// Among ``TableView/crossOrigins``; ``RuleRow/none`` without.
        var crossOrigin: UInt32 = RuleRow.none
        /// Milliseconds, zero for none.
        var requestTimeout: UInt32 = 0
        var backendTimeout: UInt32 = 0
        var policies = PolicyBuilder.RuleRows()
        var retry = RetryRow()
        var hashKey = HashKeyRow()
        /// For answers that no backend gave.
        var series: UInt32 = 0
        /// The route's name, for the access log.
        var route = ByteRange()

        static let none = UInt32.max
    }

    /// A rule's ``RetryPolicy``; times in milliseconds.
    struct RetryRow: BitwiseCopyable {
        /// No policy was given: what cannot do anything twice is sent again, as often as the gateway's configuration says.
        var isStandard = true
        var retries: UInt8 = 0
        var conditions: RetryPolicy.Conditions = [.connectFailure, .reset]
        var includesNonIdempotent = false
        var perTryTimeout: UInt32 = 0
        var baseInterval: UInt32 = 0
        var maximumInterval: UInt32 = 0
        /// Bytes; zero keeps only what came together with the head.
        var maximumReplay: Int32 = 0
        var statuses = StatusSet()
    }

    /// What the consistent hash of a rule's backends is taken of.
    struct HashKeyRow: BitwiseCopyable {
        enum Kind: UInt8 { case none, clientAddress, header, cookie }
        var kind = Kind.none
        /// Of the header in lower case, of the cookie as it is.
        var name = ByteRange()
    }

    struct TargetRow: BitwiseCopyable {
        /// Index among the table's backends; ``none`` for a wrong reference.
        var backend: UInt32 = TargetRow.none
        var weight: UInt32 = 0
        var series: UInt32 = 0
        /// Of the backend, for the access log.
        var name = ByteRange()

        static let none = UInt32.max
    }

    struct ChangeRow: BitwiseCopyable {
        enum Kind: UInt8 { case set, add, remove }
        var kind = Kind.set
        var name = ByteRange()
        /// The name in lower case, for comparison.
        var lowercasedName = ByteRange()
        var value = ByteRange()
    }

    struct PathChangeRow: BitwiseCopyable {
        enum Kind: UInt8 { case none, full, prefix }
        var kind = Kind.none
        var value = ByteRange()
    }

    struct RedirectRow: BitwiseCopyable {
        /// Zero for rules that do not redirect.
        var status: UInt16 = 0
        var port: UInt16 = 0
        var scheme = ByteRange()
        var host = ByteRange()
        var path = PathChangeRow()
    }

    struct ResponseRow: BitwiseCopyable {
        /// Zero for rules that do not answer themselves.
        var status: UInt16 = 0
        var reason = ByteRange()
        var contentType = ByteRange()
        var body = ByteRange()
    }

    @inline(__always) func text(_ range: ByteRange) -> ByteSpan {
        ByteSpan(bytes.base + Int(range.start), Int(range.count))
    }

    func free() {
        bytes.free()
        hosts.free()
        paths.free()
        candidates.free()
        conditions.free()
        pathPatterns.free()
        patterns.free()
        mirrors.free()
        rules.free()
        targets.free()
        changes.free()
        policies.free()
        selectors.free()
        crossOrigins.free()
    }
}

/// FNV-1a, chosen because it can be taken on byte by byte while a path is read.
struct RollingHash: BitwiseCopyable {
    private(set) var state: UInt64

    @inline(__always) init(seed: UInt64 = 0) { state = 0xCBF2_9CE4_8422_2325 ^ seed &* 0x9E37_79B9_7F4A_7C15 }

    @inline(__always) mutating func add(_ byte: UInt8) { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }

    /// Never zero, which marks unused rows.
    @inline(__always) var value: UInt64 { (state ^ state >> 29) | 1 << 63 }

    static func of(_ bytes: ByteSpan, seed: UInt64 = 0) -> UInt64 {
        var hash = RollingHash(seed: seed)
        for index in 0..<bytes.count { hash.add(bytes[index]) }
        return hash.value
    }
}

/// Statuses from 400 to 599.
struct StatusSet: BitwiseCopyable {
    private var clientErrors: (UInt64, UInt64) = (0, 0)
    private var serverErrors: (UInt64, UInt64) = (0, 0)

    init() {}

    init(_ statuses: [Int]) {
        for status in statuses where (400..<600).contains(status) {
            let bit = UInt64(1) << UInt64(status % 100 & 63)
            switch (status / 100, status % 100 < 64) {
            case (4, true): clientErrors.0 |= bit
            case (4, false): clientErrors.1 |= bit
            case (_, true): serverErrors.0 |= bit
            case (_, false): serverErrors.1 |= bit
            }
        }
    }

    func contains(_ status: Int) -> Bool {
        guard (400..<600).contains(status) else { return false }
        let words = status < 500 ? clientErrors : serverErrors
        return (status % 100 < 64 ? words.0 : words.1) >> UInt64(status % 100 & 63) & 1 == 1
    }
}
