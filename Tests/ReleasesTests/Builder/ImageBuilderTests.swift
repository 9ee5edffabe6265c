import AsyncHTTPClient
import Foundation
import Hummingbird
import NIOCore
import NIOHTTP1
import TestKit
import Testing

@testable import Registry
@testable import Releases

/// Real builds with the host's `buildah`, pushed to a real registry.
@Suite(.serialized) struct ImageBuilderTests {
    struct Bench: Sendable {
        var builder: ImageBuilder
        var builds: ImageBuildStore
        var registry: RegistryStorage
        var registryPort: Int
        var port: Int
        var folder: String

        /// Sends the build context made of `files` (and a static busybox) and gives the text that comes back.
        func build(_ query: String, _ files: [String: String]) async throws -> String {
            var request = HTTPClientRequest(
                url: "http://127.0.0.1:\(port)/api/v4/projects/demo%2Fshop/image_builds?\(query)"
            )
            request.method = .POST
            request.body = .bytes(ByteBuffer(bytes: try await context(files)))
            let response = try await HTTPClient.shared.execute(request, timeout: .seconds(300))
            return String(buffer: try await response.body.collect(upTo: 1 << 20))
        }

        func context(_ files: [String: String]) async throws -> [UInt8] {
            let context = "\(folder)/context-\(UUID().uuidString)"
            try FileManager.default.createDirectory(atPath: context, withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: "/bin/busybox", toPath: context + "/busybox")
            for (name, text) in files { try Data(text.utf8).write(to: URL(fileURLWithPath: "\(context)/\(name)")) }
            try await program("tar", ["-czf", context + ".tar.gz", "-C", context, "."])
            return [UInt8](try Data(contentsOf: URL(fileURLWithPath: context + ".tar.gz")))
        }
    }

    private func withBench(_ work: @escaping @Sendable (Bench) async throws -> Void) async throws {
        try await withFolder { folder in
            try await withRegistry(folder) { registry, registryPort in
                let builds = try ImageBuildStore(path: folder + "/builds.sqlite")
                let builder = try await ImageBuilder(
                    configuration: .init(root: folder + "/builder", registry: "127.0.0.1:\(registryPort)"),
                    access: OpenAccess(),
                    builds: builds,
                    logger: quiet
                )
                let router = Router()
                builder.addRoutes(to: router)
                try await withServer(router) { port in
                    try await work(
                        Bench(
                            builder: builder,
                            builds: builds,
                            registry: registry,
                            registryPort: registryPort,
                            port: port,
                            folder: folder
                        )
                    )
                    try await waitUntil("the builds clear away what they made") {
                        try FileManager.default.contentsOfDirectory(atPath: folder + "/builder/running").isEmpty
                    }
                }
            }
        }
    }

    private static let dockerfile = """
        FROM scratch
        ARG GREETING=hello
        COPY busybox /bin/busybox
        RUN ["/bin/busybox", "mkdir", "/www"]
        COPY page /www/page
        EXPOSE 9000 53/udp
        CMD ["/bin/busybox", "httpd", "-f"]
        """

    @Test func buildsPushesAndRecords() async throws {
        try await withBench { bench in
            let text = try await bench.build("image=web", ["Dockerfile": Self.dockerfile, "page": "one"])
            #expect(text.hasSuffix("sampan-exit-code: 0\n"), "\(text)")
            let images = try await bench.builds.images(project: 7, origin: ReleaseOrigin(pipelineID: 3))
            let image = try #require(images.first)
            #expect(image.reference == "127.0.0.1:\(bench.registryPort)/demo/shop/web")
            #expect(image.ports == [9000])
            #expect(text.contains("pushed \(image.reference)@\(image.digest)"))
            let name = try #require(RepositoryName("demo/shop/web"))
            for tag in ["c0ffee", "feature-a-b"] {
                #expect(try await bench.registry.manifest(.tag(tag), in: name).digest.description == image.digest)
            }
            let again = try await bench.build("image=web", ["Dockerfile": Self.dockerfile, "page": "two"])
            #expect(again.contains("Using cache") && again.hasSuffix("sampan-exit-code: 0\n"), "\(again)")
            let newer = try await bench.builds.images(project: 7, origin: ReleaseOrigin(commit: "c0ffee"))
            #expect(newer.count == 1 && newer.first?.digest != image.digest)
        }
    }

