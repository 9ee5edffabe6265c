import KubernetesModel
import Testing

@testable import Gateway

struct GatewayCompilerTests {
    static let gatewayClass: JSON = [
        "metadata": ["name": "sampan"], "spec": ["controllerName": "sampan.dev/gateway"],
    ]

    static func gateway(_ listeners: [JSON] = [["name": "http", "port": 80, "protocol": "HTTP"]]) -> JSON {
        [
            "metadata": ["name": "edge", "namespace": "default", "generation": 3],
            "spec": ["gatewayClassName": "sampan", "listeners": .array(listeners)],
        ]
    }

    static func route(
        _ name: String = "shop",
        hostnames: [JSON] = [],
        rules: [JSON],
        namespace: String = "default"
    ) -> JSON {
        [
            "metadata": ["name": .string(name), "namespace": .string(namespace), "generation": 2],
            "spec": [
                "parentRefs": [["name": "edge", "namespace": "default"]], "hostnames": .array(hostnames),
                "rules": .array(rules),
            ],
        ]
    }

    static func service(_ name: String) -> JSON {
        [
            "metadata": ["name": .string(name), "namespace": "default"],
            "spec": ["ports": [["name": "web", "port": 80], ["name": "admin", "port": 81]]],
        ]
    }

    static func slice(_ service: String, _ endpoints: [(address: String, port: Int, isReady: Bool)]) -> JSON {
        [
            "metadata": [
                "name": .string("\(service)-1"), "namespace": "default",
                "labels": ["kubernetes.io/service-name": .string(service)],
            ],
            "ports": [["name": "web", "port": JSON(endpoints.first?.port ?? 80)], ["name": "admin", "port": 9]],
            "endpoints": .array(
                endpoints.map {
                    [
                        "addresses": [.string($0.address)], "conditions": ["ready": .bool($0.isReady)],
                        "targetRef": ["kind": "Pod", "uid": .string("uid-\($0.address)")],
                    ]
                }
            ),
        ]
    }

    static func objects(gateway: JSON = gateway(), routes: [JSON], slices: [JSON] = []) -> GatewayObjects {
        var objects = GatewayObjects()
        objects.classes = [gatewayClass]
        objects.gateways = [gateway]
        objects.routes = routes
        objects.services = [service("web")]
        objects.endpointSlices = slices
        return objects
    }

    private static func compile(_ objects: GatewayObjects) -> GatewayCompiler.Result {
        GatewayCompiler(addresses: ["192.0.2.1"], now: "2026-01-01T00:00:00Z").compile(objects)
    }

    private static func condition(_ result: GatewayCompiler.Result, _ type: String) -> JSON? {
        let status = result.statuses.first { $0.resource == .httpRoutes }?.status
        return status?["parents"]?.array?.first?["conditions"]?.array?.first { $0["type"]?.string == type }
    }

    @Test func compilesRulesBackendsAndReadyEndpoints() throws {
        let rule: JSON = [
            "matches": [
                [
                    "path": ["type": "PathPrefix", "value": "/api"], "method": "GET",
                    "headers": [["name": "X-V", "value": "2"]],
                ]
            ],
            "backendRefs": [["name": "web", "port": 80, "weight": 3]],
            "timeouts": ["request": "1m30s", "backendRequest": "500ms"],
        ]
        let slice = Self.slice("web", [("10.0.0.2", 8080, true), ("10.0.0.1", 8080, true), ("10.0.0.3", 8080, false)])
        let result = Self.compile(
            Self.objects(routes: [Self.route(hostnames: ["A.test"], rules: [rule])], slices: [slice])
        )
        let compiled = try #require(result.table.rules.first)
        #expect(compiled.hosts == ["a.test"])
        #expect(compiled.matches == [.init(path: .prefix("/api"), method: "GET", headers: [.init("X-V", "2")])])
        #expect(compiled.targets == [.init(backend: "default/web:80", weight: 3)])
        #expect(compiled.timeouts == .init(request: 90_000, backendRequest: 500))
        let endpoints = result.table.backends.first?.endpoints
        #expect(endpoints?.map(\.address) == ["10.0.0.1", "10.0.0.2"])
        #expect(endpoints?.first == .init(address: "10.0.0.1", port: 8080, uid: "uid-10.0.0.1"))
        #expect(Self.condition(result, "Accepted")?["status"] == "True")
        #expect(Self.condition(result, "ResolvedRefs")?["status"] == "True")
        #expect(Self.condition(result, "Accepted")?["observedGeneration"] == 2)
    }

