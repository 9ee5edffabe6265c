import Foundation
import KubernetesClient
import KubernetesModel
import NIOCore
import Testing

@testable import NodeAgent

@Suite struct VariableExpansionTests {
    @Test(arguments: [
        ("plain", "plain"), ("$(A)", "1"), ("x$(A)y$(B)", "x1y2"), ("$$(A)", "$(A)"), ("$$$(A)", "$1"),
        ("$(C)", "$(C)"), ("$(A", "$(A"), ("a$", "a$"), ("$x", "$x"), ("$()", "$()"),
    ])
    func expands(_ text: String, _ expected: String) {
        #expect(VariableExpansion.expand(text, ["A": "1", "B": "2"]) == expected)
    }
}

@Suite struct ImageReferenceTests {
    @Test(arguments: [
        ("nginx", "docker.io", "library/nginx", "latest"), ("a/b:2", "docker.io", "a/b", "2"),
        ("127.0.0.1:8080/g/p:x", "127.0.0.1:8080", "g/p", "x"), ("localhost/x", "localhost", "x", "latest"),
        ("ghcr.io/a/b@sha256:00", "ghcr.io", "a/b", ""), ("r.io:5000/a", "r.io:5000", "a", "latest"),
    ])
    func splits(_ text: String, _ registry: String, _ repository: String, _ tag: String) {
        let reference = ImageReference(text)
        #expect(reference.registry == registry)
        #expect(reference.repository == repository)
        #expect(reference.tag == tag)
    }

    @Test func credentialsAreFoundByRegistry() throws {
        let auths: JSON = [
            "auths": [
                "https://index.docker.io/v1/": ["auth": "aHVi"], "127.0.0.1:8080": ["username": "u", "password": "p"],
            ]
        ]
        let secret: JSON = [
            "data": [".dockerconfigjson": .string(Data(auths.encoded()).base64EncodedString())]
        ]
        #expect(RegistryCredentials(secret: secret, registry: "docker.io")?.auth == "aHVi")
        #expect(RegistryCredentials(secret: secret, registry: "127.0.0.1:8080")?.password == "p")
        #expect(RegistryCredentials(secret: secret, registry: "other") == nil)
    }
}

@Suite struct DownwardFactsTests {
    private static let pod = Pod([
        "metadata": ["name": "a"],
        "spec": [
            "containers": [
                [
                    "name": "main",
                    "resources": [
                        "limits": ["memory": "64Mi", "cpu": "500m", "ephemeral-storage": "16E"],
                        "requests": ["cpu": "0.25"],
                    ],
                ],
                ["name": "other"],
            ]
        ],
    ])

    private static let rows: [(String, JSON?, String, String)] = [
        ("limits.memory", "0", "main", "67108864"),
        ("limits.memory", nil, "main", "67108864"),
        ("limits.memory", "1Mi", "main", "64"),
        ("limits.memory", "1Gi", "main", "1"),
        ("limits.cpu", "0", "main", "1"),
        ("limits.cpu", "1", "main", "1"),
        ("limits.cpu", "1m", "main", "500"),
        ("requests.cpu", "1m", "main", "250"),
        ("limits.cpu", "0", "other", "8"),
        ("requests.memory", "0", "other", "0"),
        ("limits.ephemeral-storage", "1Gi", "main", "8589934592"),
    ]

    @Test(arguments: rows)
    func resourcesAreCountedInTheirDivisor(
        _ resource: String,
        _ divisor: JSON?,
        _ container: String,
        _ value: String
    ) throws {
        let allocatable = ["cpu": Quantity(value: 8)]
        let facts = DownwardFacts(pod: Self.pod, hostAddress: "", podAddresses: [], allocatable: allocatable)
        var reference: JSON = ["resource": .string(resource), "containerName": .string(container)]
        reference["divisor"] = divisor
        let own = try #require(Self.pod.container("main"))
        #expect(try facts.resource(reference, of: own) == value)
    }
}

@Suite struct ServiceLinksTests {
    private static func service(_ name: String, _ address: String, _ ports: JSON, type: String = "ClusterIP") -> JSON {
        [
            "metadata": ["name": .string(name)],
            "spec": ["clusterIP": .string(address), "ports": ports, "type": .string(type)],
        ]
    }

    private static func lines(_ services: JSON...) -> [String] {
        ServiceLinks.variables(of: services).map { "\($0.name)=\($0.value)" }
    }

