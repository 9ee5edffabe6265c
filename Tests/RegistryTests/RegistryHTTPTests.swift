import Foundation
import SystemPackage
import Testing

@testable import Registry

struct RegistryHTTPTests {
    @Test func uploadsInChunksAndContinues() async throws {
        try await LiveRegistry.run { registry in
            let start = try await registry.send("POST", "/v2/a/b/blobs/uploads/")
            #expect(start.status == 202)
            let location = try #require(start.headers["location"])
            let first = try await registry.send(
                "PATCH",
                location,
                Array("hello ".utf8),
                headers: ["Content-Range": "0-5"]
            )
            #expect(first.status == 202 && first.headers["range"] == "0-5")
            let gap = try await registry.send("PATCH", location, Array("x".utf8), headers: ["Content-Range": "9-9"])
            #expect(gap.status == 416 && gap.headers["range"] == "0-5" && gap.code == "BLOB_UPLOAD_INVALID")
            let status = try await registry.send("GET", location)
            #expect(status.status == 204 && status.headers["range"] == "0-5")
            let digest = ContentDigest(of: Array("hello world".utf8))
            let end = try await registry.send("PUT", "\(location)?digest=\(digest)", Array("world".utf8))
            #expect(end.status == 201 && end.headers["docker-content-digest"] == digest.description)
            #expect(try await registry.send("GET", "/v2/a/b/blobs/\(digest)").text == "hello world")
            #expect(try await registry.send("GET", location).code == "BLOB_UPLOAD_UNKNOWN")
        }
    }

    @Test func continuesAnUploadAfterARestart() async throws {
        let root = try LiveRegistry.makeFolder()
        defer { removeFolder(root) }
        let location = try await LiveRegistry.run(root: root) { registry async throws in
            let location = try await registry.send("POST", "/v2/a/blobs/uploads/").headers["location"] ?? ""
            _ = try await registry.send("PATCH", location, Array("hello ".utf8))
            return location
        }
        let digest = ContentDigest(of: Array("hello world".utf8))
        try await LiveRegistry.run(root: root) { registry async throws in
            #expect(try await registry.send("GET", location).headers["range"] == "0-5")
            #expect(try await registry.send("PUT", "\(location)?digest=\(digest)", Array("world".utf8)).status == 201)
        }
        try await LiveRegistry.run(root: root) { registry async throws in
            #expect(try await registry.send("GET", "/v2/a/blobs/\(digest)").text == "hello world")
        }
    }

    @Test func refusesAWrongDigestAndKeepsNothing() async throws {
        try await LiveRegistry.run { registry in
            let answer = try await registry.send("POST", "/v2/a/blobs/uploads/?digest=\(ContentDigest(of: [1]))", [2])
            #expect(answer.status == 400 && answer.code == "DIGEST_INVALID")
            #expect(try await registry.send("HEAD", "/v2/a/blobs/\(ContentDigest(of: [1]))").status == 404)
            #expect(files(below: registry.storage.root.string).isEmpty)
        }
    }

    @Test func cancelsAnUpload() async throws {
        try await LiveRegistry.run { registry in
            let location = try await registry.send("POST", "/v2/a/blobs/uploads/").headers["location"] ?? ""
            #expect(try await registry.send("DELETE", location).status == 204)
            #expect(try await registry.send("PATCH", location, [1]).status == 404)
        }
    }

    @Test func keepsUploadsOfOneRepositoryFromAnother() async throws {
        try await LiveRegistry.run { registry in
            let location = try await registry.send("POST", "/v2/a/blobs/uploads/").headers["location"] ?? ""
            let other = location.replacing("/v2/a/", with: "/v2/b/")
            #expect(try await registry.send("PATCH", other, [1]).code == "BLOB_UPLOAD_UNKNOWN")
            #expect(try await registry.send("GET", "/v2/a/blobs/uploads/..").status == 404)
        }
    }

    @Test func removesUploadsOlderThanADay() async throws {
        try await LiveRegistry.run { registry in
            let location = try await registry.send("POST", "/v2/a/blobs/uploads/").headers["location"] ?? ""
            let now = Int(Date().timeIntervalSince1970)
            try registry.storage.removeExpiredUploads(now: now + RegistryStorage.uploadLifetime - 60)
            #expect(try await registry.send("GET", location).status == 204)
            try registry.storage.removeExpiredUploads(now: now + RegistryStorage.uploadLifetime + 3600)
            #expect(try await registry.send("GET", location).status == 404)
        }
    }