    @Test func saysWhatTheGatewayServes() throws {
        let rule: JSON = ["backendRefs": [["name": "web", "port": 80]]]
        let result = Self.compile(Self.objects(routes: [Self.route(rules: [rule])]))
        let status = try #require(result.statuses.first { $0.resource == .gateways }).status
        #expect(status["addresses"] == [["type": "IPAddress", "value": "192.0.2.1"]])
        #expect(status["listeners"]?.array?.first?["attachedRoutes"] == 1)
        #expect(status["conditions"]?.array?.map { $0["type"]?.string } == ["Accepted", "Programmed"])
        #expect(result.statuses.contains { $0.resource == .gatewayClasses })
    }

    @Test(
        arguments: [
            (["name": "nobody", "port": 80] as JSON, "BackendNotFound", "no service default/nobody"),
            (["name": "web", "port": 99], "BackendNotFound", "no port 99; it has 80, 81"),
            (["name": "web", "port": 80, "namespace": "other"], "RefNotPermitted", "another namespace"),
            (["name": "web", "kind": "Bucket", "group": "x"], "InvalidKind", "only services"),
        ] as [(JSON, String, String)]
    )
    func explainsWrongReferences(_ row: (reference: JSON, reason: String, message: String)) {
        let result = Self.compile(Self.objects(routes: [Self.route(rules: [["backendRefs": [row.reference]]])]))
        let condition = Self.condition(result, "ResolvedRefs")
        #expect(condition?["status"] == "False")
        #expect(condition?["reason"]?.string == row.reason)
        #expect(condition?["message"]?.string?.contains(row.message) == true)
        #expect(result.table.rules.first?.targets == [.init(backend: nil)])
        #expect(Self.condition(result, "Accepted")?["status"] == "True")
    }

    @Test(
        arguments: [
            (
                ["matches": [["path": ["type": "RegularExpression", "value": "/(a"]]]] as JSON,
                "matches[0].path.value cannot be used as a regular expression: the ( has no )"
            ),
            (["matches": [["path": ["type": "Glob", "value": "/a"]]]], "matches[0].path.type"),
            (["matches": [["headers": [["type": "Suffix", "name": "a", "value": "b"]]]]], "headers[0].type"),
            (["filters": [["type": "ExtensionRef"]]], "filters[0].type"),
            (["timeouts": ["request": "ten"]], "10s, 500ms"),
            (
                [
                    "filters": [
                        [
                            "type": "RequestHeaderModifier",
                            "requestHeaderModifier": ["set": [["name": "a b", "value": "c"]]],
                        ]
                    ]
                ], "not a valid header name"
            ),
        ] as [(JSON, String)]
    )
    func refusesWhatItCannotDo(_ row: (rule: JSON, message: String)) {
        let result = Self.compile(Self.objects(routes: [Self.route(rules: [row.rule])]))
        let condition = Self.condition(result, "Accepted")
        #expect(condition?["reason"] == "UnsupportedValue")
        #expect(condition?["message"]?.string?.contains(row.message) == true)
        #expect(result.table.rules.isEmpty)
    }

