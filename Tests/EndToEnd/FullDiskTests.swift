import Foundation
import TestKit
import Testing

/// A disk without room: whoever brings something is told so, nothing acknowledged is lost, what runs goes on serving, and all works
/// again as soon as there is room.
@Suite(.serialized, .journeyPlatform(diskMebibytes: 500))
struct FullDiskTests {
    @Test(.timeLimit(.minutes(6)))
    func aFullDiskIsNamedAndLosesNothing() async throws {
        try await JourneyProject.with("demo/full") { project in
            let first = try await project.push(JourneyApplication(version: 1).files)
            try await project.succeed(first)
            try await project.waitForPage("version 1")
            let load = SteadyLoad(port: project.platform.gatewayPort, hosts: [project.host], rate: 50)
            let ballast = Ballast(folder: project.platform.home)

            try await expectPushWithoutRoomIsRefused(project, ballast)
            let running = try await startCounting(project)
            try await ballast.fill(leaving: 0)
            try await expectEveryoneIsTold(project)
            let kept = try await fillTheStore(of: project.platform)
            #expect(try await project.page().body == "version 1\n")
            ballast.remove()

            try await expectAllWorksAgain(project, kept: kept)
            try await expectCounted(project, running)
            let report = try await load.stop()
            print("on a full disk, through the gateway: \(report)")
            #expect(report.failures.isEmpty)
        }
    }

    // MARK: - Steps

    /// There is room when the push begins, but not for all of it.
    private func expectPushWithoutRoomIsRefused(_ project: JourneyProject, _ ballast: Ballast) async throws {
        let before = try await project.git("ls-remote", "origin", "main")
        try await ballast.fill(leaving: 64 << 20)
        try await project.commit(JourneyApplication(version: 2).files)
        try await Shell.run(
            "sh",
            ["-c", "head -c $2 /dev/urandom >$1", "sh", "\(project.folder)/large", "\(90 << 20)"]
        )
        try await project.git("add", "-A")
        try await project.git("commit", "-q", "-m", "Too large")
        let push = try await Shell.attempt("git", ["-C", project.folder, "push", "origin", "main"])
        #expect(!push.succeeded && push.errors.contains("No space left on device"), "\(push.errors)")
        #expect(try await project.git("ls-remote", "origin", "main") == before)
        try await project.git("reset", "-q", "--hard", "origin/main")
        ballast.remove()
    }

    /// A job that still runs when the disk is full.
    private func startCounting(_ project: JourneyProject) async throws -> JourneyProject.Pipeline {
        let script = "for i in $(seq 1 100); do echo \"line $i\"; sleep 0.1; done"
        let job = "count:\n  image: busybox:1.36\n  script:\n    - \(script)\n"
        try await project.git("checkout", "-q", "-B", "counting")
        try await project.commit([".gitlab-ci.yml": job])
        try await project.git("push", "-q", "origin", "counting")
        let pipeline = try await project.pipeline(try await project.head()) { pipeline in
            guard let job = try await project.jobs(pipeline).first, job.status == "running" else { return false }
            return try await project.trace(job).contains("line 3\n")
        }
        try await project.git("checkout", "-q", "main")
        return pipeline
    }

    private func expectEveryoneIsTold(_ project: JourneyProject) async throws {
        let platform = project.platform
        try await project.commit(JourneyApplication(version: 2).files)
        let push = try await Shell.attempt("git", ["-C", project.folder, "push", "origin", "main"])
        #expect(!push.succeeded && push.errors.contains("remote: The disk of this platform is full"), "\(push.errors)")

        let credentials = "root:\(project.token)"
        let image = "docker://\(platform.registry)"
        let copy = try await Shell.attempt(
            "skopeo",
            [
                "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--src-creds", credentials, "--dest-creds",
                credentials, "\(image)/demo/full/app:main", "\(image)/demo/full/copy:1",
            ]
        )
        // skopeo shows no text of an answer with such a status, but the status itself.
        #expect(!copy.succeeded && copy.errors.contains("507 Insufficient Storage"), "\(copy.errors)")

        let file = try await Shell.attempt(
            "curl",
            [
                "-s", "-w", "%{http_code}", "-H", "PRIVATE-TOKEN: \(project.token)", "-d",
                "branch=main&commit_message=x&content=x",
                "\(platform.web)/api/v4/projects/demo%2Ffull/repository/files/x",
            ]
        )
        #expect(file.output.hasSuffix("507") && file.output.contains("disk of this platform is full"), "\(file)")
        try await waitUntil("the status to name the disk") {
            let status = try await platform.attempt("status")
            return !status.succeeded && status.output.contains("full: ")
        }
    }

    /// Writes objects until the cluster has no room for one more; answers with the names of those that it took.
    private func fillTheStore(of platform: TestPlatform) async throws -> [String] {
        var kept: [String] = []
        for number in 1...60 {
            let name = "kept-\(number)"
            let object = """
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "\(name)"}, "data": {"x": "\(String(repeating: "x", count: 400_000))"}}
                """
            let answer = try await platform.attemptKubectl("create", "-f", "-", input: object)
            guard !answer.succeeded else {
                kept.append(name)
                continue
            }
            #expect(answer.errors.contains("InsufficientStorage"), "\(answer.errors)")
            #expect(answer.errors.contains("the disk of the platform is full"), "\(answer.errors)")
            return kept
        }
        Issue.record("the store never became full")
        return kept
    }

    private func expectAllWorksAgain(_ project: JourneyProject, kept: [String]) async throws {
        try await project.git("push", "-q", "origin", "main")
        try await project.succeed(try await project.head())
        try await project.waitForPage("version 2")
        let names = try await project.platform.kubectl("get", "configmaps", "-o", "name").split(separator: "\n")
        for name in kept { #expect(names.contains("configmap/\(name)")) }
        #expect(try await project.releases().first?.phase == "deployed")
        try await project.platform.sampan("status")
    }

    /// The job that ran all the while has its whole log, or says itself that the disk stopped it.
    private func expectCounted(_ project: JourneyProject, _ started: JourneyProject.Pipeline) async throws {
        let pipeline = try await project.pipeline(started.sha)
        let job = try await project.job("count", of: pipeline)
        let trace = try await project.trace(job)
        print("the job that ran on the full disk ended in \(job.status)")
        if job.status == "success" {
            let lines = trace.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("line ") }
            #expect(lines == (1...100).map { "line \($0)" }, "\(trace)")
        } else {
            #expect(trace.contains("no space left") || trace.contains("No space left"), "\(trace)")
        }
    }
}

/// A file that takes the room of a disk.
private struct Ballast {
    let folder: String

    private var path: String { "\(folder)/ballast" }

    /// Grows until at most `rest` bytes are left.
    func fill(leaving rest: Int) async throws {
        // The platform frees and takes some at the same time. A disk that becomes full ends the program; that is what zero is for.
        try await waitUntil("a disk with at most \(rest) bytes left") {
            let size = free - rest + (1 << 16)
            _ = try await Shell.attempt("sh", ["-c", "head -c $2 /dev/zero >>$1", "sh", path, "\(max(size, 0))"])
            return free <= rest
        }
    }

    func remove() {
        try? FileManager.default.removeItem(atPath: path)
    }

    private var free: Int {
        var information = statvfs()
        guard statvfs(folder, &information) == 0 else { return .max }
        return Int(information.f_bavail) * Int(information.f_frsize)
    }
}
