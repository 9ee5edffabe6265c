import Foundation
import TestKit
import Testing

/// `kill -9` of the server at any moment between a push and its new version serving: nothing acknowledged is lost, jobs go on or are
/// run again and say so, and every request in the meantime is answered.
///
/// `SAMPAN_CRASH_ROUNDS=20` makes the run longer; `SAMPAN_CRASH_SEED`, which each run prints, repeats its moments.
@Suite(.serialized, .journeyPlatform)
struct JourneyCrashTests {
    /// What the kill comes into, with a random delay on top.
    enum Moment: CaseIterable {
        case push, jobs, deploy

        var longestDelay: Double {
            switch self {
            case .push: 0.8
            case .jobs: 4
            case .deploy: 2
            }
        }
    }

    @Test(.timeLimit(.minutes(30)))
    func aKilledServerLosesNothingOfTheJourney() async throws {
        let platform = try JourneyPlatform.current
        try await platform.addBaseImages("nginx:1.22")
        let steady = Site(name: "steady", replicas: 2, platform: platform)
        try await steady.deploy()
        try await JourneyProject.with("demo/crash") { project in
            let first = try await project.push(Self.files(version: 0))
            try await project.succeed(first)
            try await project.waitForPage("version 0")

            let processes = try await Self.processes(of: platform)
            let load = SteadyLoad(port: platform.gatewayPort, hosts: [project.host, steady.host], rate: 100)
            var crashes = Crashes(
                project: project,
                seed: setting("SAMPAN_CRASH_SEED", default: Int.random(in: 1...9999))
            )
            let rounds = setting("SAMPAN_CRASH_ROUNDS", default: 3)
            for round in 1...rounds { try await crashes.run(round) }
            try await project.waitForPage("version \(rounds)")
            let report = try await load.stop()

            print(crashes.summary)
            print("through the gateway: \(report)")
            #expect(report.failures.isEmpty)
            #expect(report.requests > 100 * rounds)
            #expect(report.bodies.isSuperset(of: ["version 0\n", "version \(rounds)\n"]))
            // How quick a restart is, Benchmarks/run tells; here it only has to come.
            #expect(crashes.restarts.allSatisfy { $0 <= .seconds(110) })
            let later = try await Self.processes(of: platform)
            #expect(processes.allSatisfy { $0.value == later[$0.key] }, "\(processes) became \(later)")
            for (version, commit) in ([first] + crashes.commits).enumerated() {
                try await expectWhole(commit, version: version, of: project)
            }
            try await expectIntegrity(of: platform)
        }
    }

    // MARK: - What must hold

    /// The pipeline of the commit succeeded, the trace of `count` has every line once, and the artifact is the one it made.
    private func expectWhole(_ commit: String, version: Int, of project: JourneyProject) async throws {
        let pipeline = try await project.succeed(commit)
        for job in try await project.jobs(pipeline) where job.name == "count" {
            let trace = try await project.trace(job)
            let lines = trace.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("line ") }
            #expect(lines == (1...30).map { "line \($0) of version \(version)" }, "\(trace)")
            #expect(trace.components(separatedBy: "Job succeeded").count == 2, "\(trace)")
            let artifact = try await project.request("GET", "jobs/\(job.id)/artifacts/out.txt")
            #expect(artifact == "version \(version)\n")
        }
        let tries: [JourneyProject.Job] = try await project.get(
            "pipelines/\(pipeline.id)/jobs?include_retried=true&per_page=100"
        )
        for name in Set(tries.map(\.name)) {
            let ofJob = tries.filter { $0.name == name }.sorted { $0.id < $1.id }
            #expect(ofJob.count <= 2, "\(name) ran \(ofJob.count) times")
            for earlier in ofJob.dropLast() {
                let trace = try await project.trace(earlier)
                #expect(trace.contains("Retrying as job"), "\(trace)")
            }
        }
    }

    private func expectIntegrity(of platform: TestPlatform) async throws {
        let script = """
            import glob, sqlite3, sys
            for path in glob.glob(sys.argv[1] + "/**/*.sqlite", recursive=True):
                print(sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone()[0], path)
            """
        let answer = try await Shell.run("python3", ["-c", script, platform.home])
        let lines = answer.split(separator: "\n")
        #expect(lines.count >= 4 && lines.allSatisfy { $0.hasPrefix("ok ") }, "\(answer)")
    }

    /// The process ids of what must outlive the server: its programs, and the containers of the steady site.
    private static func processes(of platform: TestPlatform) async throws -> [String: String] {
        var processes: [String: String] = [:]
        for name in ["gateway", "containerd"] { processes[name] = "\(try platform.pid(name))" }
        let containers = try await platform.kubectl(
            "get",
            "pods",
            "-l",
            "app=steady",
            "-o",
            "jsonpath={range .items[*]}{.status.containerStatuses[0].containerID} {end}"
        )
        let tasks = try await Shell.run("ctr", ["--address", platform.containerdSocket, "-n", "k8s.io", "tasks", "ls"])
        for line in tasks.split(separator: "\n").map({ $0.split(separator: " ").map(String.init) })
        where line.count > 1 && containers.contains(line[0]) {
            processes[line[0]] = line[1]
        }
        return processes
    }

    // MARK: - The application

    fileprivate static func files(version: Int) -> [String: String] {
        var files = JourneyApplication(version: version).files
        files[".gitlab-ci.yml"] = pipeline(version)
        // Makes the push last long enough to be killed in the middle.
        files["ballast"] = (0..<200_000).map { _ in String(UInt64.random(in: .min ... .max), radix: 36) }.joined()
        files[".dockerignore"] = "ballast\n"
        return files
    }

    private static func pipeline(_ version: Int) -> String {
        """
        stages: [work, deploy]
        default:
          image: busybox:1.36

        count:
          stage: work
          script:
            - for i in $(seq 1 30); do echo "line $i of version \(version)"; sleep 0.1; done
            - cp www/index.html out.txt
          artifacts:
            paths: [out.txt]

        build:
          stage: work
          script:
            - sampan build --image app

        deploy:
          stage: deploy
          environment: daily
          script:
            - cmp out.txt www/index.html
            - sampan deploy

        """
    }
}

