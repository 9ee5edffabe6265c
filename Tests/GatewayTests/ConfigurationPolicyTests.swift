import FlowControl
import Testing

@testable import Gateway

/// What a configuration file says beyond routes: listeners, settings, policies, and how backends are used.
struct ConfigurationPolicyTests {
    private static func parse(_ text: String, files: [String: String] = [:]) throws -> FileConfiguration {
        try FileConfiguration.parse(text, file: "/etc/gateway/gateway.yaml") { path in
            files[path].map { Array($0.utf8) }
        }
    }

    @Test func readsAnswersCopiesAndExpressions() throws {
        let file = try Self.parse(
            """
            routes:
              - name: a
                rules:
                  - matches:
                      - path: { regex: "/item/[0-9]+" }
                        headers: { X-Tier: { regex: gold|silver }, X-A: { exact: "1" } }
                        queryParams: { v: { regex: "[0-9]" } }
                    filters:
                      mirrors: [copy, { backend: copy, share: 5% }]
                    backends: [app]
                  - filters:
                      respond: { status: 503, contentType: application/json, body: '{"maintenance":true}' }
                      responseHeaders: { set: { Retry-After: 60 } }
            backends:
              app: { endpoints: ["10.0.0.1:80"] }
              copy: { endpoints: ["10.0.0.2:80"] }
            """
        )
        let match = try #require(file.rules.first?.matches.first)
        #expect(match.path == .regularExpression(try RegularExpression("/item/[0-9]+")))
        #expect(match.headers.first == .init("X-Tier", .regularExpression(try RegularExpression("gold|silver"))))
        #expect(match.headers.last == .init("X-A", "1"))
        #expect(match.query == [.init("v", .regularExpression(try RegularExpression("[0-9]")))])
        #expect(
            file.rules.first?.filters.mirrors == [.init(backend: "copy"), .init(backend: "copy", share: 50_000)]
        )
        #expect(
            file.rules.last?.filters.response
                == .init(status: 503, contentType: "application/json", body: "{\"maintenance\":true}")
        )
    }

    @Test func readsListenersWithCertificates() throws {
        let file = try Self.parse(
            """
            listeners:
              - { name: web, port: 80 }
              - name: secure
                address: "::"
                port: 443
                hostname: "*.Example.org"
                tls:
                  minimumVersion: "1.3"
                  certificates:
                    - { certificateFile: site.crt, keyFile: /keys/site.key }
            routes:
              - name: a
                listeners: [secure]
                rules: [{ filters: { respond: {} } }]
            """,
            files: [
                "/etc/gateway/site.crt": "-----BEGIN CERTIFICATE-----\n",
                "/keys/site.key": "-----BEGIN PRIVATE KEY-----\n",
            ]
        )
        #expect(file.listeners.first == .init(name: "web", address: "0.0.0.0", port: 80))
        let secure = try #require(file.listeners.last)
        #expect(secure.address == "::" && secure.port == 443 && secure.hostname == "*.example.org")
        #expect(secure.tls?.minimumVersion == .v13)
        #expect(secure.tls?.certificates.first?.name == "site.crt")
        #expect(secure.tls?.certificates.first?.key == Array("-----BEGIN PRIVATE KEY-----\n".utf8))
        #expect(file.rules.first?.listeners == ["secure"])
        #expect(file.files == ["/etc/gateway/site.crt", "/keys/site.key"])
        #expect(file.table(addresses: [:]).listeners == file.listeners)
    }

    @Test func readsSettings() throws {
        let file = try Self.parse(
            """
            timeouts: { connect: 1s, requestHead: 2s, clientIdle: 3s, progress: 4s, tunnelIdle: 5s, upstreamIdle: 6s, hold: 7s }
            limits: { clientsPerWorker: 100, heldPerWorker: 10, idlePerEndpoint: 5, bufferedPerWorker: 64Mi,
              body: 10Mi, bytesPerSecond: 1Ki }
            forwarding: both
            accessLog: { path: /var/log/gateway.log, format: combined, bufferSize: 2Mi }
            routes: []
            """
        )
        var settings = DataPathConfiguration()
        settings.connectTimeout = 1000
        settings.headTimeout = 2000
        settings.idleTimeout = 3000
        settings.progressTimeout = 4000
        settings.tunnelIdleTimeout = 5000
        settings.upstreamIdleTimeout = 6000
        settings.holdTimeout = 7000
        settings.maximumClients = 100
        settings.maximumHeld = 10
        settings.maximumIdlePerEndpoint = 5
        settings.maximumBuffered = 64 << 20
        settings.maximumBody = 10 << 20
        settings.minimumRate = 1024
        settings.forwarding = .both
        #expect(file.settings == settings)
        #expect(file.accessLog == .init(path: "/var/log/gateway.log", format: .combined, bufferSize: 2 << 20))
    }

    @Test func readsBackendPoliciesAndRetries() throws {
        let file = try Self.parse(
            """
            routes:
              - name: a
                rules:
                  - backends: [app]
                    retry:
                      attempts: 3
                      on: [connectFailure, statusCodes, perTryTimeout]
                      codes: [502, 503]
                      perTryTimeout: 300ms
                      backoff: 10ms
                      maximumBackoff: 1s
                      nonIdempotent: true
                      maximumReplay: 128Ki
            backends:
              app:
                endpoints: [{ address: 10.0.0.1, port: 80, weight: 5 }]
                loadBalancing: { consistentHash: { header: X-User } }
                healthCheck:
                  { path: /ready?full=1, host: app, port: 81, interval: 2s, timeout: 500ms, healthyThreshold: 1,
                    unhealthyThreshold: 2, expectedStatuses: [200, 300-399] }
                outlierDetection:
                  { consecutive5xx: 7, consecutiveGatewayFailures: 3, interval: 1s, successRateMinimumRequests: 10,
                    successRateMinimumEndpoints: 3, successRateFactor: 1.5, baseEjectionTime: 10s,
                    maximumEjectionTime: 1m, maximumEjected: 30%, dryRun: true }
                slowStart: { window: 20s, minimumWeight: 5% }
                connections: { maximumPerEndpoint: 10, maximumPending: 20, connectTimeout: 250ms, idleTimeout: 9s }
                retryBudget: { share: 10%, minimumPerSecond: 3, dryRun: true }
                panicThreshold: 40%
              tcp:
                endpoints: ["10.0.0.1:80"]
                loadBalancing: roundRobin
                healthCheck: { type: TCP }
            """
        )
        #expect(
            file.rules.first?.retry
                == RetryPolicy(
                    retries: 3,
                    conditions: [.connectFailure, .statusCodes, .perTryTimeout],
                    statusCodes: [502, 503],
                    perTryTimeout: 300,
                    baseInterval: 10,
                    maximumInterval: 1000,
                    includesNonIdempotent: true,
                    maximumReplay: 131_072
                )
        )
        let backends = file.table(addresses: [:]).backends
        #expect(backends.first?.endpoints == [.init(address: "10.0.0.1", port: 80, weight: 5)])
        #expect(backends.first?.policy == Self.policy)
        #expect(backends.last?.policy.loadBalancing == .roundRobin)
        #expect(backends.last?.policy.healthCheck == .init(path: nil))
    }

    private static let policy = BackendPolicy(
        loadBalancing: .consistentHash(.header("X-User")),
        healthCheck: .init(
            path: "/ready?full=1",
            host: "app",
            port: 81,
            interval: 2000,
            timeout: 500,
            healthyThreshold: 1,
            unhealthyThreshold: 2,
            expectedStatuses: [200...200, 300...399]
        ),
        outlierDetection: .init(
            consecutive5xx: 7,
            consecutiveGatewayFailures: 3,
            interval: 1000,
            successRateMinimumRequests: 10,
            successRateMinimumEndpoints: 3,
            successRateStandardDeviationFactor: 1500,
            baseEjectionTime: 10_000,
            maximumEjectionTime: 60_000,
            maximumEjectedPercent: 30,
            dryRun: true
        ),
        slowStart: .init(window: 20_000, minimumWeightPercent: 5),
        connections: .init(maximumPerEndpoint: 10, maximumPending: 20, connectTimeout: 250, idleTimeout: 9000),
        retryBudget: .init(percent: 10, minimumPerSecond: 3, dryRun: true),
        panicThreshold: 40
    )

    // MARK: - Traffic policies

    @Test func readsTrafficPolicies() throws {
        let file = try Self.parse(
            """
            routes:
              - name: pay
                rules: [{ backends: [app], policies: [per-user, many, quiet, breaker, shed] }]
            backends:
              app: { endpoints: ["10.0.0.1:80"] }
            policies:
              per-user:
                rateLimit: { rate: 100/m, burst: 5, key: { header: X-User }, maximumKeys: 1000, maximumWait: 500ms }
                fallback: { status: 429, contentType: application/json, body: "{}" }
              many: { concurrency: { maximum: 10, key: clientAddress }, dryRun: true }
              quiet: { related: { route: pay, rate: 50/s } }
              breaker: { circuitBreaker: { slowRatio: 50%, slowThreshold: 200ms, window: 5s, openTime: 1s, rampTime: 3s } }
              shed:
                loadShedding:
                  classes:
                    - { name: gold, reservedShare: 20%, selectors: [{ header: X-Tier, value: gold }, { route: pay }] }
                    - { name: rest }
                  defaultClass: rest
                  initialCap: 32
                  deadline: 250ms
                  fairnessKey: { cookie: session }
            """
        )
        #expect(
            file.rules.first?.policies == [
                TrafficPolicy(
                    name: "per-user",
                    .rateLimit(
                        RateLimit(
                            requests: 100,
                            per: 60_000,
                            burst: 5,
                            key: .header("X-User"),
                            maximumKeys: 1000,
                            maximumWait: 500
                        )
                    ),
                    fallback: FallbackResponse(status: 429, contentType: "application/json", body: "{}")
                ),
                TrafficPolicy(
                    name: "many",
                    .concurrency(ConcurrencyLimit(maximum: 10, key: .clientAddress)),
                    dryRun: true
                ),
                TrafficPolicy(name: "quiet", .related(RelatedLimit(route: "pay", requests: 50))),
                TrafficPolicy(
                    name: "breaker",
                    .circuitBreaker(
                        CircuitBreaker(
                            window: 5000,
                            slowRatio: 0.5,
                            slowThreshold: 200,
                            errorRatio: nil,
                            openTime: 1000,
                            rampTime: 3000
                        )
                    )
                ),
                TrafficPolicy(
                    name: "shed",
                    .loadShedding(
                        LoadShedding(
                            classes: [
                                PriorityClass(
                                    name: "gold",
                                    reservedShare: 0.2,
                                    selectors: [.header(name: "X-Tier", value: "gold"), .route("pay")]
                                ), PriorityClass(name: "rest"),
                            ],
                            defaultClass: "rest",
                            initialCap: 32,
                            deadline: 250,
                            fairnessKey: .cookie("session")
                        )
                    )
                ),
            ]
        )
    }

    // MARK: - Mistakes

    private static func policy(_ text: String) -> String { "routes: []\npolicies:\n  p: \(text)\n" }
    private static func backend(_ text: String) -> String {
        "routes: []\nbackends:\n  b: { endpoints: [], \(text) }\n"
    }

    @Test(arguments: [
        (policy("{}"), ":3:6: policies.p: must have exactly one of rateLimit, concurrency, related"),
        (policy("{ rateLimit: { rate: 1/s }, concurrency: { maximum: 1 } }"), "policies.p: must have only one of"),
        (
            policy("{ ratelimit: {} }"),
            ":3:8: policies.p.ratelimit: there is no such field; did you mean \"rateLimit\"?"
        ),
        (policy("{ rateLimit: {} }"), "policies.p.rateLimit: the field rate is missing"),
        (policy("{ rateLimit: { rate: 5 } }"), "rateLimit.rate: \"5\" is not a rate of whole numbers like 100/s"),
        (
            policy("{ rateLimit: { rate: 5/s, key: user } }"),
            "key: \"user\" is unknown; use clientAddress, host, path or none"
        ),
        (policy("{ rateLimit: { rate: 5/s, key: { header: a b } } }"), "key.header: \"a b\" is not a name"),
        (
            policy("{ rateLimit: { rate: 5/s, key: host, warmUp: {} } }"),
            "rateLimit.warmUp: warmUp: works only without a key"
        ),
        (policy("{ concurrency: { maximum: 0 } }"), "concurrency.maximum: must be between 1 and 1000000, not 0"),
        (policy("{ circuitBreaker: { errorRatio: 150% } }"), "errorRatio: must be between 0.0% and 100.0%, not 150.0%"),
        (policy("{ loadShedding: { defaultClass: x } }"), "loadShedding.defaultClass: defaultClass: must be one of"),
        (
            policy("{ loadShedding: { classes: [{ name: a, reservedShare: 60% }, { name: b, reservedShare: 50% }] } }"),
            "loadShedding.classes: classes.reservedShare: must be at most 1 together"
        ),
        (
            "routes: [{ name: a, rules: [{ filters: { respond: {} }, policies: [pp] }] }]\npolicies: { p: { concurrency: { maximum: 1 } } }",
            "policies[0]: there is no policy \"pp\"; did you mean \"p\"?"
        ),
        (backend("loadBalancing: random"), "loadBalancing: \"random\" is unknown; use leastRequests or roundRobin"),
        (
            backend("loadBalancing: { consistentHash: { header: X-A, cookie: b } }"),
            "must have only one of header or cookie"
        ),
        (
            backend("healthCheck: { type: TCP, path: / }"),
            "healthCheck.path: a check of type TCP only opens a connection"
        ),
        (backend("healthCheck: { path: ready }"), "healthCheck.path: \"ready\" is not a path"),
        (backend("healthCheck: { expectedStatuses: [2xx] }"), "expectedStatuses[0]: \"2xx\" is not a status like 200"),
        (backend("slowStart: { minimumWeight: 0% }"), "minimumWeight: must be between 1.0% and 100.0%, not 0.0%"),
        (backend("outlierDetection: { consecutive5x: 1 }"), "did you mean \"consecutive5xx\"?"),
        (
            "routes: [{ name: a, rules: [{ filters: { respond: { status: 99 } } }] }]",
            "respond.status: must be between 200 and 599, not 99"
        ),
        (
            "routes: [{ name: a, rules: [{ filters: { respond: {}, redirect: {} } }] }]",
            "respond: a rule answers once; leave out redirect or respond"
        ),
        (
            "routes: [{ name: a, rules: [{ filters: { respond: {}, mirrors: [] } }] }]",
            "filters.mirrors: a rule that answers itself sends nothing on"
        ),
        (
            "routes: [{ name: a, rules: [{ matches: [{ path: { regex: \"/(a\" } }], filters: { respond: {} } }] }]",
            "path.regex: \"/(a\" cannot be used as a regular expression: the ( has no )"
        ),
        (
            "routes: [{ name: a, rules: [{ filters: { respond: {} }, retry: { on: [always] } }] }]",
            "retry.on[0]: \"always\" is unknown; use connectFailure, reset, statusCodes or perTryTimeout"
        ),
        (
            "routes: [{ name: a, rules: [{ filters: { respond: {} }, retry: { on: [reset], codes: [503] } }] }]",
            "retry.codes: has no effect without statusCodes in the field on"
        ),
        (
            "listeners: [{ name: a, port: 80 }, { name: b, port: 80 }]\nroutes: []",
            "listeners[1]: another listener has the same port and hostname"
        ),
        (
            "listeners: [{ name: a, port: 80, tls: { certificates: [] } }]\nroutes: []",
            "tls.certificates: must have at least one certificate"
        ),
        (
            "listeners: [{ name: a, port: 80, tls: { certificates: [{ certificateFile: no.crt, keyFile: bad.key }] } }]\nroutes: []",
            "certificates[0].certificateFile: cannot read the file /etc/gateway/no.crt"
        ),
        (
            "listeners: [{ name: a, port: 80, tls: { certificates: [{ certificateFile: no.crt, keyFile: bad.key }] } }]\nroutes: []",
            "certificates[0].keyFile: the file /etc/gateway/bad.key holds no PRIVATE KEY in PEM"
        ),
        ("accessLog: { format: json }\nroutes: []", "accessLog: the field path is missing"),
        ("forwarding: all\nroutes: []", "forwarding: \"all\" is unknown; use xForwarded, forwarded, both or none"),
        ("limits: { body: 1KB }\nroutes: []", "limits.body: \"1KB\" is not a size like 64Ki"),
        ("timeouts: { conect: 1s }\nroutes: []", "timeouts.conect: there is no such field; did you mean \"connect\"?"),
    ])
    func saysWhatIsWrong(_ row: (text: String, message: String)) throws {
        let error = #expect(throws: ConfigurationError.self) {
            try Self.parse(row.text, files: ["/etc/gateway/bad.key": "nonsense"])
        }
        #expect(error?.description.contains(row.message) == true, "\(error?.description ?? "")")
    }
}
