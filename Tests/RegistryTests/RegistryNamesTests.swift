import Testing

@testable import Registry

struct RepositoryNameTests {
    @Test(arguments: [
        "a", "demo/shop", "demo/shop/web", "a.b", "a_b", "a__b", "a-b", "a---b", "0/1",
        "mirror/docker.io/library/alpine",
    ])
    func accepts(name: String) { #expect(RepositoryName(name)?.description == name) }

    @Test(arguments: [
        "", "/", "a/", "/a", "a//b", "A", "a/B", ".a", "a.", "a..b", "_a", "a___b", "-a", "a-", "..", "a/../b",
        "a/_tags", "a b",
        "ä", String(repeating: "a", count: 256),
    ])
    func refuses(name: String) { #expect(RepositoryName(name) == nil) }
}

struct ManifestReferenceTests {
    @Test(arguments: ["latest", "v1.2-3_4", "_x", "A", String(repeating: "a", count: 128)])
    func acceptsTag(text: String) { #expect(ManifestReference(text) == .tag(text)) }

    @Test(arguments: ["", ".hidden", "-x", "a/b", "a:b", String(repeating: "a", count: 129), "sha256:12"])
    func refuses(text: String) { #expect(ManifestReference(text) == nil) }

    @Test func readsDigest() throws {
        let digest = ContentDigest(of: [])
        #expect(digest.description == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(ManifestReference(digest.description) == .digest(digest))
        #expect(ContentDigest("sha256:" + digest.hex.uppercased()) == nil)
    }
}

struct RegistryEndpointTests {
    static let digest = ContentDigest(of: [])
    static let name = RepositoryName("a/b")!

    @Test(
        arguments: [
            ("/v2", .base), ("/v2/", .base), ("/v2/_catalog", .catalog), ("/v2/a/b/tags/list", .tags(name)),
            ("/v2/a/b/manifests/latest", .manifest(name, .tag("latest"))),
            ("/v2/a/b/manifests/\(digest)", .manifest(name, .digest(digest))),
            ("/v2/a/b/blobs/sha256%3A\(digest.hex)", .blob(name, digest)), ("/v2/a/b/blobs/uploads/", .uploads(name)),
            ("/v2/a/b/blobs/uploads/7", .upload(name, identifier: "7")),
            ("/v2/a/b/referrers/\(digest)", .referrers(name, digest)),
        ] as [(String, RegistryEndpoint)]
    )
    func reads(path: String, endpoint: RegistryEndpoint) throws {
        #expect(try RegistryEndpoint(path: path) == endpoint)
    }

    @Test(arguments: [
        ("/v2/a/../b/tags/list", "NAME_INVALID"), ("/v2/%2e%2e/tags/list", "NAME_INVALID"),
        ("/v2/tags/list", "NAME_INVALID"),
        ("/v2/a/manifests/.x", "MANIFEST_INVALID"), ("/v2/a/blobs/sha512:0", "DIGEST_INVALID"),
        ("/v2/a/b", "NAME_UNKNOWN"),
    ])
    func refuses(path: String, code: String) throws {
        let error = #expect(throws: RegistryError.self) { try RegistryEndpoint(path: path) }
        #expect(error?.code.rawValue == code)
    }
}

struct BlobRangeTests {
    @Test(
        arguments: [
            (nil, .whole), ("bytes=0-0", .part(0..<1)), ("bytes=2-4", .part(2..<5)), ("bytes=5-", .part(5..<10)),
            ("bytes=-3", .part(7..<10)), ("bytes=8-99", .part(8..<10)), ("bytes=-99", .part(0..<10)),
            ("bytes=10-", .unsatisfiable),
            ("bytes=-0", .unsatisfiable), ("bytes=4-2", .whole), ("bytes=a-b", .whole), ("bytes=0-1,4-5", .whole),
            ("lines=1-2", .whole),
        ] as [(String?, BlobRange)]
    )
    func reads(header: String?, range: BlobRange) { #expect(BlobRange(header, size: 10) == range) }
}

struct ManifestTests {
    static let digest = ContentDigest(of: [])

    @Test func collectsWhatMustExist() throws {
        let text = """
            {"schemaVersion":2,"config":{"digest":"\(Self.digest)","mediaType":"a/b"},
             "layers":[{"digest":"\(ContentDigest(of: [1]))"},{"digest":"\(ContentDigest(of: [2]))","urls":["https://x"]}]}
            """
        let manifest = try Manifest(parsing: Array(text.utf8), contentType: nil)
        #expect(manifest.mediaType == Manifest.imageManifest)
        #expect(manifest.blobs == [Self.digest, ContentDigest(of: [1])])
        #expect(manifest.artifactType == "a/b")
    }

    @Test(
        arguments: [
            ("{", nil, "not the JSON"), (#"{"schemaVersion":1}"#, nil, "schemaVersion is 1"),
            (#"{"schemaVersion":2,"layers":[]}"#, Manifest.imageManifest, #"needs the field "config""#),
            (#"{"schemaVersion":2,"config":{"digest":"x"},"layers":[]}"#, nil, "is no digest"),
            (#"{"schemaVersion":2,"mediaType":"a/b"}"#, Manifest.imageManifest, "but the manifest's mediaType is a/b"),
            (#"{"schemaVersion":2}"#, "text/plain", #"type "text/plain" are not supported"#),
            (#"{"schemaVersion":2,"layers":[{}],"config":{"digest":"x"}}"#, nil, #"has no field "digest""#),
        ] as [(String, String?, String)]
    )
    func refuses(text: String, contentType: String?, message: String) {
        let error = #expect(throws: RegistryError.self) {
            try Manifest(parsing: Array(text.utf8), contentType: contentType)
        }
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }
}

struct TokenSignerTests {
    @Test func acceptsOnlyItsOwnTokensWhileTheyLast() async throws {
        let folder = try LiveRegistry.makeFolder()
        defer { removeFolder(folder) }
        let signer = try TokenSigner(keyFile: folder + "/a")
        let claims = TokenSigner.Claims(
            sub: "alice",
            iat: 100,
            exp: 400,
            access: [.init(name: "a/b", actions: ["pull"])]
        )
        let token = try signer.token(claims)
        #expect(signer.claims(of: token, now: 399) == claims)
        #expect(signer.claims(of: token, now: 400) == nil)
        #expect(signer.claims(of: token.dropLast(2) + "AA", now: 100) == nil)
        #expect(try TokenSigner(keyFile: folder + "/a").claims(of: token, now: 100) == claims)
        #expect(try TokenSigner(keyFile: folder + "/b").claims(of: token, now: 100) == nil)
        #expect(permissions(of: folder + "/a") == 0o600)
    }
}
