import Foundation
import TestKit
import Testing

/// Rolling updates of servers that end at once on SIGTERM, with stock manifests, lose no request.
///
/// `SAMPAN_ROLLS=50` makes the run longer.
@Suite(.serialized) struct ZeroDowntimeTests {
    @Test(.timeLimit(.minutes(15))) func rollsLoseNoRequest() async throws {
        try await TestPlatform.with { platform in
            try await platform.addBaseImages("nginx:1.22", "python:3.11-slim")
            let sites = [
                Site(name: "pair", replicas: 2, platform: platform),
                Site(name: "single", replicas: 1, platform: platform),
            ]
            for site in sites { try await site.deploy() }
            let neighbour = Neighbour(platform: platform)
            try await neighbour.start(calling: sites)

            let load = SteadyLoad(port: platform.gatewayPort, hosts: sites.map(\.host))
            try await waitUntil("the first requests") { load.requests > 100 }
            let rolls = setting("SAMPAN_ROLLS", default: 10)
            let duration = try await ContinuousClock().measure {
                for roll in 1...rolls {
                    for site in sites { try await site.roll(roll) }
                    for site in sites { try await site.waitUntilRolledOut() }
                }
            }
            let report = try await load.stop()
            let calls = try await neighbour.stop()
            print("zero downtime: \(rolls) rolls of two deployments in \(duration)")
            print("through the gateway: \(report)")
            print(
                "between pods: \(calls.requests) requests, \(calls.failures.count) failed \(calls.failures.prefix(5))"
            )

            #expect(report.failures.isEmpty)
            #expect(report.requests > 1000)
            // Every pod says its name: answers came from the first pods and from those of the rolls.
            #expect(report.bodies.count > rolls)
            #expect(calls.failures.isEmpty)
            #expect(calls.requests > 100)
        }
    }
}

/// A pod that calls services the way programs in pods do, by name and by cluster address, each time on a fresh connection.
private struct Neighbour {
    let platform: TestPlatform

    func start(calling sites: [Site]) async throws {
        var targets: [String] = []
        for site in sites {
            let address = try await platform.kubectl("get", "service", site.name, "-o", "jsonpath={.spec.clusterIP}")
            targets += ["http://\(site.name)/", "http://\(address)/"]
        }
        try await platform.kubectl("apply", "-f", "-", input: manifest(targets))
        try await platform.kubectl("wait", "--for=condition=Ready", "pod/neighbour", "--timeout=120s")
        try await waitUntil("the first call between pods", within: .seconds(60)) {
            try await log().contains { $0.hasPrefix("sent") }
        }
    }

    func stop() async throws -> (requests: Int, failures: [String]) {
        let lines = try await log()
        try await platform.kubectl("delete", "pod", "neighbour", "--wait=false")
        let sent = lines.last { $0.hasPrefix("sent") }?.split(separator: " ").last.flatMap { Int($0) }
        return (sent ?? 0, lines.filter { !$0.hasPrefix("sent") })
    }

    private func log() async throws -> [String] {
        try await platform.kubectl("logs", "neighbour").split(separator: "\n").map(String.init)
    }

    private func manifest(_ targets: [String]) -> String {
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: neighbour}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
            - name: caller
              image: python:3.11-slim
              command: [python3, -u, -c]
              args:
                - |
                  import itertools, time, urllib.request
                  urls = "\(targets.joined(separator: " "))".split()
                  for sent, url in enumerate(itertools.cycle(urls), 1):
                      try:
                          with urllib.request.urlopen(url, timeout=5) as answer:
                              answer.read()
                      except Exception as error:
                          print("failed", url, repr(error))
                      if sent % 40 == 0:
                          print("sent", sent)
                      time.sleep(0.02)

        """
    }
}
