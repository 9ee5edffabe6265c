import Foundation
import TestKit
import Testing

/// Every command as people and scripts use it: text, JSON, exit codes.
@Suite(.serialized, .journeyPlatform) struct CommandLineTests {
    // MARK: - One platform

    @Test(.timeLimit(.minutes(2)))
    func tablesAreAlsoJSON() async throws {
        let platform = try JourneyPlatform.current
        #expect(try await platform.sampan("status").hasPrefix("COMPONENT"))
        let status = try await json(platform, "status")
        #expect(status["ready"] as? Bool == true)
        #expect((status["urls"] as? [String: String])?["web"] == platform.web)
        #expect(try await platform.sampan("doctor").hasPrefix("RESULT"))
        let findings = try await Shell.run(TestPlatform.program, ["doctor", "--home", platform.home, "-o", "json"])
        let checks = try #require(JSONSerialization.jsonObject(with: Data(findings.utf8)) as? [[String: String]])
        #expect(checks.contains { $0["check"] == "programs" && $0["severity"] == "ok" })
        #expect(try await platform.sampan("kubeconfig") == platform.kubeconfig + "\n")
        #expect(try await json(platform, "kubeconfig")["path"] as? String == platform.kubeconfig)
        let version = try await Shell.run(TestPlatform.program, ["version"])
        #expect(version.hasPrefix("sampan "))
        let number = try await Shell.run(TestPlatform.program, ["version", "-o", "json"])
        #expect(number.contains(version.dropFirst("sampan ".count).dropLast()))
    }

    @Test(.timeLimit(.minutes(2)))
    func tokensAndProjectsAreMade() async throws {
        let platform = try JourneyPlatform.current
        let text = try await platform.sampan("token", "create", "--scope", "api").dropLast()
        let object = try await json(platform, "token", "create", "--scope", "read_api")
        for token in [String(text), try #require(object["token"] as? String)] {
            let user = try await Shell.run(
                "curl",
                ["-sf", "-H", "PRIVATE-TOKEN: \(token)", "\(platform.web)/api/v4/user"]
            )
            #expect(user.contains(#""username":"root""#), "\(user)")
        }
        let address = try await platform.sampan("project", "create", "cli/made").dropLast()
        #expect(address.hasSuffix("/cli/made.git"))
        let again = try await json(platform, "project", "create", "cli/made")
        #expect(again["http_url_to_repo"] as? String == String(address))
    }

    @Test(.timeLimit(.minutes(2)))
    func exitCodesTellWhoseFaultItIs() async throws {
        let platform = try JourneyPlatform.current
        try await platform.sampan("project", "create", "cli/empty")
        let wrong = [
            ["releases"], ["nonsense"], ["status", "-o", "xml"], ["rollback", "cli/empty", "--to", "x"],
            ["project", "create", "noslash"], ["logs", "cli/empty", "--tail", "many"],
        ]
        for arguments in wrong {
            let result = try await run(platform, arguments)
            #expect(result.exitCode == 2, "\(arguments): \(result.errors)")
            #expect(!result.errors.isEmpty && result.output.isEmpty)
        }
        let failing: [(arguments: [String], words: String)] = [
            (["releases", "cli/none"], "cli/empty"), (["rollback", "cli/none"], "cli/empty"),
            (["pipeline", "follow", "cli/none"], "cli/empty"), (["releases", "cli/empty"], "none yet"),
            (["rollback", "cli/empty"], "no earlier release"), (["logs", "cli/empty"], "nothing runs"),
            (["deploy", "cli/empty", "--manifests", "/nowhere"], "/nowhere"),
            (["deploy", "cli/none", "--manifests", "/etc"], "there are:"),
            (["pipeline", "follow", "cli/empty"], "no pipeline"),
        ]
        for (arguments, words) in failing {
            let result = try await run(platform, arguments)
            #expect(result.exitCode == 1, "\(arguments): \(result.errors)")
            #expect((result.errors + result.output).contains(words), "\(arguments): \(result.errors)\(result.output)")
        }
        let nowhere = try await Shell.attempt(TestPlatform.program, ["status", "--home", "/nowhere"])
        #expect(nowhere.exitCode == 1 && nowhere.errors.contains("sampan up"))
    }

    // MARK: - One project

    @Test(.timeLimit(.minutes(5)))
    func aProjectIsFollowedDeployedAndRolledBack() async throws {
        try await JourneyProject.with("cli/app") { project in
            let first = try await project.push(Self.files(version: 1))
            let followed = try await project.platform.attempt("pipeline", "follow", "cli/app", "--commit", first)
            #expect(followed.exitCode == 0 && followed.output.contains("--- build"), "\(followed.output)")
            #expect(followed.output.hasSuffix(": success\n"))
            try await project.waitForPage("version 1")

            try await deployByHand(project, first)
            try await readLogs(project)

            let table = try await project.platform.sampan("releases", "cli/app")
            #expect(table.hasPrefix("RELEASE") && table.contains(first.prefix(8)))
            let unknown = try await project.platform.attempt("releases", "cli/app", "--environment", "nightly")
            #expect(unknown.exitCode == 1)
            #expect(unknown.errors.contains("daily, staging"), "\(unknown.errors)")

            let failing = try await project.push([".gitlab-ci.yml": "no: {image: busybox:1.36, script: [exit 3]}\n"])
            let failed = try await project.platform.attempt("pipeline", "follow", "cli/app", "--commit", failing)
            #expect(failed.exitCode == 1 && failed.output.hasSuffix(": failed\n"), "\(failed.output)")
        }
    }

