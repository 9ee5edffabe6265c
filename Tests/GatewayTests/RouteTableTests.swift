import Testing

@testable import Gateway

struct RouteTableTests {
    private typealias Rule = RouteTable.Rule
    private typealias Match = RouteTable.Match

    /// The name of the route that takes a request.
    private static func lookup(
        _ rules: [RouteTable.Rule],
        host: String = "a.test",
        path: String = "/",
        query: String = "",
        method: String = "GET",
        headers: [(String, String)] = []
    ) throws -> String? {
        let table = CompiledTable(RouteTable(rules: rules), generation: 1)
        let lines = headers.map { "\($0.0): \($0.1)\r\n" }.joined()
        let target = query.isEmpty ? path : "\(path)?\(query)"
        let bytes = Array("\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n\(lines)\r\n".utf8)
        let fields = UnsafeMutablePointer<HeaderField>.allocate(capacity: FieldParser.maximumFields)
        defer { fields.deallocate() }
        return try bytes.withUnsafeBufferPointer { buffer in
            let head = ByteSpan(buffer.baseAddress!, buffer.count)
            let request = try RequestHead.parse(head, into: fields)
            let key = RequestKey(
                host: head.slice(request.host),
                path: head.slice(request.path),
                query: head.slice(request.query),
                method: head.slice(request.method),
                head: head,
                fields: fields,
                fieldCount: request.fieldCount
            )
            return table.view.lookup(key).map { rules[$0.rule].route }
        }
    }

    @Test(arguments: [
        ("a.test", "exact"), ("A.TEST", "exact"), ("a.test:8080", "exact"), ("b.test", "wildcard"),
        ("c.b.test", "wildcard"),
        ("x.deep.test", "deep"), ("deep.test", "wildcard"), ("test", "any"), ("other", "any"),
    ])
    func prefersSpecificHosts(_ row: (host: String, route: String)) throws {
        let rules = [
            Rule(route: "any", hosts: ["*"]), Rule(route: "wildcard", hosts: ["*.test"]),
            Rule(route: "deep", hosts: ["*.deep.test"]), Rule(route: "exact", hosts: ["a.test"]),
        ]
        #expect(try Self.lookup(rules, host: row.host) == row.route)
    }

    @Test(arguments: [
        ("/", "root"), ("/shop", "shop"), ("/shop/", "shop"), ("/shop/cart", "cart prefix"),
        ("/shop/cart/1", "cart prefix"),
        ("/shopping", "root"), ("/shop/exact", "exact"), ("/shop/exact/", "shop"), ("/shop//cart", "shop"),
    ])
    func prefersExactThenLongerPrefixes(_ row: (path: String, route: String)) throws {
        let rules = [
            Rule(route: "root", matches: [Match(path: .prefix("/"))]),
            Rule(route: "shop", matches: [Match(path: .prefix("/shop/"))]),
            Rule(route: "cart prefix", matches: [Match(path: .prefix("/shop/cart"))]),
            Rule(route: "exact", matches: [Match(path: .exact("/shop/exact"))]),
        ]
        #expect(try Self.lookup(rules, path: row.path) == row.route)
    }

    @Test func prefersMethodThenHeadersThenQueryThenOrder() throws {
        let rules = [
            Rule(route: "first", matches: [Match()]), Rule(route: "second", matches: [Match()]),
            Rule(route: "query", matches: [Match(query: [.init("v", "2")])]),
            Rule(route: "header", matches: [Match(headers: [.init("X-Version", "2")])]),
            Rule(route: "headers", matches: [Match(headers: [.init("X-Version", "2"), .init("X-User", "a")])]),
            Rule(route: "method", matches: [Match(method: "POST")]),
        ]
        #expect(try Self.lookup(rules) == "first")
        #expect(try Self.lookup(rules, query: "a=1&v=2") == "query")
        #expect(try Self.lookup(rules, query: "v=1&v=2") == "first")
        #expect(try Self.lookup(rules, query: "v=2", headers: [("x-version", "2")]) == "header")
        #expect(try Self.lookup(rules, headers: [("x-version", "2"), ("X-USER", "a")]) == "headers")
        #expect(try Self.lookup(rules, headers: [("x-version", "22")]) == "first")
        #expect(try Self.lookup(rules, method: "POST", headers: [("x-version", "2")]) == "method")
    }

    @Test func fallsBackToLessSpecificHostsAndFindsNothingElsewhere() throws {
        let rules = [
            Rule(route: "a", hosts: ["a.test"], matches: [Match(path: .prefix("/a"))]),
            Rule(route: "any", hosts: ["*.test"], matches: [Match(path: .prefix("/any"))]),
        ]
        #expect(try Self.lookup(rules, path: "/any") == "any")
        #expect(try Self.lookup(rules, path: "/a/b") == "a")
        #expect(try Self.lookup(rules, path: "/none") == nil)
        #expect(try Self.lookup(rules, host: "else", path: "/a") == nil)
        #expect(try Self.lookup([], path: "/") == nil)
    }

