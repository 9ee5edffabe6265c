import Foundation
import Synchronization

/// A platform of its own for a test: the real program in a temporary home, on free ports and addresses that no other home uses.
///
/// When the test is over everything is taken down and the machine is checked for what stayed behind.
package final class TestPlatform: Sendable {
    package let home: String
    package let apiPort: Int
    package let webPort: Int
    package let gatewayPort: Int
    private let second: Int
    private static let seeds = Mutex(Int.random(in: 0..<1000))

    package var web: String { "http://127.0.0.1:\(webPort)" }
    package var gateway: String { "http://127.0.0.1:\(gatewayPort)" }
    package var registry: String { "127.0.0.1:\(webPort)" }

    /// Runs `body` on a platform that is up, takes it down and expects no leftovers. With `diskMebibytes` its home is a disk of that
    /// size, which can become full without harm to others.
    package static func with(
        diskMebibytes: Int? = nil,
        _ body: (TestPlatform) async throws -> Void
    ) async throws {
        let platform = TestPlatform()
        // A run that was ended in the middle may have left a home of this name.
        try? FileManager.default.removeItem(atPath: platform.home)
        if let diskMebibytes { try await platform.mountDisk(mebibytes: diskMebibytes) }
        do {
            try await run(platform, body)
        } catch {
            if diskMebibytes != nil { try? await platform.unmountDisk() }
            throw error
        }
        if diskMebibytes != nil { try await platform.unmountDisk() }
        try await platform.expectNoLeftovers()
    }

    private static func run(_ platform: TestPlatform, _ body: (TestPlatform) async throws -> Void) async throws {
        do {
            try await platform.up()
            try await body(platform)
        } catch {
            let log = (try? String(contentsOfFile: "\(platform.home)/logs/server.log", encoding: .utf8)) ?? ""
            print("--- end of the server's log ---\n\(log.suffix(12_000))\n---")
            try? await platform.down()
            throw error
        }
        try await platform.down()
    }

    private func mountDisk(mebibytes: Int) async throws {
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
        try await Shell.run("mount", ["-t", "tmpfs", "-o", "size=\(mebibytes)m,mode=700", "sampan-test", home])
    }

    private func unmountDisk() async throws {
        try await Shell.run("umount", [home])
    }

    private init() {
        // Addresses repeat after sixty: platforms that run side by side get different ones.
        let seed = Self.seeds.withLock { seeds in
            seeds += 1
            return seeds % 1000
        }
        // Below the range that the kernel gives to outgoing connections, so that nobody takes a port between two starts.
        apiPort = 20_000 + seed * 4
        webPort = apiPort + 1
        gatewayPort = apiPort + 2
        second = 60 + seed % 60 * 2
        home = "/tmp/sampan-\(apiPort)"
    }

    // MARK: - The program

    /// The executable that was built with the tests.
    package static var program: String {
        if let path = ProcessInfo.processInfo.environment["SAMPAN_PROGRAM"] { return path }
        return Bundle.main.bundleURL.appending(path: "sampan").path
    }

    /// The package's folder.
    package static var sources: String {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .path
    }

    @discardableResult
    package func sampan(_ arguments: String...) async throws -> String {
        try await Shell.run(Self.program, arguments + ["--home", home])
    }

    package func attempt(_ arguments: String...) async throws -> Shell.Result {
        try await Shell.attempt(Self.program, arguments + ["--home", home])
    }

    package func up() async throws {
        try await Shell.run(Self.program, ["up", "--home", home] + options)
    }

    /// The options that `sampan up` is started with.
    package var options: [String] {
        [
            "--api-port", "\(apiPort)", "--web-port", "\(webPort)", "--gateway-port", "\(gatewayPort)",
            "--gateway-tls-port", "\(gatewayPort + 1)", "--pod-cidr", "10.\(second).0.0/16", "--service-cidr",
            "10.\(second + 1).0.0/16",
        ]
    }

    package func down() async throws {
        try await sampan("down", "--workloads")
    }

    // MARK: - Clients

    package var kubeconfig: String { "\(home)/kubernetes/admin.kubeconfig" }

    @discardableResult
    package func kubectl(_ arguments: String..., input: String = "") async throws -> String {
        try await Shell.run("kubectl", ["--kubeconfig", kubeconfig] + arguments, input: input)
    }

    @discardableResult
    package func kubectl(_ arguments: [String]) async throws -> String {
        try await Shell.run("kubectl", ["--kubeconfig", kubeconfig] + arguments)
    }

    package func attemptKubectl(_ arguments: String..., input: String = "") async throws -> Shell.Result {
        try await Shell.attempt("kubectl", ["--kubeconfig", kubeconfig] + arguments, input: input)
    }

    /// The body and status of a page served by the gateway for `host`.
    package func page(host: String, path: String = "/") async throws -> (status: Int, body: String) {
        let result = try await Shell.attempt(
            "curl",
            ["-s", "-m", "10", "-w", "\n%{http_code}", "-H", "Host: \(host)", "\(gateway)\(path)"]
        )
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        return (Int(lines.last ?? "") ?? 0, lines.dropLast().joined(separator: "\n"))
    }

    /// Makes the named base images and puts them into this platform's registry.
    package func addBaseImages(_ names: String...) async throws {
        let token = try await token()
        try await Shell.run(
            "\(Self.sources)/Scripts/base-images",
            ["--registry", registry, "--cache", "/var/tmp/sampan-base-images", "--credentials", "root:\(token)"] + names
        )
    }

    package func token() async throws -> String {
        try await sampan("token", "create", "--scope", "api").trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// The pid of a program of this platform, such as `server`.
    package func pid(_ name: String) throws -> Int32 {
        let text = try String(contentsOfFile: "\(home)/run/\(name).pid", encoding: .utf8)
        guard let pid = text.split(separator: " ").first.flatMap({ Int32($0) }) else {
            throw WaitTimeout(description: "\(name) has no pid file")
        }
        return pid
    }

    /// The last lines of a program's log.
    package func logTail(_ name: String, _ lines: Int) async throws -> String {
        try await Shell.run("tail", ["-n", "\(lines)", "\(home)/logs/\(name).log"])
    }

    /// Where this platform's containerd answers `ctr --address`.
    package var containerdSocket: String { "\(home)/containerd/containerd.sock" }

    // MARK: - Leftovers

    /// Nothing of this home may stay: no process, mount, interface, table or control group. Then the home itself is removed.
    private func expectNoLeftovers() async throws {
        var leftovers: [String] = []
        let processes = try await Shell.attempt("pgrep", ["-af", home]).output
        leftovers += processes.split(separator: "\n").filter { !$0.contains("pgrep") }.map { "process \($0)" }
        let mounts = try await Shell.run("cat", ["/proc/self/mounts"])
        leftovers += mounts.split(separator: "\n").filter { $0.contains(home) }.map { "mount \($0)" }
        let bridges = try FileManager.default.contentsOfDirectory(atPath: "/sys/class/net")
        leftovers += bridges.filter { $0 == "sampan-\(id)" }.map { "interface \($0)" }
        let tables = try await Shell.run("nft", ["list", "tables"])
        leftovers += tables.split(separator: "\n").filter { $0.contains("sampan-\(id)") }.map { "nftables \($0)" }
        // A control group of somebody else that ends meanwhile is an error to find, which then goes on with the others.
        let groups = try await Shell.attempt(
            "find",
            ["/sys/fs/cgroup", "-maxdepth", "4", "-type", "d", "-name", "*\(id)*"]
        ).output
        leftovers += groups.split(separator: "\n").map { "control group \($0)" }
        guard leftovers.isEmpty else {
            throw WaitTimeout(description: "left behind:\n\(leftovers.joined(separator: "\n"))")
        }
        try? FileManager.default.removeItem(atPath: home)
    }

    /// The home's id, as `Home.id` derives it from the path.
    private var id: String {
        let hash = home.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}