    @Test func tellsEveryPort() {
        let ports: JSON = [["name": "http-web", "port": 80], ["name": "dns", "port": 53, "protocol": "UDP"]]
        #expect(
            Self.lines(Self.service("my-web", "10.43.0.7", ports)) == [
                "MY_WEB_SERVICE_HOST=10.43.0.7", "MY_WEB_SERVICE_PORT=80", "MY_WEB_SERVICE_PORT_HTTP_WEB=80",
                "MY_WEB_SERVICE_PORT_DNS=53", "MY_WEB_PORT=tcp://10.43.0.7:80",
                "MY_WEB_PORT_80_TCP=tcp://10.43.0.7:80", "MY_WEB_PORT_80_TCP_PROTO=tcp", "MY_WEB_PORT_80_TCP_PORT=80",
                "MY_WEB_PORT_80_TCP_ADDR=10.43.0.7", "MY_WEB_PORT_53_UDP=udp://10.43.0.7:53",
                "MY_WEB_PORT_53_UDP_PROTO=udp", "MY_WEB_PORT_53_UDP_PORT=53", "MY_WEB_PORT_53_UDP_ADDR=10.43.0.7",
            ]
        )
    }

    @Test func leavesOutServicesWithoutAddressAndSortsTheOthers() {
        let port: JSON = [["port": 1]]
        let lines = Self.lines(
            Self.service("b", "10.43.0.2", port),
            Self.service("headless", "None", port),
            Self.service("external", "", port, type: "ExternalName"),
            Self.service("a", "10.43.0.1", port)
        )
        #expect(lines.filter { $0.contains("_HOST") } == ["A_SERVICE_HOST=10.43.0.1", "B_SERVICE_HOST=10.43.0.2"])
        #expect(lines.count == 14)
    }
}

@Suite struct VolumeProjectionTests {
    private static let pod = Pod([
        "metadata": ["name": "a", "namespace": "b", "uid": "u", "labels": ["x": "1", "y": "two \"words\""]],
        "spec": ["containers": [["name": "main", "resources": ["limits": ["cpu": "1500m"]]]]],
    ])

    private var projection: VolumeProjection {
        let facts = DownwardFacts(pod: Self.pod, hostAddress: "1.1.1.1", podAddresses: ["2.2.2.2"], allocatable: [:])
        var projection = VolumeProjection(facts: facts)
        projection.configMaps = ["c": ["data": ["k": "v", "l": "w"], "binaryData": ["b": "AAE="]]]
        projection.secrets = ["s": ["data": ["p": "cGFzcw=="]]]
        projection.tokens = [VolumeProjection.TokenRequest(["path": "t"]): "jwt"]
        return projection
    }

    @Test func allKeysOrThoseListed() throws {
        let all = try projection.files(of: ["configMap": ["name": "c"]])
        #expect(all.files.mapValues(\.bytes) == ["k": Array("v".utf8), "l": Array("w".utf8), "b": [0, 1]])
        let items: JSON = ["configMap": ["name": "c", "items": [["key": "k", "path": "sub/k", "mode": 0o600]]]]
        #expect(try projection.files(of: items).files == ["sub/k": .init(bytes: Array("v".utf8), mode: 0o600)])
    }

    @Test func sourcesAreJoined() throws {
        let volume: JSON = [
            "projected": [
                "sources": [
                    ["secret": ["name": "s"]], ["serviceAccountToken": ["path": "token"]],
                    [
                        "downwardAPI": [
                            "items": [
                                ["path": "labels", "fieldRef": ["fieldPath": "metadata.labels"]],
                                [
                                    "path": "cpu",
                                    "resourceFieldRef": ["containerName": "main", "resource": "limits.cpu"],
                                ],
                            ]
                        ]
                    ],
                ]
            ]
        ]
        let files = try projection.files(of: volume).files.mapValues { String(decoding: $0.bytes, as: UTF8.self) }
        #expect(files == ["p": "pass", "token": "jwt", "labels": "x=\"1\"\ny=\"two \\\"words\\\"\"", "cpu": "2"])
    }

    private static let faults: [(JSON, String)] = [
        (["configMap": ["name": "none"]], "configmap \"none\" not found"),
        (
            ["secret": ["secretName": "s", "items": [["key": "q", "path": "q"]]]],
            "secret \"s\" references non-existent key: q"
        ),
        (
            ["configMap": ["name": "c", "items": [["key": "k", "path": "../k"]]]],
            "the path \"../k\" must be relative and without '..'"
        ),
    ]

    @Test(arguments: faults)
    func saysWhatIsWrong(_ volume: JSON, _ message: String) {
        #expect(throws: ConfigurationError(message)) { try projection.files(of: volume) }
    }

    @Test func optionalSourcesMayBeMissing() throws {
        #expect(try projection.files(of: ["secret": ["secretName": "none", "optional": true]]).files.isEmpty)
    }
}

