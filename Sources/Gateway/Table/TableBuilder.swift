import FlowControl

/// Lays out a ``RouteTable``; see ``TableView`` for the rows.
struct TableBuilder {
    private let listeners: CompiledListeners
    private let series: (MetricSeries) -> Int
    private var bytes: [UInt8] = []
    private var interned: [String: ByteRange] = [:]
    private var conditions: [TableView.ConditionRow] = []
    private var patterns = PatternSetBuilder()
    private var mirrors: [TableView.MirrorRow] = []
    private var rules: [TableView.RuleRow] = []
    private var targets: [TableView.TargetRow] = []
    private var changes: [TableView.ChangeRow] = []
    private var hostNumbers: [String: UInt32] = [:]
    private var candidatesByPath: [PathKey: [Candidate]] = [:]
    /// By the number of the host, in the order given.
    private var pathPatterns: [UInt32: [PathPattern]] = [:]
    private var backendIndexes: [String: UInt32] = [:]
    /// Taken out while they work, because they intern their texts here.
    private var policies: PolicyBuilder?
    private var crossOrigins = CrossOriginBuilder()
    private let policyStates: [TrafficPolicy: PolicyState]
    private var hashKeys: [String: BackendPolicy.HashKey] = [:]

    private struct PathKey: Hashable {
        var host: UInt32
        var path: String
        var isPrefix: Bool
    }

    private struct PathPattern {
        var number: UInt32
        var candidates: [Candidate] = []
    }

    private struct Candidate {
        var row: TableView.CandidateRow
        var order: Int
    }

    init(
        listeners: CompiledListeners,
        series: @escaping (MetricSeries) -> Int,
        policyStates: [TrafficPolicy: PolicyState] = [:]
    ) {
        self.listeners = listeners
        self.series = series
        self.policyStates = policyStates
    }

    mutating func add(_ table: RouteTable) {
        for (index, backend) in table.backends.enumerated() {
            backendIndexes[backend.name] = UInt32(index)
            if case .consistentHash(let key) = backend.policy.loadBalancing { hashKeys[backend.name] = key }
        }
        policies = PolicyBuilder(table, states: policyStates)
        for rule in table.rules { add(rule) }
    }

    mutating func finish() -> TableView {
        var candidates: [TableView.CandidateRow] = []
        let paths = pathRows(&candidates)
        var pathPatterns: [TableView.PathPatternRow] = []
        let hosts = hostRows(&pathPatterns, &candidates)
        return TableView(
            listeners: listeners.view,
            bytes: FlatArray(bytes),
            hosts: FlatArray(hosts),
            paths: FlatArray(paths),
            candidates: FlatArray(candidates),
            conditions: FlatArray(conditions),
            pathPatterns: FlatArray(pathPatterns),
            patterns: patterns.finish(),
            mirrors: FlatArray(mirrors),
            rules: FlatArray(rules),
            targets: FlatArray(targets),
            changes: FlatArray(changes),
            policies: FlatArray(policies?.rows ?? []),
            selectors: FlatArray(policies?.selectors ?? []),
            crossOrigins: crossOrigins.finish(),
            unmatchedSeries: series(.unmatched)
        )
    }

    // MARK: - Rules

    private mutating func add(_ rule: RouteTable.Rule) {
        let number = UInt32(rules.count)
        rules.append(row(rule))
        let mask = listeners.mask(of: rule.listeners)
        for host in rule.hosts {
            let host = hostNumber(host.lowercased())
            for match in rule.matches { add(match, host: host, rule: number, listeners: mask) }
        }
    }

