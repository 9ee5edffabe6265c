import Foundation
import TestKit
import Testing

/// Mistakes of every sort: each is answered by a clear error, nothing is lost, and the old version goes on serving.
@Suite(.serialized, .journeyPlatform)
struct BadInputTests {
    // MARK: - Configurations

    struct Mistake: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let configuration: String
        let errors: [String]
    }

    static let mistakes = [
        Mistake(
            testDescription: "broken YAML",
            configuration: "test:\n  script:\n    - echo one\n   - echo two\n",
            errors: [".gitlab-ci.yml:4:", "expected"]
        ),
        Mistake(
            testDescription: "unknown keyword",
            configuration: "test:\n  stge: test\n  script:\n    - echo one\n",
            errors: [".gitlab-ci.yml:2:", "unknown keyword \"stge\"", "did you mean \"stage\"?"]
        ),
        Mistake(
            testDescription: "circular needs",
            configuration: """
                one:
                  script: [echo one]
                  needs: [two]
                two:
                  script: [echo two]
                  needs: [one]

                """,
            errors: [".gitlab-ci.yml:", "needs", "one", "two"]
        ),
        Mistake(
            testDescription: "a value of the wrong type",
            configuration: "test:\n  script:\n    - echo one\n  timeout: [1]\n",
            errors: [".gitlab-ci.yml:4:", "timeout", "expected"]
        ),
        Mistake(
            testDescription: "artifacts outside of the project",
            configuration: "test:\n  script: [echo one]\n  artifacts:\n    paths:\n      - ../../etc/passwd\n",
            errors: [".gitlab-ci.yml:5:", "artifacts", "../../etc/passwd"]
        ),
    ]

    @Test(.timeLimit(.minutes(6)), arguments: mistakes)
    func aMistakeInTheConfigurationIsNamed(_ mistake: Mistake) async throws {
        try await withServingProject { project in
            var files = JourneyApplication(version: 2).files
            files[".gitlab-ci.yml"] = mistake.configuration
            let pipeline = try await project.pipeline(try await project.push(files), within: .seconds(60))
            #expect(pipeline.status == "failed")
            let errors = try #require(pipeline.yamlErrors)
            for error in mistake.errors { #expect(errors.contains(error), "\(errors)") }
            #expect(try await project.jobs(pipeline).isEmpty)
        }
    }

    // MARK: - Jobs

    @Test(.timeLimit(.minutes(6)))
    func aMissingImageFailsTheJobWithTheReason() async throws {
        try await withServingProject { project in
            var files = JourneyApplication(version: 2).files
            files[".gitlab-ci.yml"] = "test:\n  image: busybox:0.0.1\n  script: [echo one]\n"
            let job = try await failedJob("test", of: project, files, within: .seconds(120))
            #expect(job.failureReason == "image_pull_failure")
            let trace = try await project.trace(job)
            #expect(trace.contains("busybox:0.0.1 could not be pulled"), "\(trace)")
            #expect(trace.contains("failed to resolve reference"), "\(trace)")
        }
    }

    @Test(.timeLimit(.minutes(6)))
    func aFailingBuildShowsItsOutput() async throws {
        try await withServingProject { project in
            var application = JourneyApplication(version: 2)
            application.buildStep = "RUN echo the tea is cold && exit 9"
            let job = try await failedJob("build", of: project, application.files)
            #expect(job.failureReason == "script_failure")
            let trace = try await project.trace(job)
            #expect(trace.contains("the tea is cold") && trace.contains("9"), "\(trace)")
        }
    }

    @Test(.timeLimit(.minutes(6)))
    func anUnknownFieldInAManifestIsNamed() async throws {
        try await withServingProject { project in
            var application = JourneyApplication(version: 2)
            application.deploymentLines = "  replicaz: 3"
            let trace = try await project.trace(try await failedJob("deploy", of: project, application.files))
            #expect(trace.contains("replicaz") && trace.contains("app.yaml"), "\(trace)")
            #expect(try await project.releases().first?.phase == "deployed")
        }
    }

    @Test(.timeLimit(.minutes(6)))
    func artifactsCannotEscape() async throws {
        try await withServingProject { project in
            try await project.commit(JourneyApplication(version: 2).files)
            let archive = "\(project.folder)/evil.tar"
            try await Shell.run(
                "tar",
                ["-P", "-cf", archive, "--transform", "s,.*,../../escaped,", "-C", project.folder, "Dockerfile"]
            )
            try Data(Self.escapes.utf8).write(to: URL(filePath: "\(project.folder)/.gitlab-ci.yml"))
            try await project.git("add", "-A")
            try await project.git("commit", "-q", "-m", "Escape")
            try await project.git("push", "-q", "origin", "main")
            let pipeline = try await project.pipeline(try await project.head(), within: .seconds(150))
            let send = try await project.job("send", of: pipeline)
            #expect(send.status == "success")
            let link = try await project.job("link", of: pipeline)
            #expect(link.status == "failed" && link.failureReason == "data_integrity_failure")
            let trace = try await project.trace(link)
            #expect(trace.contains("leads out of the project's folder"), "\(trace)")
        }
    }

    /// `send` offers an archive with a path that leaves its folder; `link` saves a link to a file outside.
    private static let escapes = """
        stages: [first]
        default:
          image: busybox:1.36
        send:
          stage: first
          script:
            - >-
              wget -S -O - --header "JOB-TOKEN: $CI_JOB_TOKEN" --post-file evil.tar
              "$CI_API_V4_URL/jobs/$CI_JOB_ID/artifacts" >answer 2>&1 || true
            - cat answer
            - grep -q " 400 " answer
        link:
          stage: first
          script:
            - echo outside > /tmp/secret && ln -s /tmp/secret leak
          artifacts:
            paths: [leak]

        """

    // MARK: - People

    @Test(.timeLimit(.minutes(6)))
    func aWrongPasswordPushesNothing() async throws {
        try await withServingProject { project in
            let before = try await project.git("ls-remote", "origin", "main")
            try await project.commit(JourneyApplication(version: 2).files)
            let address = "http://root:wrong@127.0.0.1:\(project.platform.webPort)/\(project.path).git"
            let result = try await Shell.attempt(
                "git",
                ["-C", project.folder, "push", address, "main"],
                environment: ["GIT_TERMINAL_PROMPT": "0"]
            )
            #expect(!result.succeeded)
            #expect(result.errors.contains("Authentication failed"), "\(result.errors)")
            #expect(try await project.git("ls-remote", "origin", "main") == before)
        }
    }

    @Test(arguments: ["demo/..", "../demo/escape", "demo/a..b", "demo/%2e%2e%2fescape", "demo/-rf", "demo/x.git"])
    func aProjectNameCannotEscape(_ name: String) async throws {
        let platform = try JourneyPlatform.current
        let result = try await run("project", "create", "--home", platform.home, "--", name)
        #expect(result.code == 1)
        #expect(result.errors.contains("can contain only letters, digits"), "\(result.errors)")
    }

    @Test func aPortInUseIsNamed() async throws {
        let platform = try JourneyPlatform.current
        let home = FileManager.default.temporaryDirectory.appending(path: "journey-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: home) }
        let result = try await run(
            "up",
            "--home",
            home,
            "--api-port",
            "\(platform.gatewayPort + 1)",
            "--web-port",
            "\(platform.webPort)",
            "--gateway-port",
            "\(platform.gatewayPort)",
            "--pod-cidr",
            "10.58.0.0/16",
            "--service-cidr",
            "10.59.0.0/16"
        )
        #expect(result.code == 1)
        #expect(
            result.errors.contains("\(platform.webPort)") && result.errors.contains("already listens"),
            "\(result.errors)"
        )
        #expect(try await platform.sampan("status").isEmpty == false)
        #expect(!FileManager.default.fileExists(atPath: "\(home)/run/server.pid"))
    }

    @Test(arguments: [
        ["frobnicate"], ["up", "--web-port", "99999"], ["up", "--web-port", "many"], ["project", "create", "shop"],
        ["project", "create"], ["rollback"], ["rollback", "demo/app", "--to", "last"],
        ["releases", "demo/app", "-o", "xml"],
    ])
    func wrongUseExitsWithTwo(_ arguments: [String]) async throws {
        let home = try JourneyPlatform.current.home
        let isHomeless = arguments == ["frobnicate"]
        let result = try await run(arguments + (isHomeless ? [] : ["--home", home]))
        #expect(result.code == 2, "\(result.errors)")
        #expect(!result.errors.isEmpty)
    }

    @Test func aProjectThatIsNotThereIsAnError() async throws {
        let result = try await run("releases", "demo/nowhere", "--home", try JourneyPlatform.current.home)
        #expect(result.code == 1)
        #expect(result.errors.contains("there is no project demo/nowhere"), "\(result.errors)")
    }

    // MARK: - Private

    /// Runs `body` with the project that serves version 1, and expects that it still does afterwards.
    private func withServingProject(_ body: (JourneyProject) async throws -> Void) async throws {
        try await JourneyProject.with("demo/app") { project in
            if try await project.page().status != 200 {
                try await project.succeed(try await project.push(JourneyApplication(version: 1).files))
                try await project.waitForPage("version 1")
            }
            try await body(project)
            let page = try await project.page()
            #expect(page.status == 200 && page.body.contains("version 1"), "\(page)")
        }
    }

    private func failedJob(
        _ name: String,
        of project: JourneyProject,
        _ files: [String: String],
        within deadline: Duration = .seconds(150)
    ) async throws -> JourneyProject.Job {
        let pipeline = try await project.pipeline(try await project.push(files), within: deadline)
        #expect(pipeline.status == "failed")
        let job = try await project.job(name, of: pipeline)
        #expect(job.status == "failed")
        return job
    }

    private func run(_ arguments: String...) async throws -> (code: Int, errors: String) {
        try await run(arguments)
    }

    /// The program's exit code and what it says on standard error.
    private func run(_ arguments: [String]) async throws -> (code: Int, errors: String) {
        let result = try await Shell.attempt(
            "sh",
            ["-c", "\"$@\"; code=$?; echo; echo $code", "sh", TestPlatform.program] + arguments
        )
        let code = result.output.split(separator: "\n").last.flatMap { Int($0) }
        return (try #require(code), result.errors)
    }
}
