import Foundation
import TestKit
import Testing

/// What `make demo` promises of the shop in `examples/`: it goes live by one command, the command again changes nothing, and no
/// later roll of any of its services loses a request.
///
/// `SAMPAN_ROLLS=50` makes the run longer.
@Suite(.serialized) struct ShopTests {
    private static let host = "demo-shop-daily.localhost"

    @Test(.timeLimit(.minutes(20))) func theDemoGoesLiveAndRollsLoseNoRequest() async throws {
        try await TestPlatform.with { platform in
            let first = try await demo(platform)
            #expect(first.contains("The shop is live:   http://\(Self.host):\(platform.gatewayPort)/"))
            #expect(first.contains("Sign in:"))
            #expect(try await isWhole(platform.page(host: Self.host).body))

            let before = try await state(platform)
            let again = try await ContinuousClock().measure { _ = try await demo(platform) }
            print("the demo again: \(again)")
            #expect(try await state(platform) == before)

            try await roll(platform)
        }
    }

    private func roll(_ platform: TestPlatform) async throws {
        let load = SteadyLoad(port: platform.gatewayPort, hosts: [Self.host], accepts: isWhole)
        try await waitUntil("the first requests") { load.requests > 100 }
        let rolls = setting("SAMPAN_ROLLS", default: 5)
        let duration = try await ContinuousClock().measure {
            for number in 1...rolls {
                if number.isMultiple(of: 5) {
                    try await push(version: number, platform)
                } else {
                    try await restart(platform)
                }
            }
        }
        let last = "Version <b>\(rolls / 5 * 5)"
        // The load may not have asked since the last roll. If it never sees the version, the report tells more than this wait.
        try? await waitUntil("the load sees the last version", within: .seconds(30)) {
            load.bodies.contains { $0.contains(last) }
        }
        let report = try await load.stop()
        print("the shop: \(rolls) rolls of three services in \(duration)")
        print("through the gateway: \(report)")
        #expect(report.failures.isEmpty)
        #expect(report.requests > 1000)
        #expect(report.bodies.contains { $0.contains(last) })
    }

    // MARK: - Private

    /// A page is whole when all three services had a part in it.
    @Sendable private func isWhole(_ page: String) -> Bool {
        page.contains("Version <b>") && page.contains("Teapot, clay") && page.contains("orders so far")
            && !page.contains("error occurred")
    }

    private func demo(_ platform: TestPlatform) async throws -> String {
        try await Shell.run(
            "\(TestPlatform.sources)/Scripts/demo",
            ["--sampan", TestPlatform.program, "--home", platform.home] + platform.options
        )
    }

    /// The releases and the containers that run.
    private func state(_ platform: TestPlatform) async throws -> String {
        try await platform.sampan("releases", "demo/shop", "-o", "json")
            + platform.kubectl(
                "get",
                "pods",
                "-n",
                "demo-shop-daily",
                "-o",
                "jsonpath={range .items[*]}{.metadata.name}={.status.containerStatuses[0].containerID} {end}"
            )
    }

    private func restart(_ platform: TestPlatform) async throws {
        try await platform.kubectl("-n", "demo-shop-daily", "rollout", "restart", "deployment")
        for name in ["web", "catalog", "orders"] {
            try await platform.kubectl(
                "-n",
                "demo-shop-daily",
                "rollout",
                "status",
                "deployment/\(name)",
                "--timeout=60s"
            )
        }
    }

    private func push(version: Int, _ platform: TestPlatform) async throws {
        let clone = "\(platform.home)/demo/shop"
        try "\(version)\n".write(toFile: "\(clone)/web/version.txt", atomically: true, encoding: .utf8)
        try await Shell.run("git", ["-C", clone, "commit", "-q", "-a", "-m", "Version \(version)"])
        let token = try await platform.token()
        let remote = "http://root:\(token)@127.0.0.1:\(platform.webPort)/demo/shop.git"
        try await Shell.run("git", ["-C", clone, "push", "-q", remote, "main"])
        try await waitUntil("version \(version)", within: .seconds(400)) {
            try await platform.page(host: Self.host).body.contains("Version <b>\(version)")
        }
    }
}
