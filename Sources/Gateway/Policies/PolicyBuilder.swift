import FlowControl

/// Lays out the policies of a ``RouteTable``; part of ``TableBuilder``.
struct PolicyBuilder {
    private let states: [TrafficPolicy: PolicyState]
    /// By the route that they count.
    private var meters: [String: [TrafficPolicy]] = [:]
    private(set) var rows: [TableView.PolicyRow] = []
    private(set) var selectors: [TableView.SelectorRow] = []

    init(_ table: RouteTable, states: [TrafficPolicy: PolicyState]) {
        self.states = states
        var seen: Set<TrafficPolicy> = []
        for policy in table.rules.flatMap(\.policies) {
            guard case .related(let limit) = policy.kind, seen.insert(policy).inserted else { continue }
            meters[limit.route, default: []].append(policy)
        }
    }

    /// The rows of a rule's policies, in the order in which they are asked. Policies with faults and those beyond what a rule can have are
    /// left out; whoever accepts a configuration has refused them by ``TrafficPolicy/faults(ofRule:)``.
    mutating func add(_ rule: RouteTable.Rule, intern: (String) -> ByteRange) -> RuleRows {
        var own = (meters[rule.route] ?? []).prefix(TrafficPolicy.maximumPerRule).compactMap { meter($0) }
        let policies = TrafficPolicy.usable(ofRule: rule.policies)
        own += policies.compactMap { row($0, rule, intern) }
        own.sort { $0.mechanism.order < $1.mechanism.order }
        var breakers: UInt8 = 0
        for index in own.indices {
            guard case .breaker = own[index].mechanism else { continue }
            own[index].breaker = breakers
            breakers += 1
        }
        let arrivals = own.count { $0.mechanism.isForArrival }
        let start = UInt32(rows.count)
        rows += own
        return RuleRows(
            all: RowRange(start: start, count: UInt32(own.count)),
            forArrival: RowRange(start: start, count: UInt32(arrivals)),
            forTurn: RowRange(start: start + UInt32(arrivals), count: UInt32(own.count - arrivals))
        )
    }

    struct RuleRows: BitwiseCopyable {
        var all = RowRange()
        /// Asked when the request arrives.
        var forArrival = RowRange()
        /// Asked when its turn has come.
        var forTurn = RowRange()
    }

    // MARK: - Private

    private func meter(_ policy: TrafficPolicy) -> TableView.PolicyRow? {
        guard case .related(let limit) = policy.kind, let state = states[policy] else { return nil }
        return TableView.PolicyRow(
            mechanism: .meter(RelatedMeter(limit), state.words),
            counters: state.counters,
            isDryRun: false
        )
    }

    private mutating func row(
        _ policy: TrafficPolicy,
        _ rule: RouteTable.Rule,
        _ intern: (String) -> ByteRange
    ) -> TableView.PolicyRow? {
        guard let state = states[policy] else { return nil }
        var row = TableView.PolicyRow(
            mechanism: Self.mechanism(policy.kind, state.words),
            counters: state.counters,
            isDryRun: policy.dryRun
        )
        if policy.name.utf8.allSatisfy({
            $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
        }) {
            row.name = intern(policy.name)
        }
        if let fallback = policy.fallback {
            row.fallback = TableView.FallbackRow(
                status: UInt16(clamping: fallback.status),
                contentType: intern(fallback.contentType),
                body: intern(fallback.body)
            )
        }
        switch policy.kind {
        case .rateLimit(let limit):
            row.key = Self.key(limit.key, intern)
            (row.requests, row.seconds) = Self.quota(limit.requests, limit.per)
        case .related(let limit): (row.requests, row.seconds) = Self.quota(limit.requests, limit.per)
        case .concurrency(let limit): row.key = Self.key(limit.key, intern)
        case .loadShedding(let shedding): addClasses(shedding, rule, &row, intern)
        case .circuitBreaker: break
        }
        return row
    }

    private static func mechanism(_ kind: TrafficPolicy.Kind, _ words: SharedWord) -> TableView.Mechanism {
        switch kind {
        case .rateLimit(let limit):
            if limit.key != .none { return .keyedRate(KeyedRateLimiter(limit, words: words)) }
            if let warmUp = limit.warmUp { return .warmUp(WarmUpLimiter(limit, warmUp), words) }
            return .rate(RateLimiter(limit), words)
        case .concurrency(let limit):
            return limit.key == .none
                ? .concurrency(ConcurrencyLimiter(limit), words)
                : .keyedConcurrency(KeyedConcurrencyLimiter(limit, words: words))
        case .related(let limit): return .related(RelatedMeter(limit), words)
        case .circuitBreaker(let breaker): return .breaker(CircuitBreakerState(breaker, words: words))
        case .loadShedding(let shedding): return .shedding(LoadShedder(shedding, words: words))
        }
    }

    private static func key(_ key: PolicyKey, _ intern: (String) -> ByteRange) -> TableView.PolicyKeyRow {
        switch key {
        case .none: TableView.PolicyKeyRow()
        case .clientAddress: TableView.PolicyKeyRow(kind: .clientAddress)
        case .host: TableView.PolicyKeyRow(kind: .host)
        case .path: TableView.PolicyKeyRow(kind: .path)
        case .header(let name): TableView.PolicyKeyRow(kind: .header, name: intern(name.lowercased()))
        case .query(let name): TableView.PolicyKeyRow(kind: .query, name: intern(name))
        case .cookie(let name): TableView.PolicyKeyRow(kind: .cookie, name: intern(name))
        }
    }

    /// RateLimit fields count in whole seconds.
    private static func quota(_ requests: Int, _ per: Int) -> (UInt64, UInt64) {
        per % 1000 == 0 ? (UInt64(requests), UInt64(per / 1000)) : (UInt64(max(1, requests * 1000 / per)), 1)
    }

    private mutating func addClasses(
        _ shedding: LoadShedding,
        _ rule: RouteTable.Rule,
        _ row: inout TableView.PolicyRow,
        _ intern: (String) -> ByteRange
    ) {
        let start = selectors.count
        for (level, each) in shedding.classes.enumerated() {
            for selector in each.selectors {
                switch selector {
                case .route(let route) where route == rule.route:
                    selectors.append(TableView.SelectorRow(level: UInt8(level)))
                case .route: break
                case .header(let name, let value):
                    selectors.append(
                        TableView.SelectorRow(
                            level: UInt8(level),
                            name: intern(name.lowercased()),
                            value: intern(value ?? ""),
                            hasValue: value != nil
                        )
                    )
                }
            }
        }
        row.selectors = RowRange(start: UInt32(start), count: UInt32(selectors.count - start))
        let named = shedding.classes.firstIndex { $0.name == shedding.defaultClass }
        row.defaultLevel = UInt8(named ?? max(0, shedding.classes.count - 1))
        row.key = Self.key(shedding.fairnessKey, intern)
    }
}
