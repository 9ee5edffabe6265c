import Foundation
import Testing

@testable import Registry

/// The registry as stock programs see it.
@Suite(.serialized) struct RegistryClientsTests {
    static let files = [
        ImageFile(path: "bin", mode: 0o755, content: .folder),
        ImageFile(path: "bin/hello", mode: 0o755, content: .file(Array("#!/bin/sh\necho hello\n".utf8))),
        ImageFile(path: "bin/link", content: .symbolicLink(to: "hello")),
    ]

    @Test func skopeoCopiesBothWays() async throws {
        try await LiveRegistry.run { registry in
            let folder = try LiveRegistry.makeFolder()
            defer { removeFolder(folder) }
            let digest = try await registry.storage.publishImage(
                repository: "sampan/hello",
                tag: "1",
                files: Self.files,
                config: ImageConfiguration(entrypoint: ["/bin/hello"], labels: ["a": "b"])
            )
            let again = try await registry.storage.publishImage(
                repository: "sampan/hello",
                tag: "1",
                files: Self.files.reversed(),
                config: ImageConfiguration(entrypoint: ["/bin/hello"], labels: ["a": "b"])
            )
            #expect(digest == again)
            let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"]
            try await program(
                "skopeo",
                ["--insecure-policy", "copy"] + plain + [
                    "docker://\(registry.host)/sampan/hello:1", "oci:\(folder)/image:1",
                ]
            )
            try await program(
                "skopeo",
                ["--insecure-policy", "copy", "--dest-creds", "alice:secret"] + plain
                    + ["oci:\(folder)/image:1", "docker://\(registry.host)/demo/shop/hello:2"]
            )
            let copied = try await registry.send("HEAD", "/v2/demo/shop/hello/manifests/2")
            #expect(copied.status == 200)
            let inspected = try await program(
                "skopeo",
                [
                    "inspect", "--tls-verify=false", "--creds", "bob:secret",
                    "docker://\(registry.host)/demo/shop/hello:2",
                ]
            )
            #expect(inspected.contains(#""a": "b""#))
            let refused = await #expect(throws: ProgramFailed.self) {
                try await program(
                    "skopeo",
                    ["--insecure-policy", "copy", "--dest-creds", "bob:secret"] + plain
                        + ["oci:\(folder)/image:1", "docker://\(registry.host)/demo/shop/hello:3"]
                )
            }
            #expect(
                refused?.description.contains("may not push") == true || refused?.description.contains("denied") == true
            )
        }
    }

    @Test func buildahPushesLayersAndAnIndexAndPullsThem() async throws {
        try await LiveRegistry.run { registry in
            let folder = try LiveRegistry.makeFolder()
            defer { removeFolder(folder) }
            for name in ["one", "two"] {
                try Data(repeating: 65, count: 300_000).write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
            }
            try Data("FROM scratch\nCOPY one /one\nCOPY two /two\n".utf8).write(
                to: URL(fileURLWithPath: "\(folder)/Dockerfile")
            )
            let store = ["--root", "\(folder)/root", "--runroot", "\(folder)/run", "--storage-driver", "vfs"]
            let image = "\(registry.host)/demo/layers"
            try await program("buildah", store + ["bud", "--layers", "-t", "\(image):1", folder])
            let access = ["--tls-verify=false", "--creds", "alice:secret"]
            try await program("buildah", store + ["push"] + access + ["\(image):1"])
            try await program("buildah", store + ["manifest", "create", "index", "\(image):1"])
            try await program(
                "buildah",
                store + ["manifest", "push"] + access + ["--all", "index", "docker://\(image):index"]
            )
            let index = try await registry.send("GET", "/v2/demo/layers/manifests/index")
            #expect([Manifest.imageIndex, Manifest.dockerManifestList].contains(index.headers["content-type"]))
            try await program("buildah", store + ["rmi", "--all", "--force"])
            try await program("buildah", store + ["pull"] + access + ["\(image):index"])
            let layers = try await program(
                "skopeo",
                [
                    "inspect", "--tls-verify=false", "--creds", "bob:secret", "--format", "{{len .Layers}}",
                    "docker://\(image):1",
                ]
            )
            #expect(layers.trimmingCharacters(in: .whitespacesAndNewlines) == "2")
        }
    }
}
