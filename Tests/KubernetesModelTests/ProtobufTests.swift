import Testing

@testable import KubernetesModel

struct ProtobufTests {
    private func decode(
        _ apiVersion: String,
        _ kind: String,
        _ build: (inout ProtobufWriter) -> Void
    ) throws
        -> JSON
    {
        try KubernetesProtobuf.decode(ProtobufWriter.body(apiVersion, kind, build))
    }

    private func error(_ bytes: [UInt8]) -> ProtobufError? {
        do {
            _ = try KubernetesProtobuf.decode(bytes)
            return nil
        } catch {
            return error
        }
    }

    private func error(_ kind: String, _ build: (inout ProtobufWriter) -> Void) -> ProtobufError? {
        error(ProtobufWriter.body(kind == "Deployment" ? "apps/v1" : "v1", kind, build))
    }

    // MARK: - Objects as clients send them

    @Test func readsANamespaceAsKubectlWritesIt() throws {
        let namespace = try decode("v1", "Namespace") {
            $0.message(1) { metadata in
                for (number, text) in [(1, "x"), (2, ""), (3, ""), (4, ""), (5, ""), (6, "")] {
                    metadata.text(number, text)
                }
                metadata.integer(7, 0)
                metadata.message(8)
            }
            $0.message(2)
            $0.message(3) { $0.text(1, "") }
        }
        let expected: JSON = [
            "apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "x"], "spec": [:], "status": [:],
        ]
        #expect(namespace == expected)
    }

    @Test func readsADeployment() throws {
        let deployment = try decode("apps/v1", "Deployment") {
            $0.message(1) { metadata in
                metadata.text(1, "web")
                metadata.entry(11, "app") { $0.text(2, "web") }
                metadata.entry(11, "tier") { $0.text(2, "front") }
            }
            $0.message(2) { spec in
                spec.integer(1, 0)
                spec.message(2) { $0.entry(1, "app") { $0.text(2, "web") } }
                spec.message(3) { template in
                    template.message(2) { pod in
                        pod.message(2) { container in
                            container.text(1, "main")
                            container.text(2, "example.org/web:1")
                            container.message(6) { port in
                                port.text(1, "")
                                port.integer(2, 0)
                                port.integer(3, 8080)
                            }
                            container.message(8) { $0.entry(1, "cpu") { $0.message(2) { $0.text(1, "250m") } } }
                        }
                        pod.integer(4, 0)
                        pod.integer(11, 0)
                    }
                }
                spec.message(4) { $0.message(2) { $0.message(1) { self.intOrString(&$0, text: "25%") } } }
                spec.integer(5, 0)
                spec.integer(7, 0)
            }
        }
        #expect(deployment["metadata", "labels"] == ["app": "web", "tier": "front"])
        let spec = try #require(deployment["spec"]?.object)
        #expect(spec["replicas"] == 0, "no replicas are a choice")
        #expect(spec["minReadySeconds"] == nil && spec["paused"] == nil, "unset numbers are left out")
        #expect(spec["strategy"] == ["rollingUpdate": ["maxUnavailable": "25%"]])
        let pod = try #require(deployment["spec", "template", "spec"])
        #expect(pod["terminationGracePeriodSeconds"] == 0)
        #expect(pod["hostNetwork"] == nil)
        let container: JSON = [
            "name": "main", "image": "example.org/web:1", "ports": [["containerPort": 8080]],
            "resources": ["limits": ["cpu": "250m"]],
        ]
        #expect(pod["containers"] == [container])
    }

    private func intOrString(_ writer: inout ProtobufWriter, text: String? = nil, number: Int64 = 0) {
        writer.integer(1, text == nil ? 0 : 1)
        writer.integer(2, number)
        writer.text(3, text ?? "")
    }

    @Test func readsBinaryDataAsBase64() throws {
        let secret = try decode("v1", "Secret") {
            $0.entry(2, "password") { $0.raw(2, [0xFF, 0x00, 0x10]) }
            $0.entry(2, "empty") { $0.raw(2, []) }
            $0.entry(2, "absent") { _ in }
            $0.integer(5, 0)
        }
        #expect(secret["data"] == ["password": "/wAQ", "empty": "", "absent": ""])
        #expect(secret["immutable"] == false)
    }

