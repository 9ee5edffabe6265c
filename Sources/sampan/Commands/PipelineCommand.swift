import ArgumentParser
import Foundation
import Host

struct PipelineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pipeline",
        abstract: "Pipelines.",
        subcommands: [Follow.self]
    )

    /// Prints the logs of a commit's pipeline as they are written; fails when the pipeline fails.
    struct Follow: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Follow the pipeline of a commit: every job's log as it is written."
        )

        @Argument(help: "GROUP/NAME of the project.") var project: String
        @Option(help: "The commit; the newest pipeline's unless given.") var commit: String?
        @OptionGroup var platform: PlatformOption

        func run() async throws {
            let client = try await platform.client()
            try await client.requireProject(project)
            let base = "projects/\(client.escape(project))"
            let pipeline = try await find(client, base)
            print("pipeline \(pipeline.id)")
            var follower = TraceFollower(client: client, base: base, pipeline: pipeline.id)
            let status = try await follower.followUntilFinished()
            print("pipeline \(pipeline.id): \(status)")
            if status != "success" { throw ExitCode.failure }
        }

        /// A push starts its pipeline at once, but whoever pushed may be quicker.
        private func find(_ client: PlatformClient, _ base: String) async throws -> PipelineEntity {
            let query = commit.map { "?sha=\($0)" } ?? ""
            let deadline = ContinuousClock.now + .seconds(10)
            while ContinuousClock.now < deadline {
                let found: [PipelineEntity] = try await client.get("\(base)/pipelines\(query)")
                if let newest = found.max(by: { $0.id < $1.id }) { return newest }
                try await Task.sleep(for: .milliseconds(100))
            }
            throw HostError(
                "\(project) has no pipeline\(commit.map { " for commit \($0)" } ?? ""); does it have a .gitlab-ci.yml?"
            )
        }
    }
}

private struct PipelineEntity: Decodable {
    let id: Int
    let status: String

    var isFinished: Bool { ["success", "failed", "canceled", "skipped", "manual"].contains(status) }
}

private struct JobEntity: Decodable {
    let id: Int
    let name: String
    let status: String

    var hasLog: Bool { !["created", "pending", "manual", "skipped"].contains(status) }
}

/// Prints what is new in the traces of a pipeline's jobs, one job after the other, as far as they overlap in time.
private struct TraceFollower {
    let client: PlatformClient
    let base: String
    let pipeline: Int
    private var printed: [Int: Int] = [:]
    private var current = 0

    init(client: PlatformClient, base: String, pipeline: Int) {
        self.client = client
        self.base = base
        self.pipeline = pipeline
    }

    /// The pipeline's last status.
    mutating func followUntilFinished() async throws -> String {
        while true {
            let state: PipelineEntity = try await client.get("\(base)/pipelines/\(pipeline)")
            let jobs: [JobEntity] = try await client.get("\(base)/pipelines/\(pipeline)/jobs?per_page=100")
            for job in jobs.sorted(by: { $0.id < $1.id }) where job.hasLog { try await printNews(of: job) }
            if state.isFinished { return state.status }
            try await Task.sleep(for: .milliseconds(300))
        }
    }

    private mutating func printNews(of job: JobEntity) async throws {
        let trace = try await client.text("\(base)/jobs/\(job.id)/trace")
        let known = printed[job.id] ?? 0
        // Whole lines only, so that lines of jobs that run together do not mix.
        guard let end = trace.lastIndex(of: UInt8(ascii: "\n")), end >= known else { return }
        if current != job.id {
            print("--- \(job.name)")
            current = job.id
        }
        print(String(decoding: trace[known..<end], as: UTF8.self))
        printed[job.id] = end + 1
    }
}
