/// The parts of a request that choose its rule.
struct RequestKey: BitwiseCopyable {
    /// Without the port, in any case.
    var host: ByteSpan
    var path: ByteSpan
    /// Without `?`.
    var query: ByteSpan
    var method: ByteSpan
    /// Header fields, as positions in `head`.
    var head: ByteSpan
    var fields: UnsafePointer<HeaderField>
    var fieldCount: Int
    /// The listener that takes the request, as its bit; all bits where a table has no listeners.
    var listeners: UInt64 = .max
}

struct RouteMatch: BitwiseCopyable {
    var rule: Int
    /// Bytes of the request's path that the match's prefix names.
    var prefixLength: Int
}

extension TableView {
    static func hostSeed(isWildcard: Bool) -> UInt64 { isWildcard ? 2 : 1 }
    static func pathSeed(host: UInt32, isPrefix: Bool) -> UInt64 { UInt64(host) << 2 | (isPrefix ? 3 : 1) }

    /// The rule of highest precedence: the most specific host first, within it exact paths, then regular expressions in their order, then
    /// longer prefixes; then method, headers and query. Less specific hosts are asked when the more specific ones have no matching rule.
    func lookup(_ request: RequestKey) -> RouteMatch? {
        if let row = findHost(request.host, isWildcard: false), let match = matchPath(request, row) {
            return match
        }
        var rest = request.host
        while let dot = firstDot(rest) {
            rest = rest.dropFirst(dot + 1)
            if let row = findHost(rest, isWildcard: true), let match = matchPath(request, row) {
                return match
            }
        }
        guard let row = findHost(ByteSpan(request.host.base, 0), isWildcard: true) else { return nil }
        return matchPath(request, row)
    }

    // MARK: - Hosts

    private func firstDot(_ name: ByteSpan) -> Int? {
        for index in 0..<name.count where name[index] == UInt8(ascii: ".") { return index }
        return nil
    }

    private func findHost(_ name: ByteSpan, isWildcard: Bool) -> HostRow? {
        var hash = RollingHash(seed: Self.hostSeed(isWildcard: isWildcard))
        for index in 0..<name.count { hash.add(ASCII.lowercased(name[index])) }
        let mask = hosts.count - 1
        var index = Int(truncatingIfNeeded: hash.value) & mask
        while hosts[index].hash != 0 {
            let row = hosts[index]
            if row.hash == hash.value, row.isWildcard == isWildcard,
                name.equalsIgnoringCase(lowercased: text(row.name))
            {
                return row
            }
            index = (index + 1) & mask
        }
        return nil
    }

    // MARK: - Paths

    private func matchPath(_ request: RequestKey, _ hostRow: HostRow) -> RouteMatch? {
        let path = request.path
        let host = hostRow.number
        if let row = findPath(path, host: host, isPrefix: false, hash: pathHash(path, host, isPrefix: false)),
            let rule = firstCandidate(row.candidates, request)
        {
            return RouteMatch(rule: rule, prefixLength: path.count)
        }
        for index in hostRow.pathPatterns.indices {
            let row = pathPatterns[index]
            if patterns.matches(row.pattern, path), let rule = firstCandidate(row.candidates, request) {
                return RouteMatch(rule: rule, prefixLength: path.count)
            }
        }
        return matchPrefix(request, host: host)
    }

    /// Hashes the path once, keeps the hash at every segment's end and then asks from the longest prefix to the shortest.
    private func matchPrefix(_ request: RequestKey, host: UInt32) -> RouteMatch? {
        let path = request.path
        return withUnsafeTemporaryAllocation(
            of: Boundary.self,
            capacity: RouteTable.Path.maximumPrefixSegments + 1
        ) { boundaries -> RouteMatch? in
            var count = collectBoundaries(of: path, host: host, into: boundaries)
            while count > 0 {
                count -= 1
                let boundary = boundaries[count]
                let prefix = ByteSpan(path.base, boundary.length)
                if let row = findPath(prefix, host: host, isPrefix: true, hash: boundary.hash),
                    let rule = firstCandidate(row.candidates, request)
                {
                    return RouteMatch(rule: rule, prefixLength: boundary.length)
                }
            }
            return nil
        }
    }