    @Test func compilesExpressionsAndMirrors() throws {
        let rule: JSON = [
            "matches": [
                [
                    "path": ["type": "RegularExpression", "value": "/item/[0-9]+"],
                    "headers": [
                        ["type": "RegularExpression", "name": "X-Tier", "value": "gold|silver"],
                        ["name": "x-tier", "value": "ignored"],
                    ],
                    "queryParams": [["type": "RegularExpression", "name": "v", "value": "[0-9]"]],
                ]
            ],
            "filters": [
                [
                    "type": "RequestMirror",
                    "requestMirror": ["backendRef": ["name": "web", "port": 81], "percent": 20],
                ],
                [
                    "type": "RequestMirror",
                    "requestMirror": [
                        "backendRef": ["name": "web", "port": 80], "fraction": ["numerator": 1, "denominator": 8],
                    ],
                ],
            ],
            "backendRefs": [["name": "web", "port": 80]],
        ]
        let result = Self.compile(Self.objects(routes: [Self.route(rules: [rule])]))
        let compiled = try #require(result.table.rules.first)
        #expect(
            compiled.matches == [
                .init(
                    path: .regularExpression(try RegularExpression("/item/[0-9]+")),
                    headers: [.init("X-Tier", .regularExpression(try RegularExpression("gold|silver")))],
                    query: [.init("v", .regularExpression(try RegularExpression("[0-9]")))]
                )
            ]
        )
        #expect(
            compiled.filters.mirrors == [
                .init(backend: "default/web:81", share: 200_000), .init(backend: "default/web:80", share: 125_000),
            ]
        )
        #expect(Set(result.table.backends.map(\.name)) == ["default/web:80", "default/web:81"])
        #expect(Self.condition(result, "ResolvedRefs")?["status"] == "True")
    }

    @Test func compilesWhichOriginsMayReadAnswers() throws {
        let cors: JSON = ["allowOrigins": ["https://a.test"], "allowCredentials": true, "allowMethods": ["PUT"]]
        let rule: JSON = [
            "filters": [["type": "CORS", "cors": cors]], "backendRefs": [["name": "web", "port": 80]],
        ]
        let result = Self.compile(Self.objects(routes: [Self.route(rules: [rule])]))
        let expected = RouteTable.CrossOrigin(origins: ["https://a.test"], methods: ["PUT"], allowsCredentials: true)
        #expect(result.table.rules.first?.filters.crossOrigin == expected)
    }

    @Test func refersToOtherNamespacesWithAGrant() {
        let rule: JSON = ["backendRefs": [["name": "web", "namespace": "default", "port": 80]]]
        let gateway = Self.gateway([
            ["name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": ["namespaces": ["from": "All"]]]
        ])
        var objects = Self.objects(gateway: gateway, routes: [Self.route(rules: [rule], namespace: "other")])
        #expect(Self.compile(objects).table.rules.first?.targets == [.init(backend: nil)])
        objects.referenceGrants = [
            [
                "metadata": ["name": "web", "namespace": "default"],
                "spec": [
                    "from": [
                        ["group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "other"]
                    ], "to": [["group": "", "kind": "Service", "name": "web"]],
                ],
            ]
        ]
        let result = Self.compile(objects)
        #expect(result.table.rules.first?.targets == [.init(backend: "default/web:80")])
        #expect(Self.condition(result, "ResolvedRefs")?["status"] == "True")
    }

    @Test(
        arguments: [
            (["*.b.test"] as [JSON], "", ["*.b.test"], "Accepted"), ([], "a.test", ["a.test"], "Accepted"),
            (["x.a.test", "b.test"], "*.a.test", ["x.a.test"], "Accepted"),
            (["*.test"], "a.test", ["a.test"], "Accepted"),
            (["b.test"], "a.test", [], "NoMatchingListenerHostname"),
            (["a.test"], "*.a.test", [], "NoMatchingListenerHostname"),
        ] as [([JSON], String, [String], String)]
    )
    func intersectsHostnames(_ row: (route: [JSON], listener: String, hosts: [String], reason: String)) {
        let listener: JSON = ["name": "http", "port": 80, "protocol": "HTTP", "hostname": .string(row.listener)]
        let objects = Self.objects(
            gateway: Self.gateway([listener]),
            routes: [Self.route(hostnames: row.route, rules: [[:]])]
        )
        let result = Self.compile(objects)
        #expect((result.table.rules.first?.hosts ?? []) == row.hosts)
        #expect(Self.condition(result, "Accepted")?["reason"]?.string == row.reason)
    }

    @Test func keepsOtherNamespacesOutUnlessAllowed() {
        let route = Self.route(rules: [[:]], namespace: "other")
        #expect(
            Self.condition(Self.compile(Self.objects(routes: [route])), "Accepted")?["reason"]
                == "NotAllowedByListeners"
        )
        var listener: JSON = ["name": "http", "port": 80, "protocol": "HTTP"]
        listener["allowedRoutes", "namespaces"] = ["from": "All"]
        let open = Self.objects(gateway: Self.gateway([listener]), routes: [route])
        #expect(Self.condition(Self.compile(open), "Accepted")?["reason"] == "Accepted")
        listener["allowedRoutes", "namespaces"] = ["from": "Selector", "selector": ["matchLabels": ["edge": "yes"]]]
        var selected = Self.objects(gateway: Self.gateway([listener]), routes: [route])
        #expect(Self.condition(Self.compile(selected), "Accepted")?["reason"] == "NotAllowedByListeners")
        selected.namespaces = [["metadata": ["name": "other", "labels": ["edge": "yes"]]]]
        #expect(Self.condition(Self.compile(selected), "Accepted")?["reason"] == "Accepted")
    }

    @Test func leavesOtherClassesAlone() {
        var objects = Self.objects(routes: [Self.route(rules: [[:]])])
        objects.classes = [["metadata": ["name": "sampan"], "spec": ["controllerName": "example.test/other"]]]
        let result = Self.compile(objects)
        #expect(result.table.rules.isEmpty)
        #expect(result.statuses.isEmpty)
    }

    @Test(
        arguments: [
            ("10s", 10_000), ("1m30s", 90_000), ("500ms", 500), ("0s", 0), ("1h", 3_600_000), ("", nil), ("10", nil),
            ("s", nil),
            ("-1s", nil), ("1.5s", nil), ("1000000s", nil),
        ] as [(String, Int?)]
    )
    func readsDurations(_ row: (text: String, milliseconds: Int?)) {
        #expect(RouteRules.milliseconds(row.text) == row.milliseconds)
    }

    @Test func survivesTheSnapshotFile() throws {
        let objects = Self.objects(
            routes: [Self.route(rules: [[:]])],
            slices: [Self.slice("web", [("1.2.3.4", 80, true)])]
        )
        #expect(GatewayObjects(try JSON(parsing: objects.json.encoded())) == objects)
    }
}