    @Test func servesRanges() async throws {
        try await LiveRegistry.run { registry in
            let blob = Array("0123456789".utf8)
            #expect(try await registry.push(blob, to: "a").status == 201)
            let path = "/v2/a/blobs/\(ContentDigest(of: blob))"
            let part = try await registry.send("GET", path, headers: ["Range": "bytes=2-4"])
            #expect(part.status == 206 && part.text == "234" && part.headers["content-range"] == "bytes 2-4/10")
            let none = try await registry.send("GET", path, headers: ["Range": "bytes=10-"])
            #expect(none.status == 416 && none.headers["content-range"] == "bytes */10")
            let head = try await registry.send("HEAD", path)
            #expect(head.status == 200 && head.headers["content-length"] == "10" && head.body.isEmpty)
        }
    }

    @Test func mountsABlobOfAnotherRepository() async throws {
        try await LiveRegistry.run { registry in
            let digest = ContentDigest(of: [1, 2, 3])
            _ = try await registry.push([1, 2, 3], to: "a")
            #expect(try await registry.send("GET", "/v2/b/blobs/\(digest)").status == 404)
            let mounted = try await registry.send("POST", "/v2/b/blobs/uploads/?mount=\(digest)&from=a")
            #expect(mounted.status == 201)
            #expect(try await registry.send("GET", "/v2/b/blobs/\(digest)").body == [1, 2, 3])
            let unknown = try await registry.send("POST", "/v2/b/blobs/uploads/?mount=\(ContentDigest(of: [9]))&from=a")
            #expect(unknown.status == 202 && unknown.headers["location"] != nil)
            #expect(try await registry.send("DELETE", "/v2/a/blobs/\(digest)").status == 202)
            #expect(try await registry.send("GET", "/v2/a/blobs/\(digest)").status == 404)
            #expect(try await registry.send("GET", "/v2/b/blobs/\(digest)").status == 200)
        }
    }

    @Test func servesManifestsByTagAndDigest() async throws {
        try await LiveRegistry.run { registry in
            let digest = try await registry.pushImage("a/b", tag: "v1")
            for reference in ["v1", digest.description] {
                let answer = try await registry.send("GET", "/v2/a/b/manifests/\(reference)")
                #expect(answer.headers["content-type"] == Manifest.imageManifest)
                #expect(answer.headers["docker-distribution-api-version"] == "registry/2.0")
                #expect(ContentDigest(of: answer.body) == digest)
            }
            #expect(try await registry.send("DELETE", "/v2/a/b/manifests/v1").status == 202)
            #expect(try await registry.send("GET", "/v2/a/b/manifests/v1").code == "MANIFEST_UNKNOWN")
            #expect(try await registry.send("HEAD", "/v2/a/b/manifests/\(digest)").status == 200)
            _ = try await registry.pushImage("a/b", tag: "v2")
            #expect(try await registry.send("DELETE", "/v2/a/b/manifests/\(digest)").status == 202)
            #expect(try await registry.send("GET", "/v2/a/b/tags/list").text == #"{"name":"a/b","tags":[]}"#)
        }
    }