    private mutating func row(_ rule: RouteTable.Rule) -> TableView.RuleRow {
        var row = TableView.RuleRow()
        row.series = UInt32(series(MetricSeries(route: rule.route, backend: "")))
        row.route = intern(rule.route)
        row.targets = addTargets(rule)
        row.totalWeight = row.targets.indices.reduce(0) { $0 + targets[$1].weight }
        row.requestChanges = add(rule.filters.requestHeaders)
        row.responseChanges = addResponseChanges(rule.filters)
        row.crossOrigin = addCrossOrigin(rule.filters.crossOrigin)
        row.rewriteHost = intern(rule.filters.rewriteHost ?? "")
        row.rewritePath = pathChange(rule.filters.rewritePath)
        if let redirect = rule.filters.redirect { row.redirect = self.redirect(redirect) }
        if let response = rule.filters.response { row.response = self.response(response) }
        row.mirrors = addMirrors(rule)
        row.requestTimeout = UInt32(clamping: rule.timeouts.request ?? 0)
        row.backendTimeout = UInt32(clamping: rule.timeouts.backendRequest ?? 0)
        row.policies = addPolicies(rule)
        if let retry = rule.retry { row.retry = TableView.RetryRow(retry) }
        // A request has one hash: the first backend that wants one says of what.
        let keys = rule.targets.compactMap(\.backend).compactMap { hashKeys[$0] }
        row.hashKey = hashKey(keys.first)
        return row
    }

    private mutating func addPolicies(_ rule: RouteTable.Rule) -> PolicyBuilder.RuleRows {
        guard var builder = policies else { return PolicyBuilder.RuleRows() }
        policies = nil
        defer { policies = builder }
        return builder.add(rule) { intern($0) }
    }

    private mutating func hashKey(_ key: BackendPolicy.HashKey?) -> TableView.HashKeyRow {
        switch key {
        case nil: TableView.HashKeyRow()
        case .clientAddress: TableView.HashKeyRow(kind: .clientAddress)
        case .header(let name): TableView.HashKeyRow(kind: .header, name: intern(name.lowercased()))
        case .cookie(let name): TableView.HashKeyRow(kind: .cookie, name: intern(name))
        }
    }

    private mutating func addTargets(_ rule: RouteTable.Rule) -> RowRange {
        let start = targets.count
        for target in rule.targets where target.weight > 0 {
            targets.append(
                TableView.TargetRow(
                    backend: target.backend.flatMap { backendIndexes[$0] } ?? TableView.TargetRow.none,
                    weight: UInt32(clamping: min(target.weight, 1_000_000)),
                    series: UInt32(series(MetricSeries(route: rule.route, backend: target.backend ?? ""))),
                    name: intern(target.backend ?? "")
                )
            )
        }
        return RowRange(start: UInt32(start), count: UInt32(targets.count - start))
    }

    private mutating func add(_ headers: RouteTable.HeaderChanges) -> RowRange {
        let start = changes.count
        for pair in headers.set { add(.set, pair.name, pair.value) }
        for pair in headers.add { add(.add, pair.name, pair.value) }
        for name in headers.remove { add(.remove, name, "") }
        return RowRange(start: UInt32(start), count: UInt32(changes.count - start))
    }

    /// A rule with a ``RouteTable/CrossOrigin`` speaks for its backends: what they say themselves of other origins is left out.
    private mutating func addResponseChanges(_ filters: RouteTable.Filters) -> RowRange {
        var changes = filters.responseHeaders
        if let crossOrigin = filters.crossOrigin {
            changes.remove += ["Origin", "Credentials", "Methods", "Headers"].map { "Access-Control-Allow-\($0)" }
            changes.remove += ["Access-Control-Expose-Headers", "Access-Control-Max-Age"]
            if crossOrigin.varies { changes.add.append(RouteTable.Pair("Vary", "Origin")) }
        }
        return add(changes)
    }

    private mutating func addCrossOrigin(_ crossOrigin: RouteTable.CrossOrigin?) -> UInt32 {
        var builder = crossOrigins
        defer { crossOrigins = builder }
        return builder.add(crossOrigin) { intern($0) }
    }

    private mutating func add(_ kind: TableView.ChangeRow.Kind, _ name: String, _ value: String) {
        changes.append(
            TableView.ChangeRow(
                kind: kind,
                name: intern(name),
                lowercasedName: intern(name.lowercased()),
                value: intern(value)
            )
        )
    }

    private mutating func pathChange(_ change: RouteTable.PathChange?) -> TableView.PathChangeRow {
        switch change {
        case nil: TableView.PathChangeRow()
        case .full(let path): TableView.PathChangeRow(kind: .full, value: intern(path))
        case .prefix(let prefix):
            TableView.PathChangeRow(kind: .prefix, value: intern(RouteTable.Path.withoutFinalSlashes(prefix)))
        }
    }

