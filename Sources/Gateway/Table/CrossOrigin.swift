extension RouteTable {
    /// Which pages of other origins may read the answers of a rule (Fetch §3.2, Gateway API's `HTTPCORSFilter`).
    package struct CrossOrigin: Hashable, Sendable {
        package static let maximumOrigins = 64

        /// `*`, or `https://shop.example:8443`, where `*` may stand for the host or for labels at its start.
        package var origins: [String]
        /// Asked for by pages beyond GET, HEAD and POST; `*` for all.
        package var methods: [String]
        /// That requests may have; `*` for all.
        package var headers: [String]
        /// Of answers that pages may see; `*` for all.
        package var exposedHeaders: [String]
        /// Whether requests may come with cookies and the like.
        package var allowsCredentials: Bool
        /// Seconds for which a browser may remember what it was told.
        package var maximumAge: Int

        package init(
            origins: [String] = [],
            methods: [String] = [],
            headers: [String] = [],
            exposedHeaders: [String] = [],
            allowsCredentials: Bool = false,
            maximumAge: Int = 5
        ) {
            self.origins = origins
            self.methods = methods
            self.headers = headers
            self.exposedHeaders = exposedHeaders
            self.allowsCredentials = allowsCredentials
            self.maximumAge = maximumAge
        }

        /// Answers differ by the page that asks, unless all get the same.
        var varies: Bool { !origins.contains("*") || allowsCredentials }

        /// Browsers leave the usual port out of the origin that they name.
        static func withoutUsualPort(_ origin: String) -> String {
            for (scheme, port) in [("http://", ":80"), ("https://", ":443")]
            where origin.hasPrefix(scheme) && origin.hasSuffix(port) {
                return String(origin.dropLast(port.count))
            }
            return origin
        }
    }
}

extension TableView {
    /// A ``RouteTable/CrossOrigin``.
    struct CrossOriginRow: BitwiseCopyable {
        var origins = RowRange()
        var allowsCredentials = false
        /// As the values of fields; `*` alone for all.
        var methods = ByteRange()
        var headers = ByteRange()
        var exposedHeaders = ByteRange()
        var maximumAge: UInt32 = 0
        /// Whether every origin gets the same answer.
        var isForAll = false
    }

    /// An origin, or what stands before and behind its `*`; in lower case.
    struct OriginRow: BitwiseCopyable {
        var start = ByteRange()
        var end = ByteRange()
        var hasWildcard = false
    }
}

extension TableView {
    struct CrossOriginRows: BitwiseCopyable {
        let rules: FlatArray<CrossOriginRow>
        let origins: FlatArray<OriginRow>

        func free() {
            rules.free()
            origins.free()
        }
    }
}

/// Lays out what rules say of other origins; part of ``TableBuilder``.
struct CrossOriginBuilder {
    private var rules: [TableView.CrossOriginRow] = []
    private var origins: [TableView.OriginRow] = []

    /// - Returns: the number of the rule's row.
    mutating func add(_ crossOrigin: RouteTable.CrossOrigin?, intern: (String) -> ByteRange) -> UInt32 {
        guard let crossOrigin else { return TableView.RuleRow.none }
        let start = UInt32(origins.count)
        for origin in crossOrigin.origins.prefix(RouteTable.CrossOrigin.maximumOrigins) {
            let text = RouteTable.CrossOrigin.withoutUsualPort(origin.lowercased())
            let parts = text.split(separator: "*", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            origins.append(
                TableView.OriginRow(start: intern(parts[0]), end: intern(parts.last!), hasWildcard: parts.count == 2)
            )
        }
        rules.append(
            TableView.CrossOriginRow(
                origins: RowRange(start: start, count: UInt32(origins.count) - start),
                allowsCredentials: crossOrigin.allowsCredentials,
                methods: intern(Self.list(crossOrigin.methods)),
                headers: intern(Self.list(crossOrigin.headers)),
                exposedHeaders: intern(Self.list(crossOrigin.exposedHeaders)),
                maximumAge: UInt32(clamping: crossOrigin.maximumAge),
                isForAll: !crossOrigin.varies
            )
        )
        return UInt32(rules.count - 1)
    }

    func finish() -> TableView.CrossOriginRows { .init(rules: FlatArray(rules), origins: FlatArray(origins)) }

    private static func list(_ names: [String]) -> String { names.contains("*") ? "*" : names.joined(separator: ", ") }
}

/// What the fields of a request ask of a rule with a ``RouteTable/CrossOrigin``, and what it is told.
struct CrossOriginRequest: BitwiseCopyable {
    private let view: TableView
    private let row: TableView.CrossOriginRow
    private let origin: ByteSpan?
    private let method: ByteSpan?
    private let headers: ByteSpan?
    private let isOptions: Bool