/// Pushes, kills and restarts, and keeps what was seen.
private struct Crashes {
    let project: JourneyProject
    private let seed: Int
    private var random: SplitMix
    private(set) var commits: [String] = []
    private(set) var restarts: [Duration] = []
    private var lostPushes = 0

    init(project: JourneyProject, seed: Int) {
        self.project = project
        self.seed = seed
        random = SplitMix(state: UInt64(seed))
    }

    var summary: String {
        let sorted = restarts.sorted()
        return """
            journey crashes (seed \(seed)): \(restarts.count) kills of the server, \(lostPushes) of them cut a push off; \
            ready again in median \(sorted[sorted.count / 2]), at most \(sorted.last ?? .zero)
            """
    }

    /// Pushes the version of the round, kills the server in the middle of what follows, and waits until the pipeline has succeeded.
    mutating func run(_ round: Int) async throws {
        let moments = JourneyCrashTests.Moment.allCases
        let moment = moments[(round - 1) % moments.count]
        let delay = Double.random(in: 0...moment.longestDelay, using: &random)
        try await project.commit(JourneyCrashTests.files(version: round), "Version \(round)")
        let commit = try await project.head()
        print("round \(round): kill \(delay) s into \(moment)")

        async let pushed = push()
        try await wait(for: moment, of: commit)
        try await Task.sleep(for: .seconds(delay))
        kill(try project.platform.pid("server"), SIGKILL)
        let isAcknowledged = try await pushed
        let restart = try await ContinuousClock().measure { try await project.platform.up() }
        restarts.append(restart)
        // What it waited for is in the log, which goes with the platform.
        if restart > .seconds(10) { print("slow: \(restart)\n\(try await project.platform.logTail("server", 200))") }
        if !isAcknowledged {
            lostPushes += 1
            #expect(try await push(), "a push that was cut off can be repeated")
        }
        try await project.succeed(commit, within: .seconds(240))
        commits.append(commit)
    }

    /// Whether git says that the push was taken.
    private func push() async throws -> Bool {
        try await Shell.attempt("git", ["-C", project.folder, "push", "-q", "origin", "main"]).succeeded
    }

    private func wait(for moment: JourneyCrashTests.Moment, of commit: String) async throws {
        switch moment {
        case .push: return
        case .jobs: _ = try await project.pipeline(commit) { $0.status == "running" || $0.isFinished }
        case .deploy:
            _ = try await project.pipeline(commit) { pipeline in
                try await project.jobs(pipeline).contains { $0.name == "deploy" && $0.status == "running" }
                    || pipeline.isFinished
            }
        }
    }
}

/// Numbers that are the same for the same seed (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
