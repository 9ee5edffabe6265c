import Foundation
import Hummingbird
import HummingbirdTLS
import KubernetesClient
import KubernetesModel
import Logging
import NIOCore
import NIOSSL
import Subprocess
import TestKit
import Testing

/// Speaks to a server over real TLS on the loopback interface that plays the API.
struct HTTPSClusterClientTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// A received request.
    private struct Seen: Sendable {
        var line: String
        var authorization: String
        var contentType: String
        var body: String
    }

    /// Makes a certificate for 127.0.0.1 and runs `router` behind it.
    private func withServer(
        _ router: Router<BasicRequestContext>,
        identity: ClusterAccess.Identity = .token("secret"),
        trusts: Bool = true,
        _ body: @escaping @Sendable (HTTPSClusterClient) async throws -> Void
    ) async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("tls-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let certificate = try await Self.certificate(in: directory)
        let tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: [.certificate(try NIOSSLCertificate(bytes: certificate.chain, format: .pem))],
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: certificate.key, format: .pem))
        )
        let ports = AsyncStream<Int>.makeStream()
        let server = Application(
            router: router,
            server: try .tls(.http1(), tlsConfiguration: tls),
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { ports.continuation.yield($0.localAddress?.port ?? 0) },
            logger: logger
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            var iterator = ports.stream.makeAsyncIterator()
            let port = try #require(await iterator.next())
            let access = ClusterAccess(
                server: "https://127.0.0.1:\(port)",
                certificateAuthority: trusts ? certificate.chain : [],
                identity: identity
            )
            let client = try HTTPSClusterClient(access, logger: logger)
            let result = await Result { try await body(client) }
            try await client.shutdown()
            group.cancelAll()
            try result.get()
        }
    }

    private static func certificate(in directory: String) async throws -> (chain: [UInt8], key: [UInt8]) {
        let result = try await run(
            .name("openssl"),
            arguments: [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
                "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1",
                "-keyout", "\(directory)/key.pem", "-out", "\(directory)/cert.pem",
            ],
            output: .discarded,
            error: .discarded
        )
        try #require(result.terminationStatus.isSuccess)
        func read(_ name: String) throws -> [UInt8] {
            [UInt8](try #require(FileManager.default.contents(atPath: "\(directory)/\(name)")))
        }
        return (try read("cert.pem"), try read("key.pem"))
    }

    /// Answers every request with `answer` and keeps it in `seen`.
    private func recording(
        _ seen: Shared<[Seen]>,
        _ answer: JSON = ["kind": "ConfigMap"]
    ) -> Router<BasicRequestContext> {
        let router = Router()
        let respond: @Sendable (Request, BasicRequestContext) async throws -> Response = { request, _ in
            let body = try await request.body.collect(upTo: 1 << 20)
            let line = "\(request.method.rawValue) \(request.uri.string)"
            seen.change {
                $0.append(
                    Seen(
                        line: line,
                        authorization: request.headers[.authorization] ?? "",
                        contentType: request.headers[.contentType] ?? "",
                        body: String(buffer: body)
                    )
                )
            }
            return Response(status: .ok, body: .init(byteBuffer: ByteBuffer(bytes: answer.encoded())))
        }
        for method in [HTTPRequest.Method.get, .post, .put, .patch, .delete] {
            router.on("**", method: method, use: respond)
        }
        return router
    }

    @Test
    func sendsWhatTheAPIExpects() async throws {
        let seen = Shared<[Seen]>([])
        try await withServer(recording(seen)) { client in
            let object: JSON = ["metadata": ["name": "a", "namespace": "shop"]]
            _ = try await client.get(.configMaps, namespace: "shop", name: "a")
            _ = try await client.get(.nodes, namespace: nil, name: "system:node")
            _ = try await client.create(.configMaps, namespace: "shop", object, options: WriteOptions(isDryRun: true))
            _ = try await client.update(.deployments, object, subresource: "status")
            let apply = WriteOptions(fieldManager: "me", force: true)
            _ = try await client.patch(
                .configMaps,
                namespace: "shop",
                name: "a",
                subresource: nil,
                .apply(["data": [:]]),
                options: apply
            )
            _ = try await client.delete(
                .configMaps,
                namespace: "shop",
                name: "a",
                options: DeleteOptions(gracePeriodSeconds: 0, propagationPolicy: .foreground, uid: "u")
            )
            _ = try await client.list(
                .pods,
                namespace: nil,
                options: ListOptions(labelSelector: "a in (b,c)", fieldSelector: "spec.nodeName=n", limit: 5)
            )
        }
        #expect(
            seen.value.map(\.line) == [
                "GET /api/v1/namespaces/shop/configmaps/a",
                "GET /api/v1/nodes/system:node",
                "POST /api/v1/namespaces/shop/configmaps?fieldManager=sampan&fieldValidation=Warn&dryRun=All",
                "PUT /apis/apps/v1/namespaces/shop/deployments/a/status?fieldManager=sampan&fieldValidation=Warn",
                "PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=me&fieldValidation=Warn&force=true",
                "DELETE /api/v1/namespaces/shop/configmaps/a",
                "GET /api/v1/pods?labelSelector=a%20in%20%28b%2Cc%29&fieldSelector=spec.nodeName%3Dn&limit=5",
            ]
        )
        #expect(seen.value.allSatisfy { $0.authorization == "Bearer secret" })
        #expect(seen.value[4].contentType == "application/apply-patch+yaml")
        #expect(
            try JSON(parsing: seen.value[5].body) == [
                "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
                "propagationPolicy": "Foreground", "preconditions": ["uid": "u"],
            ]
        )
    }

    @Test
    func givesItemsOfListsTheirKind() async throws {
        let answer: JSON = [
            "kind": "DeploymentList", "metadata": ["resourceVersion": "12", "continue": "next"],
            "items": [["metadata": ["name": "a"]]],
        ]
        try await withServer(recording(Shared([]), answer)) { client in
            let list = try await client.list(.deployments, namespace: "shop")
            #expect(list.resourceVersion == "12")
            #expect(list.continueToken == "next")
            #expect(list.items == [["apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "a"]]])
        }
    }

    @Test
    func throwsTheStatusOfTheServer() async throws {
        let router = Router()
        router.get("**") { _, _ in
            let status = StatusError.notFound(.configMaps, "a").json.encoded()
            return Response(status: .notFound, body: .init(byteBuffer: ByteBuffer(bytes: status)))
        }
        router.post("**") { _, _ in Response(status: .badGateway, body: .init(byteBuffer: ByteBuffer(string: "no"))) }
        try await withServer(router) { client in
            let missing = await #expect(throws: StatusError.self) {
                try await client.get(.configMaps, namespace: "shop", name: "a")
            }
            #expect(missing == .notFound(.configMaps, "a"))
            let found = try await client.find(.configMaps, namespace: "shop", name: "a")
            #expect(found == nil)
            let broken = await #expect(throws: StatusError.self) {
                try await client.create(.configMaps, namespace: "shop", [:])
            }
            #expect(broken?.code == 502)
            #expect(broken?.message == "the server answered 502: no")
        }
    }

    @Test
    func waitsWhenTheServerIsTooBusy() async throws {
        let count = Shared(0)
        let router = Router()
        router.get("**") { _, _ in
            let number = count.change { count in
                count += 1
                return count
            }
            guard number > 1 else { return Response(status: .tooManyRequests, headers: [.retryAfter: "0"]) }
            return Response(status: .ok, body: .init(byteBuffer: ByteBuffer(string: "{}")))
        }
        try await withServer(router) { client in
            let object = try await client.get(.configMaps, namespace: "shop", name: "a")
            #expect(object == [:])
        }
        #expect(count.value == 2)
    }

    /// Sends `chunks` one by one and then ends.
    private func streaming(_ chunks: [String]) -> Router<BasicRequestContext> {
        let router = Router()
        router.get("**") { _, _ in
            Response(
                status: .ok,
                body: ResponseBody { writer in
                    for chunk in chunks {
                        try await writer.write(ByteBuffer(string: chunk))
                        try await Task.sleep(for: .milliseconds(2))
                    }
                    try await writer.finish(nil)
                }
            )
        }
        return router
    }

    @Test
    func readsWatchesAcrossChunks() async throws {
        let router = streaming([
            #"{"type":"ADDED","object":{"metadata":{"na"#, #"me":"a"}}}"# + "\n" + #"{"type":"DEL"#,
            #"ETED","object":{"metadata":{"name":"a"}}}"# + "\n",
            #"{"type":"ERROR","object":{"code":410,"reason":"Expired","message":"too old"}}"# + "\n",
        ])
        try await withServer(router) { client in
            let object: JSON = ["metadata": ["name": "a"]]
            var events: [WatchEvent] = []
            let error = await #expect(throws: StatusError.self) {
                for try await event in try await client.watch(.pods, namespace: nil, options: ListOptions()) {
                    events.append(event)
                }
            }
            #expect(events == [.added(object), .deleted(object)])
            #expect(error?.isExpired == true)
        }
    }

    @Test
    func readsLogs() async throws {
        try await withServer(streaming(["one\n", "two\n"])) { client in
            var text: [UInt8] = []
            for try await chunk in try await client.logs(namespace: "shop", pod: "a", options: LogOptions()) {
                text += chunk
            }
            #expect(String(decoding: text, as: UTF8.self) == "one\ntwo\n")
        }
    }

    @Test
    func givesUpARequestWithItsTask() async throws {
        let router = Router()
        let started = Gate()
        router.get("**") { _, _ in
            Response(
                status: .ok,
                body: ResponseBody { writer in
                    try await writer.write(ByteBuffer(string: "{\"type\":\"BOOKMARK\"}\n"))
                    started.open()
                    try await Task.sleep(for: .seconds(3600))
                }
            )
        }
        try await withServer(router) { client in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for try await _ in try await client.watch(.pods, namespace: nil, options: ListOptions()) {}
                }
                try await started.wait()
                group.cancelAll()
            }
        }
    }

    @Test
    func refusesAServerThatItDoesNotTrust() async throws {
        let seen = Shared<[Seen]>([])
        try await withServer(recording(seen), trusts: false) { client in
            await #expect(throws: (any Error).self) {
                try await client.get(.configMaps, namespace: "shop", name: "a")
            }
        }
        #expect(seen.value.isEmpty)
    }
}

extension Result where Failure == any Error {
    fileprivate init(catching body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