    @Test func findsEachOfAThousandRoutes() throws {
        let rules = (0..<1000).map { number in
            Rule(route: "r\(number)", hosts: ["h\(number % 100).test"], matches: [Match(path: .prefix("/p\(number)"))])
        }
        for number in stride(from: 0, to: 1000, by: 37) {
            #expect(try Self.lookup(rules, host: "h\(number % 100).test", path: "/p\(number)/x") == "r\(number)")
            #expect(try Self.lookup(rules, host: "h\((number + 1) % 100).test", path: "/p\(number)/x") == nil)
        }
    }

    @Test func passesPathsOfManySegments() throws {
        let rules = [Rule(route: "a", matches: [Match(path: .prefix("/a"))])]
        #expect(try Self.lookup(rules, path: "/a" + String(repeating: "/b", count: 500)) == "a")
    }

    // MARK: - Regular expressions

    @Test func matchesPathsByRegularExpressionsBetweenExactOnesAndPrefixes() throws {
        func regex(_ pattern: String) throws -> Match {
            Match(path: .regularExpression(try RegularExpression(pattern)))
        }
        let rules = [
            Rule(route: "root", matches: [Match(path: .prefix("/"))]),
            Rule(route: "long prefix", matches: [Match(path: .prefix("/item/special/long"))]),
            Rule(route: "exact", matches: [Match(path: .exact("/item/1"))]),
            Rule(route: "number", matches: [try regex("/item/[0-9]+")]),
            Rule(route: "second", matches: [try regex("/item/.*"), try regex("/other/.*")]),
            Rule(route: "image", hosts: ["img.test"], matches: [try regex(".*\\.(png|jpe?g)")]),
        ]
        #expect(try Self.lookup(rules, path: "/item/1") == "exact")
        #expect(try Self.lookup(rules, path: "/item/12") == "number")
        #expect(try Self.lookup(rules, path: "/item/12a") == "second")
        #expect(try Self.lookup(rules, path: "/item/special/long") == "second")
        #expect(try Self.lookup(rules, path: "/other/") == "second")
        #expect(try Self.lookup(rules, path: "/others/") == "root")
        #expect(try Self.lookup(rules, host: "img.test", path: "/a.jpeg") == "image")
        #expect(try Self.lookup(rules, host: "img.test", path: "/a.gif") == "root")
        #expect(try Self.lookup(rules, path: "/a.png") == "root")
    }

    @Test func prefersMethodAndHeadersUnderOneExpression() throws {
        let expression = try RegularExpression("/v[0-9]+/.*")
        let rules = [
            Rule(route: "any", matches: [Match(path: .regularExpression(expression))]),
            Rule(route: "post", matches: [Match(path: .regularExpression(expression), method: "POST")]),
        ]
        #expect(try Self.lookup(rules, path: "/v1/x") == "any")
        #expect(try Self.lookup(rules, path: "/v1/x", method: "POST") == "post")
    }

    @Test func matchesHeadersAndParametersByRegularExpressions() throws {
        let rules = [
            Rule(route: "none"),
            Rule(
                route: "header",
                matches: [Match(headers: [.init("X-Tier", .regularExpression(try .init("gold|silver")))])]
            ),
            Rule(route: "query", matches: [Match(query: [.init("v", .regularExpression(try .init("[0-9]{2,}")))])]),
        ]
        #expect(try Self.lookup(rules, headers: [("x-tier", "silver")]) == "header")
        #expect(try Self.lookup(rules, headers: [("x-tier", "bronze"), ("X-Tier", "gold")]) == "header")
        #expect(try Self.lookup(rules, headers: [("x-tier", "golden")]) == "none")
        #expect(try Self.lookup(rules, query: "v=12") == "query")
        #expect(try Self.lookup(rules, query: "v=1") == "none")
        #expect(try Self.lookup(rules, query: "w=12") == "none")
    }

    // MARK: - Cost

    /// Rows that a search looks at, over all names that are there: the cost of finding one.
    private static func probes<Row>(_ rows: FlatArray<Row>, hash: (Row) -> UInt64) -> (mean: Double, most: Int) {
        var sum = 0
        var most = 0
        var used = 0
        for index in 0..<rows.count where hash(rows[index]) != 0 {
            let home = Int(truncatingIfNeeded: hash(rows[index])) & (rows.count - 1)
            let count = (index - home) & (rows.count - 1)
            sum += count + 1
            most = max(most, count + 1)
            used += 1
        }
        return (Double(sum) / Double(max(1, used)), most)
    }

    @Test(arguments: [10, 1000, 20_000]) func findsARouteInAsManyStepsAmongThousands(_ count: Int) {
        let rules = (0..<count).map { number in
            Rule(
                route: "r\(number)",
                hosts: ["h\(number % max(1, count / 10)).example.org"],
                matches: [Match(path: .prefix("/service-\(number)/v1")), Match(path: .exact("/service-\(number)"))]
            )
        }
        let table = CompiledTable(RouteTable(rules: rules), generation: 1)
        let hosts = Self.probes(table.view.hosts, hash: \.hash)
        let paths = Self.probes(table.view.paths, hash: \.hash)
        #expect(hosts.mean < 1.6 && paths.mean < 1.6)
        #expect(hosts.most < 40 && paths.most < 40)
        // One candidate under each path: nothing is tried in turn.
        #expect(table.view.candidates.count == count * 2)
        #expect((0..<table.view.paths.count).allSatisfy { table.view.paths[$0].candidates.count <= 1 })
    }
}