    /// Into an environment that no pipeline deploys to, from the work tree and from a folder outside of git.
    private func deployByHand(_ project: JourneyProject, _ commit: String) async throws {
        let platform = project.platform
        let manifests = "\(project.folder)/k8s"
        let words = ["deploy", project.path, "--environment", "staging", "--manifests"]
        let deployed = try await run(platform, words + [manifests])
        #expect(deployed.exitCode == 0, "\(deployed.output)\(deployed.errors)")
        try await waitUntil("staging serves", within: .seconds(60)) {
            try await platform.page(host: "cli-app-staging.localhost").body.contains("version 1")
        }

        let plain = FileManager.default.temporaryDirectory.appending(path: "plain-\(UUID().uuidString)").path
        try FileManager.default.copyItem(atPath: manifests, toPath: plain)
        defer { try? FileManager.default.removeItem(atPath: plain) }
        let again = try await run(platform, words + [plain])
        #expect(again.exitCode == 0, "\(again.output)\(again.errors)")
        let branch = try await run(platform, words + [plain, "--commit", "main"])
        #expect(branch.exitCode == 0, "\(branch.output)\(branch.errors)")
        let unknown = try await run(platform, words + [plain, "--commit", "nonsense"])
        #expect(unknown.exitCode == 1 && unknown.errors.contains("no commit nonsense"), "\(unknown.errors)")

        try await refuseWorkloadsWithoutController(platform, plain, words)
        let text = try await platform.sampan("releases", project.path, "--environment", "staging", "-o", "json")
        let releases = try JSONDecoder().decode([JourneyProject.Release].self, from: Data(text.utf8))
        #expect(releases.map(\.commit) == [commit, commit, commit])
    }

    private func refuseWorkloadsWithoutController(
        _ platform: TestPlatform,
        _ folder: String,
        _ words: [String]
    ) async throws {
        let manifest = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: agent}\nspec: {}\n"
        try manifest.write(toFile: "\(folder)/agent.yaml", atomically: true, encoding: .utf8)
        let refused = try await run(platform, words + [folder])
        #expect(refused.exitCode == 1)
        #expect(refused.output.contains("agent.yaml:1: DaemonSet \"agent\""), "\(refused.output)")
        #expect(refused.output.contains("use a Deployment"))
    }

    /// By the name of a workload while another one's begins the same, and on into the pods of a rollback.
    private func readLogs(_ project: JourneyProject) async throws {
        let platform = project.platform
        let one = try await platform.sampan("logs", project.path, "--app", "app", "--tail", "1")
        #expect(one == "begun version 1\n")
        let all = try await platform.sampan("logs", project.path)
        #expect(all.split(separator: "\n").contains { $0.hasPrefix("app-admin-") }, "\(all)")
        let second = try await project.push(Self.files(version: 2))
        try await project.succeed(second)
        try await project.waitForPage("version 2")
        let command = ["logs", project.path, "--app", "app", "--follow", "--home", platform.home]
        try await FollowedProgram.with([TestPlatform.program] + command) { log in
            try await log.waitFor("begun version 2")
            let rolledBack = try await platform.attempt("rollback", project.path)
            #expect(rolledBack.exitCode == 0, "\(rolledBack.errors)")
            try await log.waitFor("begun version 1")
            #expect(!log.output.contains("app-admin-"), "\(log.output)")
        }
    }

    /// The application, and a second one whose name begins with that of the first; both say which version they are.
    private static func files(version: Int) -> [String: String] {
        var application = JourneyApplication(version: version)
        application.command = "echo begun version \(version); \(application.command)"
        let admin = application.manifest.components(separatedBy: "---\n")[0]
            .replacing("name: app\n", with: "name: app-admin\n", maxReplacements: 1)
            .replacing("app: app\n", with: "app: app-admin\n")
        return application.files.merging(["k8s/admin.yaml": admin]) { $1 }
    }

    // MARK: - Private

    private func run(_ platform: TestPlatform, _ arguments: [String]) async throws -> Shell.Result {
        try await Shell.attempt(TestPlatform.program, arguments + ["--home", platform.home])
    }

    private func json(_ platform: TestPlatform, _ arguments: String...) async throws -> [String: Any] {
        let result = try await run(platform, arguments + ["-o", "json"])
        #expect(result.exitCode == 0, "\(arguments): \(result.errors)")
        return try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
    }
}