    init(_ request: RequestKey, _ row: TableView.CrossOriginRow, _ view: TableView) {
        self.view = view
        self.row = row
        origin = Self.field("origin", of: request)
        method = Self.field("access-control-request-method", of: request)
        headers = Self.field("access-control-request-headers", of: request)
        isOptions = request.method.equals(Self.span("OPTIONS"))
    }

    /// Fetch §3.2.2: the browser asks before it sends the request of a page.
    var isPreflight: Bool { isOptions && origin != nil && method != nil }

    var isAllowed: Bool {
        guard let origin else { return false }
        for index in row.origins.indices where matches(view.crossOrigins.origins[index], origin) { return true }
        return false
    }

    /// The fields that let the page read the answer.
    func writePermission(to writer: inout HeadWriter) {
        guard let origin, isAllowed else { return }
        writer.append("Access-Control-Allow-Origin: ")
        if row.isForAll { writer.append("*") } else { writer.append(origin) }
        writer.append("\r\n")
        if row.allowsCredentials { writer.append("Access-Control-Allow-Credentials: true\r\n") }
        // With credentials, `*` would be the name of a header.
        if !row.exposedHeaders.isEmpty, !(row.allowsCredentials && isAll(row.exposedHeaders)) {
            writer.append(name: Self.span("Access-Control-Expose-Headers"), value: view.text(row.exposedHeaders))
        }
    }

    /// Everything of the answer to a preflight but the fields that concern the connection and those of ``writePermission(to:)``.
    func writePreflight(to writer: inout HeadWriter) {
        writer.append("HTTP/1.1 204 No Content\r\n")
        writer.append("Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n")
        guard isAllowed else { return }
        write("Access-Control-Allow-Methods", row.methods, asked: method, to: &writer)
        write("Access-Control-Allow-Headers", row.headers, asked: headers, to: &writer)
        writer.append("Access-Control-Max-Age: ")
        writer.append(decimal: UInt64(row.maximumAge))
        writer.append("\r\n")
    }

    // MARK: - Private

    /// With credentials `*` means nothing to browsers, so they are told what they have asked for.
    private func write(_ name: StaticString, _ allowed: ByteRange, asked: ByteSpan?, to writer: inout HeadWriter) {
        guard !allowed.isEmpty else { return }
        guard row.allowsCredentials, isAll(allowed) else {
            return writer.append(name: Self.span(name), value: view.text(allowed))
        }
        if let asked { writer.append(name: Self.span(name), value: asked) }
    }

    private func isAll(_ list: ByteRange) -> Bool { list.count == 1 && view.text(list)[0] == UInt8(ascii: "*") }

    private func matches(_ allowed: TableView.OriginRow, _ origin: ByteSpan) -> Bool {
        let (start, end) = (view.text(allowed.start), view.text(allowed.end))
        guard allowed.hasWildcard else { return origin.equalsIgnoringCase(lowercased: start) }
        guard start.count > 0 else { return true }
        guard origin.count > start.count + end.count else { return false }
        // A pattern without a port means the usual one, which browsers leave out.
        for index in start.count..<origin.count - end.count where origin[index] == ASCII.colon { return false }
        return ByteSpan(origin.base, start.count).equalsIgnoringCase(lowercased: start)
            && origin.dropFirst(origin.count - end.count).equalsIgnoringCase(lowercased: end)
    }

    private static func field(_ name: StaticString, of request: RequestKey) -> ByteSpan? {
        for index in 0..<request.fieldCount
        where request.head.slice(request.fields[index].name).equalsIgnoringCase(name) {
            return request.head.slice(request.fields[index].value)
        }
        return nil
    }

    private static func span(_ text: StaticString) -> ByteSpan { ByteSpan(text.utf8Start, text.utf8CodeUnitCount) }
}