@Suite struct ProjectedDirectoryTests {
    @Test func filesChangeTogetherThroughOneLink() throws {
        let path = "/tmp/projected-\(UInt64.random(in: .min ... .max))"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let directory = ProjectedDirectory(path: path)
        func content(_ files: [String: String]) -> VolumeFiles {
            VolumeFiles(files: files.mapValues { .init(bytes: Array($0.utf8), mode: 0o640) })
        }
        func read(_ name: String) -> String? { try? String(contentsOfFile: "\(path)/\(name)", encoding: .utf8) }

        #expect(try directory.update(content(["a": "1", "sub/b": "2"])))
        #expect(read("a") == "1")
        #expect(read("sub/b") == "2")
        #expect(FileStatus("\(path)/a")?.permissions == 0o640)
        #expect(try !directory.update(content(["a": "1", "sub/b": "2"])))
        let before = try FileManager.default.destinationOfSymbolicLink(atPath: "\(path)/..data")
        #expect(try directory.update(content(["a": "3", "c": "4"])))
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "\(path)/..data") != before)
        #expect(read("a") == "3")
        #expect(read("c") == "4")
        #expect(read("sub/b") == nil)
        let names = try FileManager.default.contentsOfDirectory(atPath: path).filter { !$0.hasPrefix("..") }
        #expect(names.sorted() == ["a", "c"])
    }
}

@Suite struct ProbeCountTests {
    private func probe(_ kind: Probe.Kind, _ json: JSON = [:]) -> Probe { Probe(json, kind: kind) }

    @Test func readinessIsEagerUntilItsFirstSuccess() {
        var count = ProbeCount(probe(.readiness, ["periodSeconds": 1]), hasSucceeded: false)
        var delays: [Duration] = []
        for _ in 0..<4 { delays.append(count.record(.failure("")).delay) }
        let expected: [Duration] = [.milliseconds(50), .milliseconds(100), .milliseconds(200), .milliseconds(400)]
        #expect(delays == expected)
        let result = count.record(.success)
        #expect(result.verdict == .succeeded)
        #expect(result.delay == .seconds(1))
    }

    @Test func eagerTriesDoNotCountAsFailures() {
        var count = ProbeCount(probe(.startup, ["periodSeconds": 1, "failureThreshold": 2]), hasSucceeded: false)
        var waited = Duration.zero
        var verdict = ProbeCount.Verdict.unchanged
        while verdict == .unchanged, waited < .seconds(10) {
            let result = count.record(.failure(""))
            verdict = result.verdict
            if verdict == .unchanged { waited += result.delay }
        }
        #expect(verdict == .failed)
        #expect(waited == .seconds(1))
    }

    @Test func livenessFailsAtItsThreshold() {
        var count = ProbeCount(probe(.liveness, ["failureThreshold": 3, "periodSeconds": 5]), hasSucceeded: false)
        #expect(count.record(.failure("")).delay == .seconds(5))
        #expect(count.record(.failure("")).verdict == .unchanged)
        #expect(count.record(.failure("")).verdict == .failed)
        #expect(count.record(.failure("")).verdict == .unchanged)
        #expect(count.record(.success).verdict == .succeeded)
    }
}

@Suite struct LogTests {
    private static let text = """
        2026-01-01T00:00:00.000000001Z stdout F one
        2026-01-01T00:00:01.5Z stderr P tw
        2026-01-01T00:00:01.6Z stderr F o
        broken
        2026-01-01T00:00:02Z stdout F

        """

    private func shown(_ options: LogOptions, now: Int64 = 1_767_225_602) -> String {
        var format = LogFormat(options, now: Timestamp(seconds: now))
        var output: [UInt8] = []
        for line in Self.text.utf8.split(separator: UInt8(ascii: "\n")).compactMap({ LogLine($0) }) where !format.isFull
        {
            format.append(line, to: &output)
        }
        return String(decoding: output, as: UTF8.self)
    }

    @Test func joinsPartialLinesAndDropsWhatIsNoLine() {
        #expect(shown(LogOptions()) == "one\ntwo\n\n")
    }

    @Test func timestampsStandAtTheStartOfLines() {
        var options = LogOptions()
        options.timestamps = true
        #expect(
            shown(options)
                == "2026-01-01T00:00:00.000000001Z one\n2026-01-01T00:00:01.5Z two\n2026-01-01T00:00:02Z \n"
        )
    }

    @Test func sinceAndLimit() {
        var options = LogOptions()
        options.sinceSeconds = 1
        #expect(shown(options) == "two\n\n")
        options.sinceTime = "2026-01-01T00:00:02Z"
        #expect(shown(options) == "\n")
        var limited = LogOptions()
        limited.limitBytes = 5
        #expect(shown(limited) == "one\nt")
    }

    @Test(arguments: [(0, 6), (1, 4), (2, 2), (3, 0), (9, 0)])
    func tailStartsAtALine(_ count: Int, _ offset: Int) {
        #expect(LogFile.offset(ofLast: count, in: Array("a\nb\nc\n".utf8)) == offset)
    }
}

