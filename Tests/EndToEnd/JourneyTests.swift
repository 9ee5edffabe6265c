import Foundation
import TestKit
import Testing

/// A commit becomes a running, reachable service, and goes back: the real program, stock git, the gateway.
@Suite(.serialized, .journeyPlatform)
struct JourneyTests {
    @Test(.timeLimit(.minutes(6)))
    func aPushServesAndRollsBack() async throws {
        try await JourneyProject.with("demo/app") { project in
            let first = try await project.push(JourneyApplication(version: 1).files)
            let pipeline = try await project.succeed(first)
            #expect(pipeline.sha == first)
            try await project.waitForPage("version 1")

            try await pushSecondVersion(project)

            let releases = try await project.releases()
            #expect(releases.map(\.number) == [2, 1])
            #expect(releases.map(\.phase) == ["deployed", "superseded"])
            #expect(releases.last?.commit == first)

            let back = try await time("rollback to the old version serving") {
                try await project.platform.sampan("rollback", "demo/app")
                try await project.waitForPage("version 1")
            }
            #expect(back <= .seconds(30))

            try await project.platform.sampan("rollback", "demo/app", "--to", "2")
            try await project.waitForPage("version 2")
            #expect(try await project.releases().first?.number == 4)

            let unknown = try await project.platform.attempt("rollback", "demo/app", "--to", "99")
            #expect(!unknown.succeeded && (unknown.output + unknown.errors).contains("99"))
            try await project.waitForPage("version 2")
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func runningAnEarlierDeploymentAgainIsARollback() async throws {
        try await JourneyProject.with("demo/again") { project in
            let first = try await project.push(JourneyApplication(version: 1).files)
            let pipeline = try await project.succeed(first)
            let second = try await project.push(JourneyApplication(version: 2).files)
            try await project.succeed(second)
            try await project.waitForPage("version 2")

            let again = try await project.retry(try await project.job("deploy", of: pipeline))
            try await waitUntil("the deployment to be run again", within: .seconds(60)) {
                let job: JourneyProject.Job = try await project.get("jobs/\(again.id)")
                return job.status == "success"
            }
            try await project.waitForPage("version 1")
            #expect(try await project.page().body.contains("version 1"))

            let releases = try await project.releases()
            #expect(releases.map(\.number) == [3, 2, 1])
            #expect(releases.map(\.phase) == ["deployed", "superseded", "superseded"])
            #expect(releases.map(\.commit) == [first, second, first])
            let deployments = try await project.deployments()
            #expect(deployments.map(\.release) == [3, 2, 1])
            #expect(deployments.map(\.sha) == [first, second, first])
            #expect(deployments.map(\.status) == ["success", "success", "success"])
            #expect(deployments.first?.deployable?.id == again.id)
        }
    }

    private func pushSecondVersion(_ project: JourneyProject) async throws {
        try await project.commit(JourneyApplication(version: 2).files)
        try await time("push to the new version serving") {
            try await project.git("push", "-q", "origin", "main")
            try await project.waitForPage("version 2", within: .seconds(120))
        }
        let served = Date()
        let pipeline = try await project.succeed(try await project.head())
        let build = try #require(try await project.job("build", of: pipeline).end)
        print("image built to the new version serving: \(served.timeIntervalSince(build)) s")
    }

    @Test(.timeLimit(.minutes(3)), arguments: ["main", "master", "trunk"])
    func aDockerfileAloneServes(_ branch: String) async throws {
        try await JourneyProject.with("demo/plain-\(branch)") { project in
            try await project.git("checkout", "-q", "-B", branch)
            let commit = try await project.push(JourneyApplication(version: 7).pageFiles)
            let pipeline = try await project.succeed(commit)
            let jobs = try await project.jobs(pipeline)
            #expect(jobs.map(\.name).sorted() == ["build", "deploy"])
            // The platform brings the image of these jobs along: nothing is pulled from elsewhere.
            for job in jobs { #expect(try await project.trace(job).contains("/sampan/helper@sha256:")) }
            try await project.waitForPage("version 7")
            // What comes first is the default branch, whatever its name.
            #expect(try await project.defaultBranch() == branch)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func aServiceThatDidNotChangeIsNotReplaced() async throws {
        try await JourneyProject.with("demo/pair") { project in
            let first = try await project.push(Self.pair(version: 1))
            try await project.succeed(first)
            try await project.waitForPage("version 1")
            let before = try await Self.pods(of: project)
            let second = try await project.push(Self.pair(version: 2))
            try await project.succeed(second)
            try await project.waitForPage("version 2")
            let after = try await Self.pods(of: project)
            #expect(before["app"] != after["app"])
            #expect(before["helper"] == after["helper"] && before["helper"]?.isEmpty == false)
            // Both commits name the image that they share.
            let digest = try await Self.digest(of: "helper", tag: first, project)
            #expect(digest.hasPrefix("sha256:"))
            #expect(try await Self.digest(of: "helper", tag: second, project) == digest)
        }
    }

    /// Two services of which only `app` shows the version.
    private static func pair(version: Int) -> [String: String] {
        let application = JourneyApplication(version: version)
        let manifest = application.manifest.components(separatedBy: "---\n")[0]
        return application.files.merging(
            [
                ".gitlab-ci.yml": JourneyApplication.pipeline.replacing(
                    "- sampan build --image app",
                    with: "- sampan build --image app\n    - sampan build helper --image helper"
                ),
                "helper/Dockerfile": application.dockerfile,
                "helper/www/index.html": "always the same\n",
                "k8s/helper.yaml": manifest.replacing(": app\n", with: ": helper\n"),
            ]
        ) { $1 }
    }

    /// The names of the running pods by the service that they belong to.
    private static func pods(of project: JourneyProject) async throws -> [String: [Substring]] {
        var pods: [String: [Substring]] = [:]
        for name in ["app", "helper"] {
            pods[name] = try await project.platform.kubectl(
                "get",
                "pods",
                "--namespace",
                "demo-pair-daily",
                "-l",
                "app=\(name)",
                "--field-selector",
                "status.phase=Running",
                "-o",
                "jsonpath={range .items[*]}{.metadata.uid} {end}"
            ).split(separator: " ")
        }
        return pods
    }

    private static func digest(of image: String, tag: String, _ project: JourneyProject) async throws -> String {
        let reference = "docker://\(project.platform.registry)/\(project.path)/\(image):\(tag)"
        return try await Shell.run(
            "skopeo",
            ["inspect", "--tls-verify=false", "--creds", "root:\(project.token)", "--format", "{{.Digest}}", reference]
        )
    }

    @Test(.timeLimit(.minutes(8)))
    func aPushThatNeverBecomesReadyLeavesTheOldVersionServing() async throws {
        try await JourneyProject.with("demo/steady") { project in
            try await project.succeed(try await project.push(JourneyApplication(version: 1).files))
            try await project.waitForPage("version 1")

            var crashing = JourneyApplication(version: 2)
            crashing.command = "echo no database at all; exit 3"
            try await expectRefusal(
                of: crashing,
                in: project,
                naming: ["no database at all", "exit code 3", "release 1 is put back"]
            )

            var unready = JourneyApplication(version: 3)
            unready.probePath = "/missing"
            unready.deploymentLines = "  progressDeadlineSeconds: 15"
            try await expectRefusal(
                of: unready,
                in: project,
                naming: ["Readiness probe failed", "404", "release 1 is put back"]
            )

            let releases = try await project.releases()
            #expect(releases.map(\.phase) == ["failed", "failed", "deployed"])
            #expect(releases.first?.message?.contains("404") == true)
        }
    }

    private func expectRefusal(
        of application: JourneyApplication,
        in project: JourneyProject,
        naming reasons: [String]
    ) async throws {
        let commit = try await project.push(application.files)
        // Asked all the while: not one answer may come from anything but the old version.
        let pipeline = try await project.pipeline(commit, within: .seconds(150)) { state in
            let page = try await project.page()
            #expect(page.status == 200 && page.body.contains("version 1"))
            return state.isFinished
        }
        #expect(pipeline.status == "failed")
        let job = try await project.job("deploy", of: pipeline)
        #expect(job.status == "failed" && job.failureReason == "script_failure")
        let trace = try await project.trace(job)
        for reason in reasons { #expect(trace.contains(reason), "\(trace)") }
    }

    @Test(.timeLimit(.minutes(3)))
    func jobsReachTheirServices() async throws {
        try await JourneyProject.with("demo/services") { project in
            let yaml = """
                talk:
                  image: busybox:1.36
                  services:
                    - name: busybox:1.36
                      alias: pages
                      entrypoint: [sh, -c]
                      command: ['mkdir /site; echo "$GREETING from the service" > /site/index.html; exec httpd -f -p 8080 -h /site']
                  variables: {GREETING: hello}
                  script:
                    - for try in 1 2 3 4 5 6 7 8 9 10; do wget -qO- http://pages:8080/ && exit 0; sleep 1; done; exit 1
                """
            let pipeline = try await project.succeed(try await project.push([".gitlab-ci.yml": yaml]))
            let trace = try await project.trace(try await project.job("talk", of: pipeline))
            #expect(trace.contains("hello from the service"), "\(trace)")
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func jobsWorkTogether() async throws {
        try await JourneyProject.with("demo/jobs") { project in
            let commit = try await project.push([".gitlab-ci.yml": Self.jobs])
            let waiting = try await project.pipeline(commit) {
                $0.status == "success" || $0.status == "failed" || $0.status == "manual"
            }
            #expect(waiting.status == "success")
            let jobs = try await project.jobs(waiting)
            let statuses = Dictionary(uniqueKeysWithValues: jobs.map { ($0.name, $0.status) })
            #expect(
                statuses == [
                    "make": "success", "flaky": "failed", "use": "success", "early": "success", "on-main": "success",
                    "release-it": "manual",
                ]
            )
            #expect(jobs.first { $0.name == "flaky" }?.allowFailure == true)
            #expect(try await project.trace(try await project.job("use", of: waiting)).contains("carried: tea-1"))
            #expect(try await project.trace(try await project.job("early", of: waiting)).contains("nothing carried"))

            try await project.play(try await project.job("release-it", of: waiting))
            try await waitUntil("the manual job to succeed", within: .seconds(40)) {
                try await project.job("release-it", of: waiting).status == "success"
            }
            let played = try await project.trace(try await project.job("release-it", of: waiting))
            #expect(played.contains("released tea-1"))
        }
    }

    /// `early` needs nothing and so has no artifacts; `flaky` may fail; `on-branch` is for another branch.
    private static let jobs = """
        stages: [first, second, third]
        default:
          image: busybox:1.36
        variables:
          FLAVOUR: tea

        make:
          stage: first
          script:
            - mkdir -p out && echo "$FLAVOUR-1" > out/name
          artifacts:
            paths: [out/]

        flaky:
          stage: first
          script:
            - exit 7
          allow_failure: true

        use:
          stage: second
          needs: [make]
          script:
            - 'echo "carried: $(cat out/name)"'

        early:
          stage: third
          needs: []
          script:
            - test ! -e out && echo "nothing carried"

        on-main:
          stage: second
          script:
            - test "$CI_COMMIT_BRANCH" = main
          rules:
            - if: $CI_COMMIT_BRANCH == "main"

        on-branch:
          stage: second
          script:
            - exit 1
          rules:
            - if: $CI_COMMIT_BRANCH == "release"

        release-it:
          stage: third
          when: manual
          script:
            - echo "released $(cat out/name)"

        """

    @Test(.timeLimit(.minutes(8)))
    func pythonGitLabFollowsAJob() async throws {
        let platform = try JourneyPlatform.current
        let python = try await PythonGitLab.interpreter()
        let script = FileManager.default.temporaryDirectory.appending(path: "journey-\(UUID().uuidString).py")
        try Data(PythonGitLab.journey.utf8).write(to: script)
        defer { try? FileManager.default.removeItem(at: script) }
        let token = try await platform.token()
        let output = try await Shell.run(python, [script.path, platform.web, token])
        #expect(output.contains("pipeline success"), "\(output)")
        #expect(output.contains("job hello success"))
        #expect(output.contains("hello from python-gitlab"))
        #expect(output.contains("all is managed"))
    }

    @discardableResult
    private func time(_ what: String, _ body: () async throws -> Void) async throws -> Duration {
        let duration = try await ContinuousClock().measure(body)
        print("\(what): \(duration)")
        return duration
    }
}

/// The client library that GitLab's users script with, from PyPI.
enum PythonGitLab {
    /// An interpreter that has the library, installed once for all tests of this machine.
    static func interpreter() async throws -> String {
        let folder = "/var/tmp/sampan-python-gitlab"
        let python = "\(folder)/bin/python"
        let isInstalled = FileManager.default.isExecutableFile(atPath: python)
        if isInstalled, try await Shell.attempt(python, ["-c", "import gitlab"]).succeeded { return python }
        try await Shell.run("python3", ["-m", "venv", folder])
        try await Shell.run("\(folder)/bin/pip", ["install", "-q", "python-gitlab>=4.13"])
        return python
    }

    /// Makes a project and a commit, reads the commit's pipeline, follows the trace of its job.
    static let journey = """
        import sys, time, gitlab
        server = gitlab.Gitlab(sys.argv[1], private_token=sys.argv[2])
        server.auth()
        group = server.groups.create({"name": "scripts", "path": "scripts"})
        project = server.projects.create({"name": "hello", "namespace_id": group.id})
        commit = project.commits.create({
            "branch": "main",
            "commit_message": "Say hello",
            "actions": [{
                "action": "create",
                "file_path": ".gitlab-ci.yml",
                "content": "hello:\\n  image: busybox:1.36\\n  script:\\n    - echo hello from $WHO\\n    - sleep 1\\n  variables: {WHO: python-gitlab}\\n  environment: {name: daily, url: http://hello.example}\\n",
            }],
        })
        deadline = time.time() + 150
        pipeline = None
        while time.time() < deadline:
            pipelines = project.pipelines.list(sha=commit.id, get_all=True)
            pipeline = pipelines and project.pipelines.get(pipelines[0].id)
            if pipeline and pipeline.status in ("success", "failed"):
                break
            time.sleep(0.2)
        assert pipeline, "the commit has no pipeline"
        print("pipeline", pipeline.status)
        for job in pipeline.jobs.list(get_all=True):
            full = project.jobs.get(job.id)
            print("job", full.name, full.status)
            print(full.trace().decode())
        assert project.files.get(".gitlab-ci.yml", ref="main").decode().startswith(b"hello:")
        assert [branch.name for branch in project.branches.list(get_all=True)] == ["main"]
        assert project.commits.get(commit.id).statuses.list()[0].name == "hello"
        found = project.pipelines.list(scope="finished", username="root", order_by="updated_at", get_all=True)
        assert [each.id for each in found] == [pipeline.id]

        variable = project.variables.create({"key": "COLOUR", "value": "green"})
        variable.value = "blue"
        variable.save()
        assert project.variables.get("COLOUR").value == "blue"
        assert [each.key for each in project.variables.list(get_all=True)] == ["COLOUR"]
        variable.delete()
        assert project.variables.list(get_all=True) == []

        deployment = project.deployments.list(environment="daily", get_all=True)[0]
        deployment = project.deployments.get(deployment.id)
        assert (deployment.status, deployment.sha) == ("success", commit.id)
        assert deployment.deployable["name"] == "hello"
        daily = project.environments.get(deployment.environment["id"])
        assert (daily.external_url, daily.state) == ("http://hello.example", "available")
        assert daily.last_deployment["id"] == deployment.id

        made = project.environments.create({"name": "qa-one", "external_url": "http://one.example"})
        made.external_url = "http://two.example"
        made.save()
        [found] = project.environments.list(search="qa-", get_all=True)
        assert (found.id, found.external_url, found.tier) == (made.id, "http://two.example", "testing")
        made.stop()
        assert project.environments.get(made.id).state == "stopped"
        made.delete()
        assert [each.name for each in project.environments.list(get_all=True)] == ["daily"]

        ada = server.users.create({
            "username": "ada", "name": "Ada", "email": "ada@example.com", "password": "correct horse",
        })
        ada.username, ada.name, ada.email = "ada-l", "Ada L", "ada-l@example.com"
        ada.save()
        [ada] = server.users.list(username="ada-l", get_all=True)
        assert (ada.name, ada.email) == ("Ada L", "ada-l@example.com")
        issued = ada.personal_access_tokens.create({"name": "script", "scopes": ["api"]})
        hers = gitlab.Gitlab(sys.argv[1], private_token=issued.token)
        hers.auth()
        assert hers.user.username == "ada-l"
        assert hers.personal_access_tokens.get("self").id == issued.id
        tokens = server.personal_access_tokens.list(user_id=ada.id, get_all=True)
        assert [(each.id, each.active) for each in tokens] == [(issued.id, True)]
        server.personal_access_tokens.delete(issued.id)
        try:
            hers.auth()
            raise SystemExit("a revoked token still signs in")
        except gitlab.GitlabAuthenticationError:
            print("all is managed")

        """
}