    private struct Boundary: BitwiseCopyable {
        var hash: UInt64
        var length: Int
    }

    private func collectBoundaries(
        of path: ByteSpan,
        host: UInt32,
        into boundaries: UnsafeMutableBufferPointer<Boundary>
    ) -> Int {
        var hash = RollingHash(seed: Self.pathSeed(host: host, isPrefix: true))
        var count = 0
        for index in 0..<path.count {
            if path[index] == ASCII.slash {
                guard count < boundaries.count - 1 else { return count }
                boundaries[count] = Boundary(hash: hash.value, length: index)
                count += 1
            }
            hash.add(path[index])
        }
        if path.count == 0 || path[path.count - 1] != ASCII.slash {
            boundaries[count] = Boundary(hash: hash.value, length: path.count)
            count += 1
        }
        return count
    }

    private func pathHash(_ path: ByteSpan, _ host: UInt32, isPrefix: Bool) -> UInt64 {
        RollingHash.of(path, seed: Self.pathSeed(host: host, isPrefix: isPrefix))
    }

    private func findPath(_ path: ByteSpan, host: UInt32, isPrefix: Bool, hash: UInt64) -> PathRow? {
        let mask = paths.count - 1
        var index = Int(truncatingIfNeeded: hash) & mask
        while paths[index].hash != 0 {
            let row = paths[index]
            if row.hash == hash, row.host == host, row.isPrefix == isPrefix, path.equals(text(row.path)) { return row }
            index = (index + 1) & mask
        }
        return nil
    }

    // MARK: - Method, headers, query

    private func firstCandidate(_ rows: RowRange, _ request: RequestKey) -> Int? {
        for index in rows.indices {
            let candidate = candidates[index]
            if candidate.listeners & request.listeners == 0 { continue }
            if !candidate.method.isEmpty, !request.method.equals(text(candidate.method)) { continue }
            if candidate.headers.count > 0, !headersMatch(candidate, request) { continue }
            if candidate.query.count > 0, !queryMatches(candidate, request) { continue }
            return Int(candidate.rule)
        }
        return nil
    }

    private func headersMatch(_ candidate: CandidateRow, _ request: RequestKey) -> Bool {
        for index in candidate.headers.indices where !hasHeader(conditions[index], request) { return false }
        return true
    }

    private func hasHeader(_ condition: ConditionRow, _ request: RequestKey) -> Bool {
        for index in 0..<request.fieldCount {
            let field = request.fields[index]
            if request.head.slice(field.name).equalsIgnoringCase(lowercased: text(condition.name)),
                isMet(condition, request.head.slice(field.value))
            {
                return true
            }
        }
        return false
    }

    @inline(__always)
    private func isMet(_ condition: ConditionRow, _ value: ByteSpan) -> Bool {
        guard condition.pattern != ConditionRow.none else { return value.equals(text(condition.value)) }
        return patterns.matches(condition.pattern, value)
    }

    private func queryMatches(_ candidate: CandidateRow, _ request: RequestKey) -> Bool {
        for index in candidate.query.indices where !hasParameter(conditions[index], request.query) { return false }
        return true
    }

    /// Only the first parameter of a name counts, as Gateway API recommends.
    private func hasParameter(_ condition: ConditionRow, _ query: ByteSpan) -> Bool {
        var start = 0
        while start <= query.count {
            var end = start
            var equals = -1
            while end < query.count, query[end] != UInt8(ascii: "&") {
                if equals < 0, query[end] == UInt8(ascii: "=") { equals = end }
                end += 1
            }
            let nameEnd = equals < 0 ? end : equals
            if ByteSpan(query.base + start, nameEnd - start).equals(text(condition.name)) {
                let valueStart = equals < 0 ? end : equals + 1
                return isMet(condition, ByteSpan(query.base + valueStart, end - valueStart))
            }
            start = end + 1
        }
        return false
    }
}
