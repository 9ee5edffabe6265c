import Foundation
import Testing

@testable import Gateway

/// The configuration file: what it means, and what is said about files that are wrong.
struct FileConfigurationTests {
    private static func parse(_ text: String) throws -> FileConfiguration {
        try FileConfiguration.parse(text, file: "gateway.yaml")
    }

    @Test func readsRulesAndBackends() throws {
        let file = try Self.parse(
            """
            workers: 3
            admin: { socket: /run/gateway.sock, port: 9901 }
            listeners:
              - { name: web, address: 127.0.0.1, port: 8080 }
            routes:
              - name: shop
                hosts: [Shop.example.org, "*.shop.example.org"]
                rules:
                  - matches:
                      - path: { prefix: /api }
                        method: POST
                        headers: { X-Version: "2" }
                        queryParams: { debug: { exact: 1 } }
                      - path: { exact: /health }
                    filters:
                      requestHeaders: { set: { X-A: a }, add: { X-B: [b, c] }, remove: [X-C] }
                      responseHeaders: { set: { X-D: d } }
                      rewrite: { hostname: api.internal, path: { replaceFullPath: /v2 } }
                    backends:
                      - { name: api, weight: 9 }
                      - canary
                    timeouts: { request: 1.5s, backendRequest: 500ms }
                  - filters:
                      redirect: { scheme: https, hostname: www.example.org, port: 8443, statusCode: 301 }
            backends:
              api: { endpoints: ["10.0.0.1:8080", "[::1]:81"] }
              canary:
                endpoints:
                  - { address: api.internal, port: 82, weight: 3 }
                resolveInterval: 5s
            """
        )
        #expect(file.workers == 3)
        #expect(file.admin == .init(socket: "/run/gateway.sock", port: 9901))
        #expect(file.listeners == [.init(name: "web", address: "127.0.0.1", port: 8080)])
        #expect(file.settings == DataPathConfiguration())
        #expect(file.accessLog == nil)
        var rule = RouteTable.Rule(route: "shop", hosts: ["shop.example.org", "*.shop.example.org"])
        rule.matches = [
            .init(
                path: .prefix("/api"),
                method: "POST",
                headers: [.init("X-Version", "2")],
                query: [.init("debug", "1")]
            ),
            .init(path: .exact("/health")),
        ]
        rule.filters.requestHeaders = .init(
            set: [.init("X-A", "a")],
            add: [.init("X-B", "b"), .init("X-B", "c")],
            remove: ["X-C"]
        )
        rule.filters.responseHeaders = .init(set: [.init("X-D", "d")])
        rule.filters.rewriteHost = "api.internal"
        rule.filters.rewritePath = .full("/v2")
        rule.targets = [.init(backend: "api", weight: 9), .init(backend: "canary")]
        rule.timeouts = .init(request: 1500, backendRequest: 500)
        #expect(file.rules.first == rule)
        #expect(
            file.rules.last?.filters.redirect
                == .init(scheme: "https", host: "www.example.org", port: 8443, status: 301)
        )
        #expect(file.names == ["api.internal": 5000])
        let table = file.table(addresses: ["api.internal": ["10.1.1.1", "10.1.1.2"]])
        #expect(
            table.backends.map { $0.endpoints.map(\.address) } == [["10.0.0.1", "::1"], ["10.1.1.1", "10.1.1.2"]]
        )
        #expect(file.table(addresses: [:]).backends.last?.endpoints.isEmpty == true)
    }

    // MARK: - Mistakes

    /// A file with one mistake, given as lines below `routes:` or as a whole.
    private static let backends = "\nbackends:\n  api: { endpoints: [\"10.0.0.1:80\"] }\n"

    @Test func readsWhichOriginsMayReadAnswers() throws {
        let fields = """
            allowOrigins: [https://shop.example, "https://*.example:8443", "*"], allowMethods: [PUT], allowHeaders: ["*"], \
            exposeHeaders: [X-Total], allowCredentials: true, maxAge: 10m
            """
        let file = try Self.parse(Self.rule("{ filters: { cors: { \(fields) } }, backends: [api] }"))
        #expect(
            file.table(addresses: [:]).rules.first?.filters.crossOrigin
                == .init(
                    origins: ["https://shop.example", "https://*.example:8443", "*"],
                    methods: ["PUT"],
                    headers: ["*"],
                    exposedHeaders: ["X-Total"],
                    allowsCredentials: true,
                    maximumAge: 600
                )
        )
    }

    private static func rule(_ text: String) -> String {
        "routes:\n  - name: shop\n    rules:\n      - \(text)" + backends
    }

    @Test(arguments: [
        ("", "gateway.yaml:1:1: the file is empty"),
        ("routes: [", "gateway.yaml:2:1: this is not YAML: while parsing a flow node"),
        ("routes: []\nroutes: []", "the field routes is given twice"),
        ("[]", "gateway.yaml:1:1: must be a mapping of fields, not a list"),
        ("workers: 2", "gateway.yaml:1:1: the field routes is missing"),
        ("routs: []\nroutes: []", "gateway.yaml:1:1: routs: there is no such field; did you mean \"routes\"?"),
        ("frobnicate: 1\nroutes: []", "frobnicate: there is no such field; known are workers, admin,"),
        ("routes: 5", "gateway.yaml:1:9: routes: must be a list of routes, not \"5\""),
        ("workers: 0\nroutes: []", "gateway.yaml:1:10: workers: must be between 1 and 1024, not 0"),
        ("workers: many\nroutes: []", "workers: must be a whole number, not \"many\""),
        ("admin: { port: 70000 }\nroutes: []", "1:16: admin.port: must be between 0 and 65535, not 70000"),
        (
            "listeners: [{ name: a b, port: 80 }]\nroutes: []",
            "listeners[0].name: \"a b\" must be 1 to 253 letters, digits, and . _ - /"
        ),
        (
            "listeners: [{ name: a, address: localhost, port: 80 }]\nroutes: []",
            "listeners[0].address: \"localhost\" is not a numeric IPv4 or IPv6 address"
        ),
        ("listeners: [{ name: a }]\nroutes: []", "1:13: listeners[0]: the field port is missing"),
        ("routes: [{ rules: [] }]", "1:10: routes[0]: the field name is missing"),
        ("routes: [{ name: a }]", "routes[0]: the field rules is missing"),
        (
            "routes: [{ name: a, rules: [] }, { name: a, rules: [] }]",
            "1:42: routes[1].name: there is another route \"a\""
        ),
        (
            "routes: [{ name: a, hosts: [\"https://a\"], rules: [] }]",
            "1:29: routes[0].hosts[0]: \"https://a\" is not a host; write shop.example.org,"
        ),
        ("routes: [{ name: a, hosts: [], rules: [] }]", "routes[0].hosts: must name at least one host"),
        (rule("{}"), "4:9: routes[0].rules[0]: the rule needs backends, or a filter that answers: redirect or respond"),
        (rule("{ filters: {} }"), "the rule needs backends, or a filter that answers"),
        (rule("{ backends: [] }"), "rules[0].backends: must have at least one backend of a weight above zero"),
        (rule("{ backends: [ap] }"), "there is no backend \"ap\"; did you mean \"api\"?"),
        (rule("{ backends: [{ name: api, weight: 0 }] }"), "must have at least one backend of a weight above zero"),
        (rule("{ backends: [{ name: api, weight: -1 }] }"), "weight: must be between 0 and 1000000, not -1"),
        (
            rule("{ backends: [api], timeouts: { request: 5 } }"),
            "4:49: routes[0].rules[0].timeouts.request: \"5\" is not a duration like 1.5s, 500ms or 1m30s"
        ),
        (rule("{ backends: [api], timeouts: { request: 30h } }"), "must be between 1ms and 24h, not 30h"),
        (rule("{ backends: [api], matches: [] }"), "matches: must have at least one match"),
        (
            rule("{ backends: [api], matches: [{ path: /a }] }"),
            "matches[0].path: must say how it is meant: { prefix: … }"
        ),
        (
            rule("{ backends: [api], matches: [{ path: { prefix: a } }] }"),
            "path.prefix: \"a\" is not a path; it starts"
        ),
        (rule("{ backends: [api], matches: [{ path: { exact: \"/a?b\" } }] }"), "path.exact: \"/a?b\" is not a path"),
        (
            rule("{ backends: [api], matches: [{ path: { exact: /a, prefix: /a } }] }"),
            "matches[0].path: must have only one of exact, prefix or regex"
        ),
        (rule("{ backends: [api], matches: [{ method: get }] }"), "method: methods are told apart by case; write GET"),
        (
            rule("{ backends: [api], matches: [{ headers: { \"a b\": c } }] }"),
            "headers.a b: \"a b\" is not a name of headers"
        ),
        (
            rule("{ backends: [api], filters: { requestHeaders: { set: { Host: a } } } }"),
            "requestHeaders.set.Host: the Host header is changed by rewrite.hostname"
        ),
        (
            rule("{ backends: [api], filters: { responseHeaders: { remove: [Transfer-Encoding] } } }"),
            "remove[0]: the header Transfer-Encoding belongs to the gateway"
        ),
        (
            rule("{ backends: [api], filters: { requestHeaders: { set: { X-A: \"a\\nb\" } } } }"),
            "set.X-A: has a control character"
        ),
        (
            rule(
                "{ backends: [api], matches: [{ path: { exact: /a } }], filters: { rewrite: { path: { replacePrefixMatch: / } } } }"
            ),
            "replacePrefixMatch: works only where every match of the rule has a path prefix"
        ),
        (
            rule("{ backends: [api], filters: { redirect: { statusCode: 302 } } }"),
            "rules[0].backends: a rule that redirects or responds itself needs no backends"
        ),
        (
            rule("{ filters: { redirect: { statusCode: 200 } } }"),
            "statusCode: \"200\" is unknown; use 301, 302, 303, 307 or 308"
        ),
        (rule("{ filters: { redirect: { scheme: htps } } }"), "use http or https; did you mean \"https\"?"),
        ("routes: []\nbackends: { a: {} }", "2:16: backends.a: the field endpoints is missing"),
        (
            "routes: []\nbackends: { \"a b\": { endpoints: [] } }",
            "2:13: backends.a b: \"a b\" must be 1 to 253 letters"
        ),
        (
            "routes: []\nbackends: { a: { endpoints: [\"b\"] } }",
            "2:30: backends.a.endpoints[0]: \"b\" is not an address and a port"
        ),
        (
            rule("{ filters: { cors: { allowOrigins: [shop.example] } }, backends: [api] }"),
            "\"shop.example\" is not an origin; it looks like https://shop.example, https://*.example or *"
        ),
        (
            rule("{ filters: { cors: { allowOrigins: [\"*\"], allowMethods: [\"A B\"] } }, backends: [api] }"),
            "filters.cors.allowMethods[0]: \"A B\" cannot be one of the methods"
        ),
        (
            "routes: []\nbackends: { a: { endpoints: [\"b/c:80\"] } }",
            "\"b/c\" is neither a numeric address nor a host name"
        ),
        (
            "routes: []\nbackends: { a: { endpoints: [{ address: b }] } }",
            "backends.a.endpoints[0]: the field port is missing"
        ),
        (
            "routes: []\nbackends: { a: { endpoints: [\"b:1\"], resolveInterval: 5ms } }",
            "resolveInterval: must be between 1s and 24h, not 5ms"
        ),
    ])
    func saysWhereAFileIsWrongAndWhatWouldBeRight(_ row: (text: String, message: String)) throws {
        let error = #expect(throws: ConfigurationError.self) { try Self.parse(row.text) }
        #expect(error?.problems.count == 1, "\(error?.description ?? "")")
        #expect(error?.description.contains(row.message) == true, "\(error?.description ?? "")")
        #expect(error?.description.hasPrefix("gateway.yaml:") == true)
    }

    @Test func saysEverythingAtOnceInOrder() throws {
        let text = "workers: 0\nroutes:\n  - { name: a, rules: [{ backends: [b] }] }\n  - { nam: c, rules: [] }\n"
        let error = #expect(throws: ConfigurationError.self) { try Self.parse(text) }
        #expect(error?.problems.map(\.line) == [1, 3, 4, 4])
    }

    @Test func boundsTheListOfProblemsAndTheFile() throws {
        let many = "routes: [\(Array(repeating: "{}", count: 1000).joined(separator: ","))]"
        let error = #expect(throws: ConfigurationError.self) { try Self.parse(many) }
        #expect(error?.problems.count == ConfigurationProblems.limit)
        let large = "routes: [] #" + String(repeating: "a", count: FileConfiguration.maximumBytes)
        #expect(throws: ConfigurationError.self) { try Self.parse(large) }
    }

    // MARK: - Units

    @Test(arguments: [
        ("1.5s", 1500), ("500ms", 500), ("1m30s", 90_000), ("2h", 7_200_000), ("0s", 0), ("1500us", 2),
        ("5", nil), ("s", nil), ("-1s", nil), ("1 s", nil), ("1.s", nil), (".5s", nil), ("1d", nil), ("", nil),
        ("1e3s", nil), ("999999999999999999h", nil),
    ])
    func readsDurations(_ row: (text: String, milliseconds: Int?)) {
        #expect(ConfigurationUnits.milliseconds(row.text) == row.milliseconds)
    }

    @Test(arguments: [
        ("500", 500), ("64Ki", 65_536), ("1.5Mi", 1_572_864), ("1Gi", 1 << 30), ("2k", 2000), ("3M", 3_000_000),
        ("Ki", nil), ("5KB", nil), ("-1", nil), ("", nil),
    ])
    func readsSizes(_ row: (text: String, bytes: Int?)) {
        #expect(ConfigurationUnits.bytes(row.text) == row.bytes)
    }

    @Test(arguments: [
        ("100/s", [100, 1000]), ("30/m", [30, 60_000]), ("36/h", [36, 3_600_000]), ("100", nil), ("1/d", nil),
        ("/s", nil), ("1/s/s", nil), ("0.5/s", nil), ("-1/s", nil),
    ])
    func readsRates(_ row: (text: String, rate: [Int]?)) {
        #expect(ConfigurationUnits.rate(row.text).map { [$0.events, $0.per] } == row.rate)
    }

    @Test(arguments: [("5%", 0.05), ("0.5", 0.5), ("100%", 1.0), ("%", nil), ("-5%", nil)])
    func readsShares(_ row: (text: String, share: Double?)) {
        #expect(ConfigurationUnits.fraction(row.text) == row.share)
    }

    // MARK: - The example

    @Test func theExampleCanBeUsed() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let file = try FileConfiguration.load(root.appendingPathComponent("examples/gateway.yaml").path)
        #expect(file.rules.count > 3)
        #expect(!file.backends.isEmpty)
    }
}
