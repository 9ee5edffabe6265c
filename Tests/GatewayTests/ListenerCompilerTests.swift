import Foundation
import KubernetesModel
import Testing

@testable import Gateway

/// Listeners of Gateways with their certificates, ports and statuses.
struct ListenerCompilerTests {
    private static func listener(
        _ name: String,
        port: Int = 443,
        proto: String = "HTTPS",
        hostname: String? = nil,
        secret: JSON? = ["name": "web-tls"],
        mode: String? = nil
    ) -> JSON {
        var json: JSON = ["name": .string(name), "port": JSON(port), "protocol": .string(proto)]
        json["hostname"] = hostname.map(JSON.string)
        guard proto == "HTTPS" else { return json }
        var tls: JSON = [:]
        tls["mode"] = mode.map(JSON.string)
        tls["certificateRefs"] = secret.map { .array([$0]) }
        json["tls"] = tls
        return json
    }

    private static func secret(
        _ certificate: RouteTable.Certificate,
        name: String = "web-tls",
        namespace: String = "default"
    ) -> JSON {
        [
            "metadata": ["name": .string(name), "namespace": .string(namespace)], "type": "kubernetes.io/tls",
            "data": [
                "tls.crt": .string(Data(certificate.chain).base64EncodedString()),
                "tls.key": .string(Data(certificate.key).base64EncodedString()),
            ],
        ]
    }

    private static func compile(
        _ listeners: [JSON],
        secrets: [JSON] = [],
        grants: [JSON] = [],
        ports: ListenerBuilder.Ports = .named(unavailable: [])
    ) -> GatewayCompiler.Result {
        let rule: JSON = ["backendRefs": [["name": "web", "port": 80]]]
        var objects = GatewayCompilerTests.objects(
            gateway: GatewayCompilerTests.gateway(listeners),
            routes: [GatewayCompilerTests.route(rules: [rule])]
        )
        objects.secrets = secrets
        objects.referenceGrants = grants
        let compiler = GatewayCompiler(addresses: ["192.0.2.1"], now: "2026-01-01T00:00:00Z", ports: ports)
        return compiler.compile(objects)
    }

    /// `STATUS REASON` of a condition of the n-th listener.
    private static func condition(_ result: GatewayCompiler.Result, _ listener: Int, _ type: String) -> String {
        let status = result.statuses.first { $0.resource == .gateways }?.status
        let conditions = status?["listeners"]?.array?[listener]["conditions"]?.array ?? []
        let condition = conditions.first { $0["type"]?.string == type }
        return "\(condition?["status"]?.string ?? "none") \(condition?["reason"]?.string ?? "")"
    }

    @Test func aListenerWithACertificateIsServed() async throws {
        let certificate = try await TestCertificates.usual()
        let result = Self.compile(
            [Self.listener("web", hostname: "Shop.test")],
            secrets: [Self.secret(certificate)]
        )
        let listener = try #require(result.table.listeners.first)
        #expect(listener.name == "https://shop.test:443")
        #expect(listener.port == 443)
        #expect(listener.tls?.certificates.map(\.name) == ["default/web-tls"])
        #expect(listener.tls?.certificates.first?.chain == certificate.chain)
        #expect(result.table.rules.first?.listeners == [listener.name])
        #expect(result.table.rules.first?.hosts == ["shop.test"])
        for type in ["Accepted", "Programmed", "ResolvedRefs"] {
            #expect(Self.condition(result, 0, type) == "True \(type)")
        }
        #expect(Self.condition(result, 0, "Conflicted") == "False NoConflicts")
    }

    @Test func theKeyIsNeverShown() async throws {
        let certificate = try await TestCertificates.usual()
        let result = Self.compile([Self.listener("web")], secrets: [Self.secret(certificate)])
        var dumped = ""
        dump(result.table, to: &dumped)
        for text in ["\(result.table)", dumped, result.table.json.encodedString] {
            #expect(text.contains("default/web-tls"))
            #expect(!text.contains(String(decoding: certificate.key, as: UTF8.self)))
            #expect(!text.contains("\(certificate.key.prefix(8).map { $0 })".dropLast()))
        }
    }