    @Test func putsInlineFieldsInThePlaceOfTheirMessage() throws {
        let pod = try decode("v1", "Pod") {
            $0.message(2) { spec in
                spec.message(1) { volume in
                    volume.text(1, "settings")
                    volume.message(2) { $0.message(19) { $0.message(1) { $0.text(1, "web") } } }
                }
                spec.message(1) { volume in
                    volume.text(1, "scratch")
                    volume.message(2) { $0.message(2) }
                }
                spec.message(2) { container in
                    container.message(10) { probe in
                        probe.message(1) { $0.message(2) { $0.message(2) { self.intOrString(&$0, number: 80) } } }
                        probe.integer(2, 0)
                        probe.integer(4, 5)
                    }
                }
            }
        }
        #expect(
            pod["spec", "volumes"] == [
                ["name": "settings", "configMap": ["name": "web"]], ["name": "scratch", "emptyDir": [:]],
            ]
        )
        let probe = pod["spec", "containers"]?[0]?["livenessProbe"]
        #expect(probe == ["httpGet": ["port": 80], "periodSeconds": 5])
    }

    @Test(arguments: ["v1", "apps/v1", "policy/v1", "networking.k8s.io/v1"])
    func readsDeleteOptionsOfEveryGroup(apiVersion: String) throws {
        let options = try decode(apiVersion, "DeleteOptions") {
            $0.integer(1, 0)
            $0.message(2) { $0.text(2, "17") }
            $0.text(4, "Foreground")
            $0.text(5, "All")
        }
        let expected: JSON = [
            "apiVersion": .string(apiVersion), "kind": "DeleteOptions", "gracePeriodSeconds": 0,
            "preconditions": ["resourceVersion": "17"], "propagationPolicy": "Foreground", "dryRun": ["All"],
        ]
        #expect(options == expected)
    }

    @Test func readsAnEviction() throws {
        let eviction = try decode("policy/v1", "Eviction") {
            $0.message(1) { $0.text(1, "web-1") }
            $0.message(2) { $0.integer(1, 30) }
        }
        #expect(eviction["metadata", "name"] == "web-1")
        #expect(eviction["deleteOptions"] == ["gracePeriodSeconds": 30])
    }

    @Test func readsAReviewWithItsExtraValues() throws {
        let review = try decode("authorization.k8s.io/v1", "SubjectAccessReview") {
            $0.message(2) { spec in
                spec.message(1) { $0.text(2, "delete") }
                spec.entry(5, "scopes") { $0.message(2) { $0.text(1, "a") } }
                spec.entry(5, "none") { $0.message(2) }
            }
        }
        #expect(review["spec", "resourceAttributes"] == ["verb": "delete"])
        #expect(review["spec", "extra"] == ["scopes": ["a"], "none": []])
        #expect(review["status"] == nil)
    }

    // MARK: - Types with a form of their own

    @Test func readsMoments() throws {
        let lease = try decode("coordination.k8s.io/v1", "Lease") {
            $0.message(1) { metadata in
                metadata.message(8) { time in
                    time.integer(1, 1_767_323_045)
                    time.integer(2, 999_999_999)
                }
                metadata.message(9)
            }
            $0.message(2) { spec in
                spec.message(3) { time in
                    time.integer(1, 1_767_323_045)
                    time.integer(2, 678_901_999)
                }
                spec.message(4)
            }
        }
        #expect(lease["metadata"] == ["creationTimestamp": "2026-01-02T03:04:05Z"])
        #expect(lease["spec"] == ["acquireTime": "2026-01-02T03:04:05.678901Z"])
    }

    @Test(arguments: [
        (253_402_300_800, 0), (-62_167_219_201, 0), (0, 1_000_000_000), (0, -1), (Int64.max, Int64.max),
        (Int64.min, Int64.min),
    ])
    func refusesMomentsThatRFC3339CannotWrite(seconds: Int64, nanoseconds: Int64) {
        let error = error("Pod") {
            $0.message(1) { metadata in
                metadata.message(8) { time in
                    time.integer(1, seconds)
                    time.integer(2, nanoseconds)
                }
            }
        }
        #expect(error?.reason == .malformed)
        #expect(error?.message.hasPrefix("field metadata.creationTimestamp of Pod (v1): ") == true)
    }

    @Test(arguments: [
        (0, "0s"), (1, "1ns"), (1500, "1.5µs"), (2_000_000, "2ms"), (1_500_000_000, "1.5s"), (60_000_000_000, "1m0s"),
        (3_600_000_000_000, "1h0m0s"), (90_061_000_000_001, "25h1m1.000000001s"), (-1_500_000_000, "-1.5s"),
        (Int64.min, "-2562047h47m16.854775808s"),
    ])
    func writesDurationsAsGoDoes(nanoseconds: Int64, text: String) throws {
        let table = try #require(MessageTable(text: "kind v1 Timer test.Timer\ntest.Timer 1:every:duration"))
        var decoder = MessageDecoder(table: table)
        let body = ProtobufWriter.body("v1", "Timer") { $0.message(1) { $0.integer(1, nanoseconds) } }
        let timer = try decoder.object(body, depth: 0)
        #expect(timer["every"] == .string(text))
    }

    @Test func readsTargetPorts() throws {
        let service = try decode("v1", "Service") {
            $0.message(2) { spec in
                for (port, target, name) in [(80, 8080, nil), (81, 0, "http"), (82, 0, nil)] {
                    spec.message(1) { entry in
                        entry.integer(3, Int64(port))
                        entry.message(4) { self.intOrString(&$0, text: name, number: Int64(target)) }
                        entry.integer(5, 0)
                    }
                }
            }
        }
        let ports: JSON = [["port": 80, "targetPort": 8080], ["port": 81, "targetPort": "http"], ["port": 82]]
        #expect(service["spec", "ports"] == ports)
    }

    @Test func readsEmbeddedJSONAndEmbeddedProtobuf() throws {
        func revision(_ content: [UInt8]) throws -> JSON? {
            try decode("apps/v1", "ControllerRevision") {
                $0.message(2) { $0.raw(1, content) }
                $0.integer(3, 7)
            }["data"]
        }
        let json = try revision(Array(#"{"spec":{"a":[1]}}"#.utf8))
        #expect(json == ["spec": ["a": [1]]])
        let empty = try revision([])
        #expect(empty == nil)
        let pod = ProtobufWriter.body("v1", "Pod") { $0.message(1) { $0.text(1, "p") } }
        let embedded = try revision(pod)
        #expect(embedded == ["apiVersion": "v1", "kind": "Pod", "metadata": ["name": "p"]])
        #expect(throws: ProtobufError.self) { try revision(Array("{".utf8)) }
    }

    @Test func readsManagedFields() throws {
        let object = try decode("v1", "ConfigMap") {
            $0.message(1) { metadata in
                metadata.message(17) { entry in
                    entry.text(1, "kubectl")
                    entry.message(7) { $0.text(1, #"{"f:data":{}}"#) }
                }
            }
        }
        #expect(object["metadata", "managedFields"] == [["manager": "kubectl", "fieldsV1": ["f:data": [:]]]])
    }

    @Test func readsTheSchemaOfACustomResource() throws {
        let properties = try decode("apiextensions.k8s.io/v1", "CustomResourceDefinition") {
            $0.message(2) { $0.message(7) { $0.message(4) { $0.message(1, self.customSchema) } } }
        }["spec", "versions"]?[0]?["schema", "openAPIV3Schema", "properties"]
        let expected: JSON = [
            "open": ["additionalProperties": true], "closed": ["additionalProperties": false],
            "typed": ["additionalProperties": ["type": "string"]], "list": ["items": ["type": "integer"]],
            "pair": ["items": [["type": "integer"], ["type": "string"]]],
            "needs": ["dependencies": ["a": ["b", "c"], "d": ["type": "string"]]],
            "bounded": [
                "default": ["x": 1], "maximum": 1.5, "enum": ["a", 2], "x-kubernetes-preserve-unknown-fields": false,
                "$ref": "#/a",
            ],
        ]
        #expect(properties == expected)
    }

    private func customSchema(_ schema: inout ProtobufWriter) {
        func property(_ name: String, _ build: (inout ProtobufWriter) -> Void) {
            schema.entry(29, name) { $0.message(2, build) }
        }
        func typed(_ type: String) -> (inout ProtobufWriter) -> Void { { $0.text(5, type) } }
        property("open") { $0.message(30) { $0.integer(1, 1) } }
        property("closed") { $0.message(30) { $0.integer(1, 0) } }
        property("typed") {
            $0.message(30) { union in
                union.integer(1, 1)
                union.message(2, typed("string"))
            }
        }
        property("list") { $0.message(24) { $0.message(1, typed("integer")) } }
        property("pair") {
            $0.message(24) { union in
                union.message(2, typed("integer"))
                union.message(2, typed("string"))
            }
        }
        property("needs") { needs in
            needs.entry(32, "a") {
                $0.message(2) { union in
                    union.text(2, "b")
                    union.text(2, "c")
                }
            }
            needs.entry(32, "d") { $0.message(2) { $0.message(1, typed("string")) } }
        }
        property("bounded") { bounded in
            bounded.message(8) { $0.text(1, #"{"x":1}"#) }
            bounded.double(9, 1.5)
            bounded.message(20) { $0.text(1, #""a""#) }
            bounded.message(20) { $0.text(1, "2") }
            bounded.integer(38, 0)
            bounded.text(3, "#/a")
        }
    }

    // MARK: - The wire

    @Test func readsNegativeAndPackedNumbers() throws {
        let pod = try decode("v1", "Pod") {
            $0.message(2) { spec in
                spec.integer(25, -5)
                spec.message(14) { security in
                    security.integer(4, 1)
                    security.raw(4, ProtobufWriter { for value: UInt64 in [2, 300] { $0.varint(value) } }.bytes)
                    security.integer(2, .min)
                }
            }
        }
        #expect(pod["spec", "priority"] == -5)
        #expect(pod["spec", "securityContext", "supplementalGroups"] == [1, 2, 300])
        #expect(pod["spec", "securityContext", "runAsUser"] == .integer(.min))
    }

    @Test func skipsUnknownFieldsOfEveryWireType() throws {
        let pod = try decode("v1", "Pod") {
            $0.integer(900, 5)
            $0.double(901, 1)
            $0.raw(902, [1, 2, 3])
            $0.tag(903, 5)
            for byte: UInt64 in [1, 2, 3, 4] { $0.varint(byte) }
            $0.message(1) { $0.text(1, "p") }
        }
        #expect(pod["metadata"] == ["name": "p"])
    }

    @Test func addsUpMessagesThatOccurAgain() throws {
        let pod = try decode("v1", "Pod") {
            $0.message(1) { $0.text(1, "a") }
            $0.message(1) { $0.text(1, "b") }
            $0.message(1) { $0.text(3, "web") }
            $0.message(1) { $0.entry(11, "x") { $0.text(2, "1") } }
            $0.message(1) { $0.entry(11, "y") { $0.text(2, "2") } }
        }
        #expect(pod["metadata"] == ["name": "b", "namespace": "web", "labels": ["x": "1", "y": "2"]])
    }

    @Test func namesTheFieldOfAWrongWireType() {
        let text = error("Deployment") { $0.message(2) { $0.message(3) { $0.message(2) { $0.integer(2, 1) } } } }
        #expect(
            text
                == .malformed(
                    "field spec.template.spec.containers of Deployment (apps/v1): wire type 0 where 2 is needed"
                )
        )
        let number = error("Deployment") { $0.message(2) { $0.text(1, "three") } }
        #expect(number == .malformed("field spec.replicas of Deployment (apps/v1): wire type 2 where 0 is needed"))
        let map = error("ConfigMap") { $0.entry(2, "k") { $0.integer(2, 1) } }
        #expect(map == .malformed("field data of ConfigMap (v1): wire type 0 where 2 is needed"))
        let inline = error("Pod") { $0.message(2) { $0.message(1) { $0.integer(2, 1) } } }
        #expect(inline == .malformed("field spec.volumes of Pod (v1): wire type 0 where 2 is needed"))
    }

    @Test(arguments: [
        ([0x80], "the bytes end within a varint"), ([0x0A, 0x05, 0x00], "a value has 5 bytes where only 1 are left"),
        ([0x0A] + Array(repeating: 0xFF, count: 9) + [0x01], "the length 18446744073709551615 is beyond all bounds"),
        (Array(repeating: 0xFF, count: 10), "a varint has more than 64 bits"),
        ([0x07], "there is no field number 0"), ([0x0F], "there is no wire type 7"),
        ([0x0B], "wire type 3 where 2 is needed"),
        ([0xA3, 0x06], "groups are not part of the Kubernetes wire"),
    ])
    func refusesBrokenBytes(content: [UInt8], message: String) {
        let body =
            Array("k8s\0".utf8)
            + ProtobufWriter {
                $0.message(1) { type in
                    type.text(1, "v1")
                    type.text(2, "Pod")
                }
                $0.raw(2, content)
            }.bytes
        let error = error(body)
        #expect(error?.reason == .malformed)
        #expect(error?.message.hasSuffix(": \(message)") == true, "\(error?.message ?? "none")")
    }

    @Test func refusesTextThatIsNotUTF8() {
        let error = error("ConfigMap") { $0.entry(2, "k") { $0.raw(2, [0xFF]) } }
        #expect(error == .malformed("field data of ConfigMap (v1): the text is not UTF-8"))
    }

    @Test func refusesOtherEnvelopes() {
        #expect(error([])?.reason == .malformed)
        #expect(error(Array(#"{"kind":"Pod"}"#.utf8))?.reason == .malformed)
        #expect(error("Boat") { _ in }?.message.contains("of kind Boat (v1) are not read as protobuf") == true)
        #expect(error(Array("k8s\0".utf8))?.reason == .unsupported)
        let envelope = ProtobufWriter.body("v1", "Pod")
        #expect(error(envelope + ProtobufWriter { $0.text(3, "gzip") }.bytes)?.reason == .unsupported)
        #expect(error(envelope + ProtobufWriter { $0.text(4, "application/cbor") }.bytes)?.reason == .unsupported)
        #expect(error(envelope + ProtobufWriter { $0.integer(2, 1) }.bytes)?.reason == .malformed)
    }

    // MARK: - Bounds

    @Test func boundsTheDepth() {
        func nested(_ levels: Int) -> [UInt8] {
            (0..<levels).reduce([UInt8]()) { content, _ in ProtobufWriter { $0.raw(28, content) }.bytes }
        }
        func body(_ levels: Int) -> [UInt8] {
            ProtobufWriter.body("apiextensions.k8s.io/v1", "CustomResourceDefinition") {
                $0.message(2) { $0.message(7) { $0.message(4) { $0.raw(1, nested(levels)) } } }
            }
        }
        #expect(error(body(KubernetesProtobuf.maximumDepth - 5)) == nil)
        #expect(error(body(KubernetesProtobuf.maximumDepth - 4))?.reason == .excessive)
        func revisions(_ levels: Int) -> [UInt8] {
            (0..<levels).reduce([UInt8]()) { content, _ in
                ProtobufWriter.body("apps/v1", "ControllerRevision") { $0.message(2) { $0.raw(1, content) } }
            }
        }
        #expect(error(revisions(KubernetesProtobuf.maximumDepth)) == nil)
        #expect(error(revisions(KubernetesProtobuf.maximumDepth + 1))?.reason == .excessive)
    }

    @Test func boundsTheSizeAndTheNumberOfValues() {
        let large = [UInt8](repeating: 0, count: KubernetesProtobuf.maximumSize + 1)
        #expect(error(large)?.reason == .excessive)
        let many = error("Pod") { pod in
            pod.raw(2, Array(repeating: [0x12, 0x00], count: KubernetesProtobuf.maximumValues).flatMap { $0 })
        }
        #expect(many?.reason == .excessive)
    }

    /// Work that grew with the square of the number of pieces would not end within the limit.
    @Test(.timeLimit(.minutes(1))) func readsManySmallPiecesInLinearTime() throws {
        let count = 100_000
        let pod = try decode("v1", "Pod") { pod in
            for index in 0..<count {
                pod.message(1) { metadata in
                    metadata.text(14, "")
                    metadata.entry(11, String(index)) { $0.text(2, "") }
                }
            }
        }
        #expect(pod["metadata", "finalizers"]?.array?.count == count)
        #expect(pod["metadata", "labels"]?.object?.count == count)
    }

    @Test func endsOnEveryCutAndEveryFlippedByte() {
        let whole = ProtobufWriter.body("v1", "Pod") {
            $0.message(1) { metadata in
                metadata.text(1, "p")
                metadata.message(8) { $0.integer(1, 1_767_323_045) }
                metadata.entry(11, "app") { $0.text(2, "web") }
            }
            $0.message(2) { spec in
                spec.message(2) { $0.message(10) { $0.message(1) { $0.message(2) { $0.message(2) } } } }
                spec.integer(4, 30)
            }
        }
        #expect(error(whole) == nil)
        let errors = whole.indices.map { error(Array(whole.prefix($0))) }
        #expect(errors.filter { $0 == nil }.count == 3, "before the fields of the envelope that may be left out")
        var refused = 0
        for index in whole.indices {
            for bit in 0..<8 {
                var changed = whole
                changed[index] ^= 1 << UInt8(bit)
                if error(changed) != nil { refused += 1 }
            }
        }
        #expect((1..<whole.count * 8).contains(refused))
    }
}

// MARK: - The derived table

struct MessageTableTests {
    @Test(arguments: [
        "kind v1 Pod nowhere", "kind v1 Pod", "a.v1.A 1:x:@a.v1.B", "a.v1.A 1:x:word", "a.v1.A x:x:string",
        "a.v1.A 1:string", "a.v1.A=tree 1:x:string",
    ])
    func refusesOtherTexts(text: String) {
        #expect(MessageTable(text: text) == nil)
    }

    /// Every kind that comes from Kubernetes, filled with every field that the wire has, is an object that the schema knows.
    @Test(arguments: ResourceCatalog.builtin.definitions.filter { !$0.isCustom })
    func agreesWithTheSchema(definition: ResourceDefinition) throws {
        let (apiVersion, kind) = (definition.resource.apiVersion, definition.resource.kind)
        let table = MessageTable.builtin
        let message = try #require(table.message(apiVersion: apiVersion, kind: kind))
        var full = FullMessage(table: table)
        let object = try KubernetesProtobuf.decode(
            ProtobufWriter.body(apiVersion, kind) { full.write(message, to: &$0) }
        )
        #expect(object["metadata"] != nil)
        #expect(full.fieldCount >= 3)
        #expect(definition.unknownFields(in: object) == [])
        let wrongTypes = definition.validate(object).filter { $0.kind == .typeInvalid }
        #expect(wrongTypes.isEmpty, "\(wrongTypes)")
    }
}

/// Writes messages with every field set, each message once on a path.
private struct FullMessage {
    let table: MessageTable
    private(set) var fieldCount = 0
    private var open: Set<Int> = []

    init(table: MessageTable) { self.table = table }

    mutating func write(_ index: Int, to writer: inout ProtobufWriter) {
        guard open.insert(index).inserted else { return }
        defer { open.remove(index) }
        for field in table.messages[index].fields.values.sorted(by: { $0.number < $1.number }) {
            fieldCount += 1
            guard field.cardinality == .map else {
                write(field.number, field.type, to: &writer)
                continue
            }
            var value = ProtobufWriter()
            value.text(1, "key")
            write(2, field.type, to: &value)
            writer.raw(field.number, value.bytes)
        }
    }

    private mutating func write(_ number: Int, _ type: MessageTable.FieldType, to writer: inout ProtobufWriter) {
        switch type {
        case .string, .bytes: writer.text(number, "x")
        case .bool, .int32, .int64: writer.integer(number, 1)
        case .double: writer.double(number, 1)
        case .quantity: writer.message(number) { $0.text(1, "1") }
        case .intOrString: writer.message(number) { $0.integer(2, 1) }
        case .time, .microTime, .duration: writer.message(number) { $0.integer(1, 1) }
        case .json: writer.message(number) { $0.text(1, "{}") }
        case .message(let index):
            var inner = ProtobufWriter()
            write(index, to: &inner)
            writer.raw(number, inner.bytes)
        }
    }
}
