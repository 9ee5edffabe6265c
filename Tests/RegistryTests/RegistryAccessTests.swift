import Foundation
import Testing

@testable import Registry

struct RegistryAccessTests {
    @Test func asksForATokenOfTheRightScope() async throws {
        try await LiveRegistry.run { registry in
            let base = try await registry.send("GET", "/v2/", as: nil)
            #expect(base.status == 401 && base.code == "UNAUTHORIZED")
            #expect(
                base.headers["www-authenticate"]
                    == #"Bearer realm="http://\#(registry.host)/jwt/auth",service="sampan""#
            )
            let push = try await registry.send("POST", "/v2/a/b/blobs/uploads/", as: nil)
            #expect(push.headers["www-authenticate"]?.hasSuffix(#"scope="repository:a/b:push""#) == true)
        }
    }

    @Test(
        arguments: [
            ("alice:secret", "a", "PUT", 404), ("bob:secret", "a", "PUT", 403), ("bob:secret", "a", "GET", 404),
            ("bob:secret", "a", "DELETE", 403), ("bob:wrong", "a", "GET", 401), (nil, "a", "GET", 401),
            (nil, "mirror/docker.io/library/alpine", "GET", 404), (nil, "sampan/helper", "GET", 404),
            (nil, "sampan/helper", "PUT", 401), (nil, "sampanx/helper", "GET", 401),
        ] as [(String?, String, String, Int)]
    )
    func decides(user: String?, repository: String, method: String, status: Int) async throws {
        try await LiveRegistry.run { registry in
            let manifest = #"{"schemaVersion":2,"config":{"digest":"\#(ContentDigest(of: [1]))"},"layers":[]}"#
            let body = method == "PUT" ? Array(manifest.utf8) : nil
            let answer = try await registry.send(method, "/v2/\(repository)/manifests/x", body, as: user)
            #expect(answer.status == status)
        }
    }

    @Test func tokensCarryWhatTheUserMayDoOfWhatWasAsked() async throws {
        try await LiveRegistry.run { registry in
            let token = try await registry.token(as: "bob:secret", scope: "repository:a/b:pull,push")
            let bearer = ["Authorization": "Bearer \(token)"]
            #expect(try await registry.send("GET", "/v2/", headers: bearer).status == 200)
            #expect(try await registry.send("GET", "/v2/a/b/manifests/x", headers: bearer).status == 404)
            #expect(try await registry.send("GET", "/v2/other/manifests/x", headers: bearer).status == 401)
            #expect(try await registry.send("POST", "/v2/a/b/blobs/uploads/", headers: bearer).status == 403)
            #expect(
                try await registry.send("GET", "/v2/", headers: ["Authorization": "Bearer \(token)x"]).status == 401
            )
            #expect(try await registry.send("GET", "/jwt/auth?service=sampan", as: "bob:wrong").status == 401)
        }
    }

    @Test func anybodyGetsATokenForPublicImagesOnly() async throws {
        try await LiveRegistry.run { registry in
            let token = try await registry.token(as: nil, scope: "repository:mirror/a:pull")
            let bearer = ["Authorization": "Bearer \(token)"]
            #expect(try await registry.send("GET", "/v2/mirror/a/manifests/x", headers: bearer).status == 404)
            #expect(try await registry.send("GET", "/v2/a/b/manifests/x", headers: bearer).status == 401)
        }
    }
}

extension LiveRegistry {
    fileprivate func token(as user: String?, scope: String) async throws -> String {
        struct Body: Decodable { let token: String }
        let answer = try await send("GET", "/jwt/auth?service=sampan&scope=\(scope)", as: user)
        return try JSONDecoder().decode(Body.self, from: Data(answer.body)).token
    }
}