    @Test func buildsFromAPublicBaseImageThroughTheMirror() async throws {
        try await withBench { bench in
            let busybox = [UInt8](try Data(contentsOf: URL(fileURLWithPath: "/bin/busybox")))
            try await bench.registry.publishImage(
                repository: "mirror/docker.io/library/tiny",
                tag: "1",
                files: [
                    ImageFile(path: "bin", mode: 0o755, content: .folder),
                    ImageFile(path: "bin/sh", mode: 0o755, content: .file(busybox)),
                ],
                config: ImageConfiguration()
            )
            let text = try await bench.build("", ["Dockerfile": "FROM tiny:1\nRUN echo built > /result\n"])
            #expect(text.hasSuffix("sampan-exit-code: 0\n"), "\(text)")
            #expect(try await bench.builds.images(project: 7, origin: OpenAccess.origin).first?.name == "")
        }
    }

    @Test(arguments: [
        ("FROM scratch\nCOPY missing /x\n", "missing"),
        (
            "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo broken here; exit 3\"]\n",
            "broken here"
        ),
        ("FRUM scratch\n", "no FROM statement"),
    ])
    func saysWhyABuildFails(dockerfile: String, reason: String) async throws {
        try await withBench { bench in
            let text = try await bench.build("image=web", ["Dockerfile": dockerfile])
            #expect(text.localizedCaseInsensitiveContains(reason), "\(text)")
            #expect(text.contains("error: the build of Dockerfile failed"))
            #expect(text.hasSuffix("sampan-exit-code: 1\n"))
            #expect(try await bench.builds.images(project: 7, origin: OpenAccess.origin).isEmpty)
        }
    }

    @Test func readsNoDockerfileOutsideTheContext() async throws {
        try await withBench { bench in
            let context = TarArchiveMaker.archive([("Dockerfile", "2", "/etc/shadow")])
            let output = ProgressOutput()
            let error = await #expect(throws: ReleaseError.self) {
                try await bench.builder.build(
                    ImageBuildRequest(),
                    for: OpenAccess.caller,
                    context: body(context),
                    output
                )
            }
            #expect(error?.description == "Dockerfile is a link that leads out of the build context")
            let missing = try await bench.build("file=nothere", [:])
            #expect(
                missing.contains("error: the build context has no nothere")
                    && missing.hasSuffix("sampan-exit-code: 1\n")
            )
        }
    }

    @Test func killsTheBuildWhenTheClientGoesAway() async throws {
        try await withBench { bench in
            // A number of its own: a process that an earlier run left is not taken for this one's.
            let seconds = Int.random(in: 10_000...99_999)
            let dockerfile =
                "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"sleep\", \"\(seconds)\"]\n"
            var request = HTTPClientRequest(url: "http://127.0.0.1:\(bench.port)/api/v4/projects/7/image_builds")
            request.method = .POST
            request.body = .bytes(ByteBuffer(bytes: try await bench.context(["Dockerfile": dockerfile])))
            let client = HTTPClient()
            let result = await Result.catching {
                let response = try await client.execute(request, timeout: .seconds(300))
                for try await part in response.body where String(buffer: part).contains("STEP 3/") {
                    try await waitUntilProcesses(matching: "busybox sleep \(seconds)", are: 1)
                    break
                }
            }
            try await client.shutdown()
            try result.get()
            try await waitUntilProcesses(matching: "busybox sleep \(seconds)", are: 0)
        }
    }

    private func waitUntilProcesses(matching command: String, are count: Int) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while true {
            let lines = try await program("ps", ["-eo", "args"]).split(separator: "\n").filter { $0.hasSuffix(command) }
            if (lines.count > 0) == (count > 0) { return }
            guard ContinuousClock.now < end else { throw ReleaseError("processes: \(lines)") }
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}
