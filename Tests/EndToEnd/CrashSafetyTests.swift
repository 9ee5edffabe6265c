import Foundation
import TestKit
import Testing

/// Programs of the platform that are killed at any time cost no container, no request and no acknowledged write.
///
/// `SAMPAN_CRASHES=20` makes the run longer.
@Suite(.serialized) struct CrashSafetyTests {
    @Test(.timeLimit(.minutes(15))) func killedProgramsComeBack() async throws {
        try await TestPlatform.with { platform in
            try await platform.addBaseImages("nginx:1.22")
            let steady = Site(name: "steady", replicas: 2, platform: platform)
            let rolling = Site(name: "rolling", replicas: 2, platform: platform)
            for site in [steady, rolling] { try await site.deploy() }
            try await killServer(of: platform, steady, rolling)
            try await askWithoutServer(platform)
            try await killGateway(of: platform, steady)
        }
    }

    private func killServer(of platform: TestPlatform, _ steady: Site, _ rolling: Site) async throws {
        let containers = try await steady.containers()
        let programs = try ["gateway", "containerd"].map(platform.pid)
        let load = SteadyLoad(port: platform.gatewayPort, hosts: [steady.host, rolling.host])
        let writer = Writer(try await APIAccess(platform))
        var restarts: [Duration] = []
        for crash in 1...setting("SAMPAN_CRASHES", default: 5) {
            async let written: Void = writer.writeUntilRefused()
            try await rolling.roll(crash)
            // At another point of the rollout each time.
            try await Task.sleep(for: .milliseconds(150 * crash % 1000))
            kill(try platform.pid("server"), SIGKILL)
            try await written
            restarts.append(try await ContinuousClock().measure { try await platform.up() })
        }
        try await rolling.waitUntilRolledOut()
        let report = try await load.stop()
        let names = try await platform.kubectl("get", "configmaps", "-o", "name").split(separator: "\n")
        let lost = writer.acknowledged.value.filter { !names.contains("configmap/\($0)") }

        let median = restarts.sorted()[restarts.count / 2]
        print(
            "crash safety: \(restarts.count) kills of the server, ready again in median \(median), at most \(restarts.max() ?? .zero)"
        )
        print(
            "\(writer.acknowledged.value.count) acknowledged writes, \(lost.count) lost; through the gateway: \(report)"
        )
        #expect(report.failures.isEmpty)
        #expect(lost.isEmpty)
        #expect(writer.acknowledged.value.count > restarts.count)
        #expect(try await steady.containers() == containers)
        #expect(try ["gateway", "containerd"].map(platform.pid) == programs)
        #expect(median <= .seconds(30))
    }

    /// The socket of a server that is gone is still there: nobody waits for an answer from it.
    private func askWithoutServer(_ platform: TestPlatform) async throws {
        kill(try platform.pid("server"), SIGKILL)
        let start = ContinuousClock.now
        let answer = try await platform.attempt("status")
        #expect(answer.exitCode == 1)
        #expect(answer.output.contains("not running; start it"), "\(answer)")
        #expect(ContinuousClock.now - start < .seconds(15))
        try await platform.up()
    }

    private func killGateway(of platform: TestPlatform, _ site: Site) async throws {
        var outages: [Duration] = []
        for _ in 1...3 {
            let pid = try platform.pid("gateway")
            kill(pid, SIGKILL)
            outages.append(
                try await ContinuousClock().measure {
                    try await waitUntil("the gateway to serve again", within: .seconds(60)) {
                        try await platform.page(host: site.host).status == 200
                    }
                }
            )
            try await waitUntil("the new pid is written") {
                (try? platform.pid("gateway")).map { $0 != pid } ?? false
            }
        }
        print("kills of the gateway: serving again after \(outages)")
        #expect(outages.sorted()[1] <= .seconds(30))
    }
}

/// What a plain HTTP client needs to talk to the Kubernetes API.
private struct APIAccess {
    let platform: TestPlatform
    let token: String

    init(_ platform: TestPlatform) async throws {
        self.platform = platform
        token = try await platform.kubectl("config", "view", "--raw", "-o", "jsonpath={.users[0].user.token}")
    }

    /// The status of the answer; 0 when there was none.
    func create(configMap name: String) async throws -> Int {
        let result = try await Shell.attempt(
            "curl",
            [
                "-sk", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Authorization: Bearer \(token)",
                "-H", "Content-Type: application/json", "-d",
                #"{"metadata":{"name":"\#(name)"},"data":{"name":"\#(name)"}}"#,
                "https://127.0.0.1:\(platform.apiPort)/api/v1/namespaces/default/configmaps",
            ]
        )
        return Int(result.output) ?? 0
    }
}

/// Creates objects one after the other and keeps the names of those that the API acknowledged.
private struct Writer {
    let access: APIAccess
    let acknowledged = Shared<[String]>([])

    init(_ access: APIAccess) { self.access = access }

    /// Ends with the first write that is not answered.
    func writeUntilRefused() async throws {
        let run = UUID().uuidString.lowercased().prefix(8)
        for number in 0..<10_000 {
            let name = "write-\(run)-\(number)"
            let status = try await access.create(configMap: name)
            guard status != 0 else { return }
            #expect(status == 201)
            acknowledged.change { $0.append(name) }
        }
    }
}
