import TestKit
import Testing

/// Two platforms on one machine: neither sees the other's objects, and one coming and going costs the other no request.
@Suite(.serialized) struct TwoHomesTests {
    @Test(.timeLimit(.minutes(10))) func homesDoNotDisturbEachOther() async throws {
        try await TestPlatform.with { first in
            let site = try await deploy("first", on: first)
            let load = SteadyLoad(port: first.gatewayPort, hosts: [site.host])
            try await waitUntil("the first requests") { load.requests > 100 }

            try await TestPlatform.with { second in
                let neighbour = try await deploy("second", on: second)
                #expect(try await first.kubectl("get", "deployments", "-o", "name") == "deployment.apps/first\n")
                #expect(try await second.kubectl("get", "deployments", "-o", "name") == "deployment.apps/second\n")
                #expect(try await first.page(host: neighbour.host).status == 404)
                #expect(try await second.page(host: site.host).status == 404)
            }

            // The second is gone, by `down --workloads` and with the check that nothing of it was left.
            let report = try await load.stop()
            print("the first home while the second came and went: \(report)")
            #expect(report.failures.isEmpty)
            #expect(try await first.page(host: site.host).status == 200)
        }
    }

    private func deploy(_ name: String, on platform: TestPlatform) async throws -> Site {
        try await platform.addBaseImages("nginx:1.22")
        let site = Site(name: name, replicas: 1, platform: platform)
        try await site.deploy()
        return site
    }
}
