import Foundation
import TestKit
import Testing

/// A project on the platform with a clone in a temporary folder, and what its owner sees of it.
struct JourneyProject: Sendable {
    let platform: TestPlatform
    /// `group/name`
    let path: String
    let folder: String
    let token: String

    /// Runs `body` with a project that is made when it is missing; its clone is removed afterwards.
    static func with(_ path: String, _ body: (JourneyProject) async throws -> Void) async throws {
        let platform = try JourneyPlatform.current
        let address = try await platform.sampan("project", "create", path).trimmingCharacters(
            in: .whitespacesAndNewlines
        )
        let token = try await platform.token()
        let folder = FileManager.default.temporaryDirectory.appending(path: "journey-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let project = JourneyProject(platform: platform, path: path, folder: folder, token: token)
        let remote = address.replacing("://", with: "://root:\(token)@", maxReplacements: 1)
        try await Shell.run("git", ["clone", "-q", remote, folder])
        try await project.git("config", "user.name", "Journey")
        try await project.git("config", "user.email", "journey@localhost")
        try await project.git("checkout", "-q", "-B", "main")
        try await body(project)
    }

    // MARK: - Sources

    @discardableResult
    func git(_ arguments: String...) async throws -> String {
        try await Shell.run("git", ["-C", folder] + arguments)
    }

    /// Makes `files` the whole content of the repository and pushes the branch; answers the commit.
    func push(_ files: [String: String], _ message: String = "Change") async throws -> String {
        try await commit(files, message)
        try await git("push", "-q", "origin", "HEAD")
        return try await head()
    }

    func commit(_ files: [String: String], _ message: String = "Change") async throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) where name != ".git" {
            try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
        }
        for (name, text) in files {
            let url = URL(filePath: "\(folder)/\(name)")
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try Data(text.utf8).write(to: url)
        }
        try await git("add", "-A")
        try await git("commit", "-q", "--allow-empty", "-m", message)
    }

    func head() async throws -> String {
        try await git("rev-parse", "HEAD").trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// What the API calls the default branch.
    func defaultBranch() async throws -> String? {
        struct Facts: Decodable { let defaultBranch: String? }
        let facts: Facts = try await get("")
        return facts.defaultBranch
    }

    // MARK: - Pipelines

    struct Pipeline: Decodable {
        let id: Int
        let sha: String
        let status: String
        let yamlErrors: String?

        var isFinished: Bool { ["success", "failed", "canceled", "skipped"].contains(status) }
    }

    struct Job: Decodable {
        let id: Int
        let name: String
        let status: String
        let allowFailure: Bool
        let failureReason: String?
        let finishedAt: String?

        /// When the job ended.
        var end: Date? {
            finishedAt.flatMap { try? Date($0, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true)) }
        }
    }

    /// The pipeline of a commit once `isReached` holds.
    func pipeline(
        _ commit: String,
        within deadline: Duration = .seconds(90),
        _ isReached: (Pipeline) async throws -> Bool = { $0.isFinished }
    ) async throws -> Pipeline {
        let end = ContinuousClock.now + deadline
        while true {
            let found: [Pipeline] = try await get("pipelines?sha=\(commit)")
            if let id = found.first?.id {
                let pipeline: Pipeline = try await get("pipelines/\(id)")
                if try await isReached(pipeline) { return pipeline }
            }
            guard ContinuousClock.now < end else {
                throw JourneyTimeout(
                    description:
                        "the pipeline of \(commit) is \(found.first?.status ?? "missing")\n\(await story(found.first))"
                )
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    /// Expects that the pipeline of a commit succeeds; otherwise the traces of its jobs are told.
    @discardableResult
    func succeed(_ commit: String, within deadline: Duration = .seconds(90)) async throws -> Pipeline {
        let pipeline = try await pipeline(commit, within: deadline)
        if pipeline.status != "success" { Issue.record("pipeline \(pipeline.status)\n\(await story(pipeline))") }
        return pipeline
    }

    func jobs(_ pipeline: Pipeline) async throws -> [Job] {
        try await get("pipelines/\(pipeline.id)/jobs?per_page=100")
    }

    func job(_ name: String, of pipeline: Pipeline) async throws -> Job {
        let jobs = try await jobs(pipeline)
        return try #require(jobs.first { $0.name == name }, "there is no job \(name) among \(jobs.map(\.name))")
    }

    func trace(_ job: Job) async throws -> String {
        try await request("GET", "jobs/\(job.id)/trace")
    }

    func play(_ job: Job) async throws {
        try await request("POST", "jobs/\(job.id)/play")
    }

    func cancel(_ job: Job) async throws {
        try await request("POST", "jobs/\(job.id)/cancel")
    }

    /// The new try of a finished job.
    func retry(_ job: Job) async throws -> Job {
        let answer = try await request("POST", "jobs/\(job.id)/retry")
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Job.self, from: Data(answer.utf8))
    }

    struct Deployment: Decodable {
        struct Deployable: Decodable { let id: Int }

        let sha: String
        let status: String
        let release: Int?
        let deployable: Deployable?
    }

    /// What was deployed to `daily`, the newest first.
    func deployments() async throws -> [Deployment] {
        try await get("deployments?environment=daily&sort=desc")
    }

    private func story(_ pipeline: Pipeline?) async -> String {
        guard let pipeline, let jobs = try? await jobs(pipeline) else { return "" }
        var text = pipeline.yamlErrors ?? ""
        for job in jobs {
            text += "--- \(job.name): \(job.status) \(job.failureReason ?? "")\n\((try? await trace(job)) ?? "")\n"
        }
        return text
    }

    // MARK: - Serving

    struct Release: Decodable {
        let number: Int
        let phase: String
        let commit: String
        let message: String?
    }

    func releases() async throws -> [Release] {
        let text = try await platform.sampan("releases", path, "-o", "json")
        return try JSONDecoder().decode([Release].self, from: Data(text.utf8))
    }

    /// Where the environment `daily` answers.
    var host: String { "\(path.replacing("/", with: "-"))-daily.localhost" }

    /// The page of the environment `daily` through the gateway.
    func page() async throws -> (status: Int, body: String) { try await platform.page(host: host) }

    func waitForPage(_ text: String, within deadline: Duration = .seconds(20)) async throws {
        let end = ContinuousClock.now + deadline
        while true {
            let page = try await page()
            if page.status == 200, page.body.contains(text) { return }
            guard ContinuousClock.now < end else {
                throw JourneyTimeout(description: "the page answers \(page.status) \(page.body) instead of \(text)")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    // MARK: - REST

    func get<Value: Decodable>(_ path: String) async throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Value.self, from: Data(try await request("GET", path).utf8))
    }

    /// Asks below the project's own address; anything but success is an error with the answer.
    @discardableResult
    func request(_ method: String, _ path: String) async throws -> String {
        let id = self.path.replacing("/", with: "%2F")
        return try await Shell.run(
            "curl",
            [
                "-s", "--fail-with-body", "-m", "30", "-X", method, "-H", "PRIVATE-TOKEN: \(token)",
                "\(platform.web)/api/v4/projects/\(id)\(path.isEmpty || path.hasPrefix("?") ? "" : "/")\(path)",
            ]
        )
    }
}

/// Thrown when what a journey waits for does not come; tells what came instead.
struct JourneyTimeout: Error, CustomStringConvertible {
    let description: String
}