    @Test func refusesManifestsThatReferenceWhatIsNotThere() async throws {
        try await LiveRegistry.run { registry in
            let missing = ContentDigest(of: [7])
            let manifest = #"{"schemaVersion":2,"config":{"digest":"\#(missing)"},"layers":[]}"#
            let answer = try await registry.send("PUT", "/v2/a/manifests/x", Array(manifest.utf8))
            #expect(answer.status == 404 && answer.code == "MANIFEST_BLOB_UNKNOWN" && answer.text.contains(missing.hex))
            let long = try await registry.send("PUT", "/v2/a/manifests/x", [UInt8](repeating: 32, count: (4 << 20) + 1))
            #expect(long.status == 413 && long.code == "SIZE_INVALID")
            let wrong = try await registry.send(
                "PUT",
                "/v2/a/manifests/\(missing)",
                Array(#"{"schemaVersion":2,"manifests":[]}"#.utf8)
            )
            #expect(wrong.status == 400 && wrong.code == "DIGEST_INVALID")
        }
    }

    @Test func listsTagsAndRepositoriesInPages() async throws {
        try await LiveRegistry.run { registry in
            for tag in ["c", "a", "b"] { _ = try await registry.pushImage("x/y", tag: tag) }
            _ = try await registry.pushImage("x", tag: "a")
            let first = try await registry.send("GET", "/v2/x/y/tags/list?n=2")
            #expect(first.text == #"{"name":"x/y","tags":["a","b"]}"#)
            #expect(first.headers["link"] == #"</v2/x/y/tags/list?n=2&last=b>; rel="next""#)
            let rest = try await registry.send("GET", "/v2/x/y/tags/list?n=2&last=b")
            #expect(rest.text == #"{"name":"x/y","tags":["c"]}"# && rest.headers["link"] == nil)
            #expect(try await registry.send("GET", "/v2/_catalog").text == #"{"repositories":["x","x/y"]}"#)
            #expect(try await registry.send("GET", "/v2/nothing/tags/list").code == "NAME_UNKNOWN")
        }
    }

    @Test func listsReferrersOfASubject() async throws {
        try await LiveRegistry.run { registry in
            let subject = try await registry.pushImage("a", tag: "v1")
            let signature = try await registry.pushImage("a", tag: "sig", layer: "signature", subject: subject)
            let all = try await registry.send("GET", "/v2/a/referrers/\(subject)")
            #expect(all.headers["content-type"] == Manifest.imageIndex && all.text.contains(signature.description))
            let typed = try await registry.send("GET", "/v2/a/referrers/\(subject)?artifactType=application/other")
            #expect(typed.headers["oci-filters-applied"] == "artifactType" && !typed.text.contains(signature.hex))
            #expect(try await registry.send("DELETE", "/v2/a/manifests/\(signature)").status == 202)
            #expect(try await !registry.send("GET", "/v2/a/referrers/\(subject)").text.contains(signature.hex))
        }
    }

    @Test func sparesUploadsThatAreJustBeingStarted() async throws {
        try await LiveRegistry.run { registry in
            let begun = registry.storage.root.string + "/uploads/" + UUID().uuidString.lowercased()
            try FileManager.default.createDirectory(atPath: begun, withIntermediateDirectories: true)
            let now = Int(Date().timeIntervalSince1970)
            try registry.storage.removeExpiredUploads(now: now + 3600)
            #expect(FileManager.default.fileExists(atPath: begun))
            try registry.storage.removeExpiredUploads(now: now + RegistryStorage.uploadLifetime + 7200)
            #expect(!FileManager.default.fileExists(atPath: begun))
        }
    }

    @Test func takesOneBlobFromManyAtOnce() async throws {
        try await LiveRegistry.run { registry in
            let blob = [UInt8](repeating: 42, count: 3 << 20)
            try await withThrowingTaskGroup(of: Int.self) { group in
                for index in 0..<8 { group.addTask { try await registry.push(blob, to: "r\(index % 2)").status } }
                for try await status in group { #expect(status == 201) }
            }
            let digest = ContentDigest(of: blob)
            #expect(try await registry.send("GET", "/v2/r0/blobs/\(digest)").body == blob)
            #expect(files(below: registry.storage.root.string + "/blobs").count == 1)
            #expect(files(below: registry.storage.root.string + "/uploads").isEmpty)
        }
    }

    @Test func keepsNoPartOfAnUploadWhoseClientVanishes() async throws {
        try await LiveRegistry.run { registry in
            let blob = [UInt8](repeating: 1, count: 4 << 20)
            let digest = ContentDigest(of: blob)
            // curl announces 4 MiB, sends slowly and is ended in the middle by its own deadline.
            let file = "/tmp/registry-tests-\(registry.port).blob"
            try Data(blob).write(to: URL(fileURLWithPath: file))
            defer { try? FileManager.default.removeItem(atPath: file) }
            await #expect(throws: ProgramFailed.self) {
                try await program(
                    "curl",
                    [
                        "-sS", "-u", "alice:secret", "--limit-rate", "1M", "--max-time", "1", "-X", "POST",
                        "--data-binary",
                        "@\(file)", "http://\(registry.host)/v2/a/blobs/uploads/?digest=\(digest)",
                    ]
                )
            }
            #expect(try await registry.send("HEAD", "/v2/a/blobs/\(digest)").status == 404)
            #expect(files(below: registry.storage.root.string + "/blobs").isEmpty)
            #expect(try await registry.push(blob, to: "a").status == 201)
        }
    }

    @Test func saysThatTheDiskIsFullAndKeepsWhatWasThere() async throws {
        let root = try LiveRegistry.makeFolder()
        try await program("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", root])
        let result = await Result.catching {
            try await LiveRegistry.run(root: root) { registry async throws in
                let digest = try await registry.pushImage("a", tag: "v1")
                let blob = [UInt8](repeating: 7, count: 4 << 20)
                let full = try await registry.push(blob, to: "a")
                #expect(full.status == 507 && full.code == "DENIED" && full.text.contains("disk is full"))
                #expect(try await registry.send("HEAD", "/v2/a/blobs/\(ContentDigest(of: blob))").status == 404)
                #expect(try await registry.send("HEAD", "/v2/a/manifests/\(digest)").status == 200)
                #expect(try await registry.push([UInt8](repeating: 7, count: 1 << 20), to: "a").status == 201)
            }
        }
        try await program("umount", ["-l", root])
        removeFolder(root)
        try result.get()
    }
}

extension Result where Success: Sendable, Failure == any Error {
    static func catching(_ work: () async throws -> Success) async -> Self {
        do { return .success(try await work()) } catch { return .failure(error) }
    }
}