@Suite struct ContainerResourcesTests {
    private func resources(_ json: JSON, _ quality: String) -> ContainerResources {
        let definition = ContainerDefinition(["name": "a", "resources": json], isInit: false)
        return ContainerResources(definition, qualityOfService: quality, nodeMemory: 4 << 30)
    }

    @Test func limitsBecomeQuotaAndSharesFollowRequests() {
        let some = resources(
            ["requests": ["cpu": "250m", "memory": "1Gi"], "limits": ["cpu": "1500m", "memory": "2Gi"]],
            "Burstable"
        )
        #expect(some.cpuShares == 256)
        #expect(some.cpuPeriod == 100_000)
        #expect(some.cpuQuota == 150_000)
        #expect(some.memoryLimit == 2 << 30)
        #expect((700...760).contains(some.outOfMemoryScoreAdjustment))
        let none = resources([:], "BestEffort")
        #expect(none.cpuShares == 2)
        #expect(none.cpuQuota == 0)
        #expect(none.memoryLimit == 0)
        #expect(none.outOfMemoryScoreAdjustment == 1000)
        #expect(resources(["limits": ["cpu": "1"]], "Guaranteed").cpuShares == 1024)
    }
}

@Suite struct FrameSplitterTests {
    private func frame(_ type: UInt8, _ flags: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [0, UInt8(payload.count >> 8), UInt8(payload.count & 255), type, flags, 0, 0, 0, 1] + payload
    }

    /// However the bytes are cut, PINGs are answered and all else passes.
    @Test(arguments: [1, 2, 3, 7, 9, 16, 17, 1000])
    func anyCut(_ size: Int) {
        let data = frame(0, 0, Array(0..<200))
        let ping: [UInt8] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
        let acknowledgement = frame(6, 1, [8, 7, 6, 5, 4, 3, 2, 1])
        let input = data + ping + acknowledgement + ping + data
        var splitter = FrameSplitter()
        var forwarded: [UInt8] = []
        var answers: [UInt8] = []
        for start in stride(from: 0, to: input.count, by: size) {
            let piece = ByteBuffer(bytes: input[start..<min(start + size, input.count)])
            let result = splitter.receive(piece)
            forwarded += Array(result.forwarded.readableBytesView)
            answers += Array(result.answers.readableBytesView)
        }
        #expect(forwarded == data + acknowledgement + data)
        let answer: [UInt8] = [0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
        #expect(answers == answer + answer)
    }
}

@Suite struct DNSTests {
    private static let host = SandboxSpecification.DNS(
        resolverConfiguration: "# x\nnameserver 9.9.9.9\nsearch corp\noptions timeout:1\n"
    )

    private func dns(_ spec: JSON) -> SandboxSpecification.DNS {
        let pod = Pod(["metadata": ["name": "a", "namespace": "b"], "spec": spec])
        return .init(for: pod, clusterAddress: "10.43.0.10", domain: "cluster.local", host: Self.host)
    }

    @Test func policies() {
        let cluster = dns([:])
        #expect(cluster.servers == ["10.43.0.10"])
        #expect(cluster.searches == ["b.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp"])
        #expect(cluster.options == ["ndots:5"])
        #expect(dns(["dnsPolicy": "Default"]) == Self.host)
        #expect(dns(["hostNetwork": true]) == Self.host)
        let own = dns([
            "dnsPolicy": "None",
            "dnsConfig": ["nameservers": ["1.1.1.1"], "options": [["name": "ndots", "value": "2"]]],
        ])
        #expect(own == .init(servers: ["1.1.1.1"], searches: [], options: ["ndots:2"]))
    }
}

@Suite struct ContainerdConfigurationTests {
    @Test func registriesAreFilesOfTheirOwn() throws {
        var configuration = ContainerdConfiguration(home: "/srv/x")
        configuration.registries = ContainerdConfiguration.platformRegistries(webPort: 8080)
        let hub = try #require(configuration.registryFiles["docker.io/hosts.toml"])
        let mirror = try #require(hub.range(of: "[host.\"http://127.0.0.1:8080/v2/mirror/docker.io\"]"))
        let server = try #require(hub.range(of: "[host.\"https://registry-1.docker.io\"]"))
        #expect(mirror.lowerBound < server.lowerBound)
        #expect(hub.contains("override_path = true"))
        #expect(configuration.registryFiles["127.0.0.1:8080/hosts.toml"] != nil)
        #expect(configuration.toml.contains("address = \"/srv/x/containerd/containerd.sock\""))
        #expect(configuration.arguments == ["containerd", "--config", "/srv/x/containerd/config.toml"])
    }

    @Test func aHomeThatIsTooDeepIsRefused() {
        let configuration = ContainerdConfiguration(home: "/tmp/" + String(repeating: "x", count: 100))
        #expect(throws: ContainerdError.self) { try configuration.write() }
    }
}