    private mutating func redirect(_ redirect: RouteTable.Redirect) -> TableView.RedirectRow {
        TableView.RedirectRow(
            status: UInt16(clamping: redirect.status),
            port: UInt16(clamping: redirect.port ?? 0),
            scheme: intern(redirect.scheme ?? ""),
            host: intern(redirect.host ?? ""),
            path: pathChange(redirect.path)
        )
    }

    private mutating func response(_ response: RouteTable.DirectResponse) -> TableView.ResponseRow {
        TableView.ResponseRow(
            status: UInt16(clamping: response.status),
            reason: intern(HTTPStatus.reason(response.status)),
            contentType: intern(response.contentType),
            body: intern(response.body)
        )
    }

    private mutating func addMirrors(_ rule: RouteTable.Rule) -> RowRange {
        let start = mirrors.count
        for mirror in rule.filters.mirrors.prefix(RouteTable.RequestMirror.maximum) {
            guard let backend = backendIndexes[mirror.backend] else { continue }
            mirrors.append(
                TableView.MirrorRow(
                    backend: backend,
                    share: UInt32(clamping: mirror.share),
                    series: UInt32(series(MetricSeries(route: "\(rule.route) (mirror)", backend: mirror.backend)))
                )
            )
        }
        return RowRange(start: UInt32(start), count: UInt32(mirrors.count - start))
    }

    // MARK: - Matches

    private mutating func add(_ match: RouteTable.Match, host: UInt32, rule: UInt32, listeners: UInt64) {
        var row = TableView.CandidateRow()
        row.rule = rule
        row.listeners = listeners
        row.method = intern(match.method ?? "")
        row.headers = addConditions(match.headers.map { RouteTable.FieldMatch($0.name.lowercased(), $0.value) })
        row.query = addConditions(match.query)
        switch match.path {
        case .exact(let path): add(row, at: PathKey(host: host, path: path, isPrefix: false))
        case .prefix(let path):
            add(row, at: PathKey(host: host, path: RouteTable.Path.withoutFinalSlashes(path), isPrefix: true))
        case .regularExpression(let expression): add(row, at: patterns.number(of: expression), host: host)
        }
    }

    private mutating func add(_ row: TableView.CandidateRow, at key: PathKey) {
        let order = candidatesByPath[key]?.count ?? 0
        candidatesByPath[key, default: []].append(Candidate(row: row, order: order))
    }

    private mutating func add(_ row: TableView.CandidateRow, at pattern: UInt32, host: UInt32) {
        var list = pathPatterns[host] ?? []
        let index = list.firstIndex { $0.number == pattern } ?? list.count
        if index == list.count { list.append(PathPattern(number: pattern)) }
        list[index].candidates.append(Candidate(row: row, order: list[index].candidates.count))
        pathPatterns[host] = list
    }

    private mutating func addConditions(_ matches: [RouteTable.FieldMatch]) -> RowRange {
        let start = conditions.count
        for match in matches {
            var row = TableView.ConditionRow(name: intern(match.name))
            switch match.value {
            case .exact(let value): row.value = intern(value)
            case .regularExpression(let expression): row.pattern = patterns.number(of: expression)
            }
            conditions.append(row)
        }
        return RowRange(start: UInt32(start), count: UInt32(matches.count))
    }

    /// Gateway API: with equal paths, a method comes before none, then more headers, then more query parameters, then the order given.
    private static func precedes(_ left: Candidate, _ right: Candidate) -> Bool {
        let (l, r) = (left.row, right.row)
        if l.method.isEmpty != r.method.isEmpty { return !l.method.isEmpty }
        if l.headers.count != r.headers.count { return l.headers.count > r.headers.count }
        if l.query.count != r.query.count { return l.query.count > r.query.count }
        return left.order < right.order
    }

    // MARK: - Hash tables

    private mutating func hostNumber(_ host: String) -> UInt32 {
        if let number = hostNumbers[host] { return number }
        let number = UInt32(hostNumbers.count)
        hostNumbers[host] = number
        return number
    }