    @Test(
        arguments: [
            (["name": "missing"], "InvalidCertificateRef"), (nil, "InvalidCertificateRef"),
            (["name": "web-tls", "kind": "ConfigMap"], "InvalidCertificateRef"),
            (["name": "broken"], "InvalidCertificateRef"), (["name": "empty"], "InvalidCertificateRef"),
            (["name": "web-tls", "namespace": "other"], "RefNotPermitted"),
        ] as [(JSON?, String)]
    )
    func aReferenceThatIsWrongIsSaid(reference: JSON?, reason: String) async throws {
        let certificate = try await TestCertificates.usual()
        var broken = certificate
        broken.key = Array("no key".utf8)
        let empty: JSON = ["metadata": ["name": "empty", "namespace": "default"], "type": "kubernetes.io/tls"]
        let secrets = [
            Self.secret(certificate), Self.secret(certificate, namespace: "other"),
            Self.secret(broken, name: "broken"), empty,
        ]
        let result = Self.compile([Self.listener("web", secret: reference)], secrets: secrets)
        #expect(Self.condition(result, 0, "ResolvedRefs") == "False \(reason)")
        #expect(Self.condition(result, 0, "Programmed") == "False Invalid")
        #expect(Self.condition(result, 0, "Accepted") == "True Accepted")
        // Its name must not fall to another listener.
        #expect(result.table.listeners.first?.tls?.certificates == [])
    }

    @Test func aGrantLetsACertificateOfAnotherNamespaceIn() async throws {
        let secret = Self.secret(try await TestCertificates.usual(), namespace: "other")
        let listener = Self.listener("web", secret: ["name": "web-tls", "namespace": "other"])
        func grant(from: String, name: String?) -> JSON {
            var to: JSON = ["group": "", "kind": "Secret"]
            to["name"] = name.map(JSON.string)
            return [
                "metadata": ["name": "grant", "namespace": "other"],
                "spec": [
                    "from": [
                        ["group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": .string(from)]
                    ],
                    "to": [to],
                ],
            ]
        }
        for (grant, expected) in [
            (grant(from: "default", name: nil), "True ResolvedRefs"),
            (grant(from: "default", name: "web-tls"), "True ResolvedRefs"),
            (grant(from: "default", name: "another"), "False RefNotPermitted"),
            (grant(from: "stranger", name: nil), "False RefNotPermitted"),
        ] {
            let result = Self.compile([listener], secrets: [secret], grants: [grant])
            #expect(Self.condition(result, 0, "ResolvedRefs") == expected)
        }
    }

    @Test func oneProtocolHasAPort() async throws {
        let secrets = [Self.secret(try await TestCertificates.usual())]
        let listeners = [
            Self.listener("plain", port: 8080, proto: "HTTP"), Self.listener("secure", port: 8080, hostname: "a.test"),
        ]
        let result = Self.compile(listeners, secrets: secrets)
        #expect(result.table.listeners.map(\.name) == ["http://*:8080"])
        #expect(Self.condition(result, 0, "Conflicted") == "False NoConflicts")
        #expect(Self.condition(result, 1, "Conflicted") == "True ProtocolConflict")
        #expect(Self.condition(result, 1, "Programmed") == "False Invalid")
    }

    @Test(arguments: [("TCP", nil, "UnsupportedProtocol"), ("HTTPS", "Passthrough", "UnsupportedValue")])
    func whatIsNotSupportedIsSaid(proto: String, mode: String?, reason: String) {
        let result = Self.compile([Self.listener("web", proto: proto, mode: mode)])
        #expect(Self.condition(result, 0, "Accepted") == "False \(reason)")
        #expect(result.table.listeners.isEmpty)
    }

    @Test func aPortThatCannotBeOpenedIsSaid() {
        let listeners = [
            Self.listener("a", port: 8080, proto: "HTTP"), Self.listener("b", port: 8081, proto: "HTTP"),
        ]
        let result = Self.compile(listeners, ports: .named(unavailable: [8081]))
        #expect(Self.condition(result, 0, "Accepted") == "True Accepted")
        #expect(Self.condition(result, 1, "Accepted") == "False PortUnavailable")
    }

    @Test func equalListenersOfSeveralGatewaysAreOne() async throws {
        let (first, second) = (try await TestCertificates.make(["a"]), try await TestCertificates.make(["b"]))
        var objects = GatewayObjects()
        objects.classes = [GatewayCompilerTests.gatewayClass]
        objects.gateways = ["one", "two"].map { name in
            [
                "metadata": ["name": .string(name), "namespace": "default"],
                "spec": [
                    "gatewayClassName": "sampan",
                    "listeners": [
                        Self.listener("http", port: 80, proto: "HTTP"),
                        Self.listener("https", secret: ["name": .string(name)]),
                    ],
                ],
            ]
        }
        objects.secrets = [Self.secret(first, name: "one"), Self.secret(second, name: "two")]
        let table = GatewayCompiler(addresses: [], now: "", ports: .own).compile(objects).table
        #expect(table.listeners.map(\.name) == ["http://*", "https://*"])
        #expect(table.listeners.map(\.port) == [0, 0])
        #expect(table.listeners[1].tls?.certificates.map(\.name) == ["default/one", "default/two"])
    }
}
