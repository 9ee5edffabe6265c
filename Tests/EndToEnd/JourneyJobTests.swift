import Foundation
import TestKit
import Testing

/// What jobs can do, as real pods: reach their project, be stopped, run out of time, be tried again.
@Suite(.serialized, .journeyPlatform)
struct JourneyJobTests {
    /// The steps of `script`, in an image that has git.
    private static func gitJob(_ script: [String], variables: String = "") -> String {
        let lines = script.map { "    - '\($0.replacing("'", with: "''"))'\n" }.joined()
        return "work:\n  image: git:2\n  variables: {\(variables)}\n  script:\n\(lines)"
    }

    @Test(.timeLimit(.minutes(8)))
    func gitInAJobReadsItsProject() async throws {
        try await JourneyPlatform.current.addBaseImages("git:2")
        try await JourneyProject.with("demo/sources") { project in
            for number in 1...2 { try await project.commit(["count": "\(number)"], "Change \(number)") }
            let script = [
                #"test "$(git rev-list --count HEAD)" = 1"#,
                "git fetch -q --unshallow origin",
                #"test "$(git rev-list --count HEAD)" = 3"#,
                #"git ls-remote "$CI_REPOSITORY_URL" "refs/heads/$CI_COMMIT_BRANCH" | grep "$CI_COMMIT_SHA""#,
                #"git clone -q "$CI_REPOSITORY_URL" /tmp/clone && cmp count /tmp/clone/count"#,
                #"wget -qO- "$CI_SERVER_URL/-/readiness""#,
                #"echo "mine is $CI_REPOSITORY_URL""#,
                "! git push -q origin HEAD:refs/heads/mine",
            ]
            let files = [".gitlab-ci.yml": Self.gitJob(script, variables: "GIT_DEPTH: 1"), "count": "3"]
            let pipeline = try await project.succeed(try await project.push(files))
            let trace = try await project.trace(try await project.job("work", of: pipeline))
            #expect(trace.contains("ready\n"), "\(trace)")
            #expect(trace.contains("mine is http://gitlab-ci-token:[MASKED]@10."), "\(trace)")
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aCanceledJobIsStopped() async throws {
        try await JourneyProject.with("demo/cancel") { project in
            let yaml = Self.job("work", ["echo it works", "sleep 300"])
            let commit = try await project.push([".gitlab-ci.yml": yaml])
            let running = try await project.pipeline(commit) { pipeline in
                guard let job = try await project.jobs(pipeline).first, job.status == "running" else { return false }
                return try await project.trace(job).contains("it works\n")
            }
            let job = try await project.job("work", of: running)
            #expect(try await Self.hasPod(job, project))
            try await project.cancel(job)
            let ended = try await project.pipeline(commit, within: .seconds(40))
            #expect(ended.status == "canceled")
            let canceled = try await project.job("work", of: ended)
            #expect(canceled.status == "canceled")
            try await waitUntil("the pod to be gone", within: .seconds(30)) { try await !Self.hasPod(job, project) }
            let trace = try await project.trace(canceled)
            #expect(trace.contains("ERROR: Job failed: canceled"), "\(trace)")
            #expect(trace.components(separatedBy: "ERROR").count == 2, "\(trace)")
        }
    }

    /// One pipeline: a job that takes too long, one that only its second try passes, and jobs for some branches.
    @Test(.timeLimit(.minutes(6)))
    func jobsEndAsTheirKeywordsSay() async throws {
        try await JourneyProject.with("demo/keywords") { project in
            let yaml = [
                Self.job("slow", ["echo started", "sleep 300"], "timeout: 30 seconds\n  allow_failure: true"),
                Self.job(
                    "second-try",
                    ["test -e tried && exit 0", "touch tried", "exit 9"],
                    "retry: 1\n  cache: {key: tries, paths: [tried], when: always}"
                ),
                Self.job("on-main", ["true"], "only: [main]"),
                Self.job("on-release", ["false"], "only: [release]"),
                Self.job("not-main", ["false"], "except: [main]"),
                Self.job("not-release", ["true"], "except: [release]"),
            ].joined()
            let commit = try await project.push([".gitlab-ci.yml": yaml])
            let pipeline = try await project.succeed(commit, within: .seconds(150))
            let jobs = try await project.jobs(pipeline)
            #expect(jobs.map(\.name).sorted() == ["not-release", "on-main", "second-try", "slow"])
            let slow = try await project.job("slow", of: pipeline)
            #expect(slow.status == "failed" && slow.failureReason == "job_execution_timeout")
            let trace = try await project.trace(slow)
            #expect(trace.contains("started\n") && trace.contains("execution took longer than 30 seconds"), "\(trace)")
            try await waitUntil("the pod to be gone", within: .seconds(30)) { try await !Self.hasPod(slow, project) }

            let tries: [JourneyProject.Job] = try await project.get(
                "pipelines/\(pipeline.id)/jobs?include_retried=true"
            )
            let statuses = tries.filter { $0.name == "second-try" }.sorted { $0.id < $1.id }.map(\.status)
            #expect(statuses == ["failed", "success"])
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func whatLeftTheManifestsIsDeletedByTheNextDeploy() async throws {
        try await JourneyProject.with("demo/prune") { project in
            let application = JourneyApplication(version: 1)
            let service = application.manifest.components(separatedBy: "---\n")[1].replacing(
                "name: app",
                with: "name: more"
            )
            var files = application.files
            files["k8s/more.yaml"] = service
            try await project.succeed(try await project.push(files))
            #expect(try await Self.services(project) == ["app", "more"])
            files["k8s/more.yaml"] = nil
            try await project.succeed(try await project.push(files))
            #expect(try await Self.services(project) == ["app"])
            // What goes back brings it back.
            try await project.platform.sampan("rollback", project.path)
            #expect(try await Self.services(project) == ["app", "more"])
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aRenamedProjectKeepsItsEnvironment() async throws {
        try await JourneyProject.with("demo/kept") { project in
            try await project.succeed(try await project.push(JourneyApplication(version: 1).files))
            try await project.waitForPage("version 1")
            try await project.request("PUT", "?path=renamed")
            // The clone's remote has the old name still, and so has the environment's address.
            let commit = try await project.push(JourneyApplication(version: 2).files)
            try await project.succeed(commit)
            try await project.waitForPage("version 2")
            let images = try await project.platform.kubectl([
                "get", "deployments", "-n", "demo-kept-daily", "-o",
                "jsonpath={.items[*].spec.template.spec.containers[0].image}",
            ])
            #expect(images.contains("/demo/renamed/app@sha256:"), "\(images)")

            // What the old version's image is called is the old name: the node gets it all the same.
            let ctr = ["--address", project.platform.containerdSocket, "-n", "k8s.io", "images"]
            let names = try await Shell.run("ctr", ctr + ["ls", "-q"]).split(separator: "\n").map(String.init)
            let old = names.filter { $0.contains("/demo/kept/app") }
            #expect(!old.isEmpty)
            try await Shell.run("ctr", ctr + ["rm"] + old)
            try await project.platform.sampan("rollback", "demo/renamed")
            try await project.waitForPage("version 1")
            let releases = try await project.releases()
            #expect(releases.map(\.number) == [3, 2, 1])
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func aDeletedProjectTakesItsWorkloadsAlong() async throws {
        try await JourneyProject.with("demo/doomed") { project in
            try await project.succeed(try await project.push(JourneyApplication(version: 1).files))
            try await project.waitForPage("version 1")
            try await project.request("DELETE", "")
            try await waitUntil("the namespace to be gone", within: .seconds(60)) {
                try await !project.platform.kubectl(["get", "namespaces", "-o", "name"]).contains("demo-doomed")
            }
            try await waitUntil("the gateway forgot it", within: .seconds(60)) {
                try await project.page().status == 404
            }
            let accounts = try await project.platform.kubectl([
                "get", "serviceaccounts", "-n", "sampan-jobs", "-o", "name",
            ])
            #expect(!accounts.contains("demo-doomed"))
        }
    }

    // MARK: - Parts

    private static func job(_ name: String, _ script: [String], _ lines: String = "") -> String {
        let steps = script.map { "    - '\($0)'\n" }.joined()
        let more = lines.isEmpty ? "" : "  \(lines)\n"
        return "\(name):\n  image: busybox:1.36\n\(more)  script:\n\(steps)"
    }

    private static func hasPod(_ job: JourneyProject.Job, _ project: JourneyProject) async throws -> Bool {
        let arguments = ["get", "pods", "-n", "sampan-jobs", "-l", "sampan.dev/job-id=\(job.id)", "-o", "name"]
        return try await !project.platform.kubectl(arguments).isEmpty
    }

    private static func services(_ project: JourneyProject) async throws -> [String] {
        let namespace = project.path.replacing("/", with: "-") + "-daily"
        let names = try await project.platform.kubectl(["get", "services", "-n", namespace, "-o", "name"])
        return names.split(separator: "\n").map { String($0.drop { $0 != "/" }.dropFirst()) }.sorted()
    }
}