    private mutating func hostRows(
        _ patterns: inout [TableView.PathPatternRow],
        _ candidates: inout [TableView.CandidateRow]
    ) -> [TableView.HostRow] {
        var rows: [TableView.HostRow] = []
        for (host, number) in hostNumbers.sorted(by: { $0.value < $1.value }) {
            let isWildcard = host == "*" || host.hasPrefix("*.")
            let name = intern(isWildcard ? String(host.dropFirst(2)) : host)
            let hash = self.hash(name, seed: TableView.hostSeed(isWildcard: isWildcard))
            var row = TableView.HostRow(hash: hash, name: name, isWildcard: isWildcard, number: number)
            row.pathPatterns = patternRows(of: number, &patterns, &candidates)
            rows.append(row)
        }
        return Self.openAddressed(rows, empty: TableView.HostRow(), hash: \.hash)
    }

    private func patternRows(
        of host: UInt32,
        _ rows: inout [TableView.PathPatternRow],
        _ candidates: inout [TableView.CandidateRow]
    ) -> RowRange {
        let first = rows.count
        for pattern in pathPatterns[host] ?? [] {
            let start = UInt32(candidates.count)
            candidates.append(contentsOf: pattern.candidates.sorted(by: Self.precedes).map(\.row))
            let range = RowRange(start: start, count: UInt32(pattern.candidates.count))
            rows.append(TableView.PathPatternRow(pattern: pattern.number, candidates: range))
        }
        return RowRange(start: UInt32(first), count: UInt32(rows.count - first))
    }

    private mutating func pathRows(_ candidates: inout [TableView.CandidateRow]) -> [TableView.PathRow] {
        var rows: [TableView.PathRow] = []
        for (key, list) in candidatesByPath {
            let start = UInt32(candidates.count)
            candidates.append(contentsOf: list.sorted(by: Self.precedes).map(\.row))
            let path = intern(key.path)
            rows.append(
                TableView.PathRow(
                    hash: hash(path, seed: TableView.pathSeed(host: key.host, isPrefix: key.isPrefix)),
                    host: key.host,
                    path: path,
                    isPrefix: key.isPrefix,
                    candidates: RowRange(start: start, count: UInt32(list.count))
                )
            )
        }
        return Self.openAddressed(rows, empty: TableView.PathRow(), hash: \.hash)
    }

    /// Linear probing at most half full, so that a miss ends at an unused row.
    private static func openAddressed<Row>(_ rows: [Row], empty: Row, hash: (Row) -> UInt64) -> [Row] {
        var size = 4
        while size < rows.count * 2 { size *= 2 }
        var table = Array(repeating: empty, count: size)
        for row in rows {
            var index = Int(truncatingIfNeeded: hash(row)) & (size - 1)
            while hash(table[index]) != 0 { index = (index + 1) & (size - 1) }
            table[index] = row
        }
        return table
    }

    // MARK: - Bytes

    private mutating func intern(_ text: String) -> ByteRange {
        if text.isEmpty { return ByteRange() }
        if let range = interned[text] { return range }
        let range = ByteRange(start: UInt32(bytes.count), count: UInt32(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
        interned[text] = range
        return range
    }

    private func hash(_ range: ByteRange, seed: UInt64) -> UInt64 {
        var hash = RollingHash(seed: seed)
        for byte in bytes[Int(range.start)..<Int(range.start + range.count)] { hash.add(byte) }
        return hash.value
    }
}

extension RouteTable.Path {
    /// More segments than this are not told apart by prefixes. With one place more than this, lookup needs 1,024 bytes for its notes: what
    /// is larger would not stand on the stack.
    package static let maximumPrefixSegments = 63

    static func withoutFinalSlashes(_ path: String) -> String {
        var path = Substring(path)
        while path.hasSuffix("/") { path.removeLast() }
        return String(path)
    }
}

extension TableView.RetryRow {
    init(_ policy: RetryPolicy) {
        isStandard = false
        retries = UInt8(clamping: min(10, max(0, policy.retries)))
        conditions = policy.conditions
        includesNonIdempotent = policy.includesNonIdempotent
        perTryTimeout = UInt32(clamping: policy.perTryTimeout ?? 0)
        baseInterval = UInt32(clamping: policy.baseInterval)
        maximumInterval = UInt32(clamping: policy.maximumInterval)
        maximumReplay = Int32(clamping: min(policy.maximumReplay, BufferPool.largest))
        statuses = StatusSet(policy.conditions.contains(.statusCodes) ? policy.statusCodes : [])
    }
}
