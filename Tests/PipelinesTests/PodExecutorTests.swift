import Foundation
import KubernetesClient
import KubernetesModel
import Logging
import Review
import Synchronization
import TestKit
import Testing

@testable import Pipelines

struct PodExecutorTests {
    private static let namespace = "sampan-jobs"

    private func assignment(
        _ yaml: String = "j: {script: x}",
        id: Int = 7,
        timeout: Int = 60,
        account: JobAccount? = nil
    ) throws -> JobAssignment {
        let event = PipelineEvent(
            source: .push,
            ref: "main",
            commit: CommitFacts(sha: String(repeating: "a", count: 40))
        )
        let compilation = try PipelineCompiler.compile(
            try ConfigurationParser.parse(text: yaml),
            for: event,
            in: .init()
        )
        guard case .pipeline(let graph) = compilation, let job = graph.jobs.first else {
            throw Failure(description: "no job")
        }
        let variables = VariableCollection([
            JobVariable("CI_PROJECT_DIR", "/builds/demo/shop"), JobVariable("PASSWORD", "opensesame", isMasked: true),
        ])
        return JobAssignment(
            jobID: id,
            projectID: 1,
            pipelineID: 2,
            name: job.name,
            image: job.image ?? ImageDefinition(name: "alpine:3"),
            services: job.services,
            variables: Array(variables.variables.values),
            files: JobFiles(
                job: job,
                variables: variables,
                dependencies: [],
                apiURL: "http://10.0.0.1:80/api/v4",
                account: account
            ),
            account: account,
            timeout: timeout,
            registry: "registry.example:5000",
            token: "glcbt-0123456789"
        )
    }

    private func executor(_ cluster: MemoryCluster, access: (any EnvironmentAccess)? = nil) -> PodExecutor {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        var configuration = PodExecutor.Configuration(helperImage: "registry.example/helper:1")
        configuration.logDrain = .seconds(30)
        return PodExecutor(client: cluster, access: access, configuration: configuration, logger: logger)
    }

    private func status(_ states: [(String, JSON)], phase: String = "Running") -> JSON {
        let entries = states.map { name, state -> JSON in ["name": .string(name), "state": state] }
        let isInit: (JSON) -> Bool = { $0["name"]?.string == "prepare" }
        return [
            "phase": .string(phase), "initContainerStatuses": .array(entries.filter(isInit)),
            "containerStatuses": .array(entries.filter { !isInit($0) }),
        ]
    }

    private func ended(_ code: Int, _ reason: String = "Completed") -> JSON {
        ["terminated": ["exitCode": JSON(code), "reason": .string(reason)]]
    }

    private func waiting(_ reason: String, _ message: String) -> JSON {
        ["waiting": ["reason": .string(reason), "message": .string(message)]]
    }

    /// Runs the job while the node says `status` of its pod; answers with the outcome and the trace.
    private func run(
        _ assignment: JobAssignment,
        status: JSON,
        logs: String = "",
        trace existing: String = ""
    ) async throws -> (JobOutcome, String) {
        try await withTemporaryFolder { folder in
            let cluster = MemoryCluster()
            let executor = executor(cluster)
            try await executor.start(keeping: [])
            let trace = try JobTrace(path: "\(folder)/trace")
            try trace.append(existing)
            let name = JobPod.name(assignment.jobID)
            cluster.setLogs(namespace: Self.namespace, pod: name, logs.utf8.map { [$0] })
            async let outcome = executor.run(assignment, trace: trace, isResuming: false)
            try await eventually("no pod was made") {
                cluster.find(.pods, namespace: Self.namespace, name: name) != nil
            }
            cluster.setStatus(.pods, namespace: Self.namespace, name: name, status)
            return (try await outcome, String(decoding: JobTrace.read(path: trace.path), as: UTF8.self))
        }
    }

    @Test func onlyTheScriptOfAJobWithAnAccountGetsItsToken() async throws {
        let account = JobAccount(
            name: "demo-shop-daily",
            namespace: "demo-shop-daily",
            projectID: 1,
            project: "demo/shop",
            environment: "daily"
        )
        let assignment = try assignment("j: {script: x, artifacts: {paths: [o]}}", account: account)
        let objects = JobPod(assignment: assignment, namespace: Self.namespace, helperImage: "helper")
        #expect(objects.pod["spec", "serviceAccountName"] == "demo-shop-daily")
        #expect(objects.pod["spec", "automountServiceAccountToken"] == false)
        let containers = ["initContainers", "containers"].flatMap { objects.pod["spec", $0]?.array ?? [] }
        let withToken = containers.filter { container in
            (container["volumeMounts"]?.array ?? []).contains { $0["mountPath"]?.string == ClusterFiles.tokenFolder }
        }
        #expect(containers.compactMap { $0["name"]?.string } == ["prepare", "build", "finish"])
        #expect(withToken.map { $0["name"]?.string } == ["build"])
        let volume = try #require(objects.pod["spec", "volumes"]?.array?.last)
        #expect(volume["projected", "sources"]?.array?[0]["serviceAccountToken", "expirationSeconds"] == 600)

        let config = try JSON(parsing: try #require(assignment.files.contents["kubeconfig"]))
        #expect(config["contexts"]?.array?[0]["context", "namespace"] == "demo-shop-daily")
        #expect(config["users"]?.array?[0]["user", "tokenFile"]?.string == "\(ClusterFiles.tokenFolder)/token")
        #expect(assignment.files.contents["namespace"] == "demo-shop-daily")
    }

    @Test func aJobWithoutAnAccountGetsNoToken() throws {
        let objects = JobPod(assignment: try assignment(), namespace: Self.namespace, helperImage: "helper")
        #expect(objects.pod["spec", "serviceAccountName"] == nil)
        #expect(!objects.pod.encodedString.contains("serviceAccountToken\":{"))
    }

    @Test func anAccountIsThereBeforeItsPod() async throws {
        try await withTemporaryFolder { folder in
            let cluster = MemoryCluster()
            let access = RecordingAccess(cluster: cluster)
            let executor = executor(cluster, access: access)
            try await executor.start(keeping: [])
            let account = JobAccount(
                name: "a",
                namespace: "n",
                projectID: 1,
                project: "demo/shop",
                environment: "daily"
            )
            let assignment = try assignment(account: account)
            async let outcome = executor.run(
                assignment,
                trace: try JobTrace(path: "\(folder)/trace"),
                isResuming: false
            )
            try await eventually("no pod was made") {
                cluster.find(.pods, namespace: Self.namespace, name: JobPod.name(7)) != nil
            }
            #expect(access.prepared.withLock { $0 } == [.init(account: account, podWasThere: false)])
            cluster.setStatus(
                .pods,
                namespace: Self.namespace,
                name: JobPod.name(7),
                status([("prepare", ended(0)), ("build", ended(0))], phase: "Succeeded")
            )
            #expect(try await outcome == .success)
        }
    }

    @Test func theEndOfTheBuildContainerIsTheEndOfTheJob() async throws {
        let status = status([("prepare", ended(0)), ("build", ended(0))], phase: "Succeeded")
        let (outcome, trace) = try await run(assignment(), status: status, logs: "hello opensesame\n")
        #expect(outcome == .success)
        #expect(trace == "hello [MASKED]\nhello [MASKED]\n")
    }

    @Test func anExitCodeIsKept() async throws {
        let status = status([("prepare", ended(0)), ("build", ended(3, "Error"))], phase: "Failed")
        let (outcome, _) = try await run(assignment(), status: status)
        #expect(outcome == .failed(.scriptFailure, exitCode: 3, message: "exit code 3"))
    }

    @Test func anImageThatCannotBePulledFailsAtOnceWithTheReason() async throws {
        let status = status(
            [("prepare", ended(0)), ("build", waiting("ErrImagePull", "no such host"))],
            phase: "Pending"
        )
        let (outcome, _) = try await run(assignment("j: {script: x, image: 'nowhere/x:1'}"), status: status)
        let message = "the image nowhere/x:1 could not be pulled: ErrImagePull: no such host"
        #expect(outcome == .failed(.imagePullFailure, exitCode: nil, message: message))
    }

    @Test func artifactsThatWereNotSentFailTheJob() async throws {
        let states = [("prepare", ended(0)), ("build", ended(0)), ("finish", ended(1))]
        let job = try assignment("j: {script: x, artifacts: {paths: [o]}}")
        let (outcome, _) = try await run(job, status: status(states, phase: "Failed"))
        #expect(outcome == .failed(.dataIntegrityFailure, exitCode: nil, message: "the artifacts were not uploaded"))
    }

    @Test func outOfMemoryAndEvictionAreSaid() throws {
        var pod: JSON = ["spec": ["containers": [["name": "build", "image": "x"]]]]
        pod["status"] = status([("build", ended(137, "OOMKilled"))], phase: "Failed")
        #expect(
            JobPodStatus(pod).outcome
                == .failed(.scriptFailure, exitCode: 137, message: "out of memory (exit code 137)")
        )
        pod["status"] = ["phase": "Failed", "reason": "Evicted", "message": "disk"]
        let evicted = JobOutcome.failed(
            .runnerSystemFailure,
            exitCode: nil,
            message: "the pod ended early (Evicted: disk)"
        )
        #expect(JobPodStatus(pod).outcome == evicted)
        pod["status"] = ["phase": "Failed", "reason": "DeadlineExceeded"]
        #expect(
            JobPodStatus(pod).outcome
                == .failed(.jobExecutionTimeout, exitCode: nil, message: "execution took too long")
        )
    }

    /// Only the platform's own end cuts a start off: the job may be run again. A program that is missing stays missing.
    @Test func aStartThatWasCutOffIsNotTheJobsFault() throws {
        func outcome(_ message: String) -> JobOutcome? {
            var build: JSON = ["name": "build", "state": ["terminated": ["exitCode": 128, "reason": "StartError"]]]
            build["state"]?["terminated"]?["message"] = .string(message)
            return JobPodStatus(["status": ["phase": "Failed", "containerStatuses": [build]]]).outcome
        }
        #expect(outcome("failed to start containerd task \"x\": context canceled: unknown") == .gone)
        let missing = outcome("failed to create containerd task: exec: \"/x\": no such file or directory")
        #expect(missing.map { if case .failed(.runnerSystemFailure, _, _) = $0 { true } else { false } } == true)
    }

    @Test func aJobThatTakesTooLongIsOver() async throws {
        let (outcome, _) = try await run(assignment(timeout: 0), status: ["phase": "Running"])
        #expect(
            outcome == .failed(.jobExecutionTimeout, exitCode: nil, message: "execution took longer than 0 seconds")
        )
    }

    @Test func aPodThatIsGoneIsNotStartedAgainWhenResuming() async throws {
        try await withTemporaryFolder { folder in
            let cluster = MemoryCluster()
            let executor = executor(cluster)
            let trace = try JobTrace(path: "\(folder)/trace")
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { _ = try? await executor.run(assignment(), trace: trace, isResuming: true) }
                try await waitUntil("a pod that was never made") { cluster.all(.pods).count == 1 }
                try await waitUntil("its mark") { trace.hasSection("pod") }
                group.cancelAll()
            }
            _ = try await cluster.delete(.pods, namespace: "sampan-jobs", name: "job-7")
            let again = try JobTrace(path: "\(folder)/trace")
            #expect(try await executor.run(assignment(), trace: again, isResuming: true) == .gone)
            #expect(cluster.all(.pods).isEmpty)
        }
    }

    @Test func stoppingARunningJobEndsIt() async throws {
        try await withTemporaryFolder { folder in
            let cluster = MemoryCluster()
            let executor = executor(cluster)
            let trace = try JobTrace(path: "\(folder)/trace")
            async let outcome = executor.run(assignment(), trace: trace, isResuming: false)
            try await eventually("no pod was made") { !cluster.all(.pods).isEmpty }
            try await executor.stop(jobID: 7)
            #expect(try await outcome == .gone)
            try await executor.remove(jobID: 7)
            #expect(cluster.all(.pods).isEmpty)
            #expect(cluster.all(.secrets).isEmpty)
        }
    }

    @Test func onlyTheLeftoversOfEndedJobsAreRemoved() async throws {
        let cluster = MemoryCluster()
        for id in [1, 2] {
            cluster.put(
                .pods,
                [
                    "metadata": [
                        "name": "job-\(id)", "namespace": "sampan-jobs", "labels": ["sampan.dev/job-id": "\(id)"],
                    ]
                ]
            )
        }
        cluster.put(.pods, ["metadata": ["name": "other", "namespace": "sampan-jobs"]])
        try await executor(cluster).start(keeping: [2])
        #expect(Set(cluster.all(.pods).map { AnyObjectView($0).name }) == ["job-2", "other"])
    }

    /// However far the trace came before a restart, the whole log is in it once.
    @Test(arguments: [0, 1, 5, 9, 14])
    func aTraceGoesOnWhereItStopped(_ written: Int) async throws {
        try await withTemporaryFolder { folder in
            let log = Array("ab opensesame cd\n".utf8)
            let before = try JobTrace(path: "\(folder)/trace")
            try before.append("head\n")
            var first = try TraceSection("build", of: before, secrets: ["opensesame"])
            try first.append(Array(log.prefix(written)))
            let after = try JobTrace(path: "\(folder)/trace")
            var second = try TraceSection("build", of: after, secrets: ["opensesame"])
            for byte in log { try second.append([byte]) }
            try second.finish()
            #expect(String(decoding: JobTrace.read(path: "\(folder)/trace"), as: UTF8.self) == "head\nab [MASKED] cd\n")
        }
    }

    @Test func thePodHoldsNoSecretInItsOwnText() throws {
        let job = try assignment("j: {script: x, services: ['group/pg:16'], image: {name: i, entrypoint: [/init, '']}}")
        let objects = JobPod(assignment: job, namespace: "n", helperImage: "h:1")
        let text = objects.pod.encodedString
        #expect(!text.contains("opensesame"))
        #expect(!text.contains("glcbt"))
        #expect(objects.pod["spec", "automountServiceAccountToken"] == false)
        #expect(objects.pod["spec", "restartPolicy"] == "Never")
        let build = objects.pod["spec", "containers"]?[0]
        #expect(build?["command"] == ["/init"])
        #expect(build?["args"] == ["/sampan/bin/busybox", "sh", "/sampan/bin/build.sh"])
        #expect(build?["imagePullPolicy"] == "Always")
        #expect(objects.pod["spec", "hostAliases"]?[0]?["hostnames"] == ["group-pg", "group__pg"])
        #expect(objects.secrets.count == 3)
    }
}

/// Writes down which accounts were prepared, and whether their job's pod came too early.
private final class RecordingAccess: EnvironmentAccess {
    struct Preparation: Hashable {
        let account: JobAccount
        let podWasThere: Bool
    }

    let cluster: MemoryCluster
    let prepared = Mutex<[Preparation]>([])

    init(cluster: MemoryCluster) { self.cluster = cluster }

    func account(for job: JobIdentity, of project: Project, environment: String) -> JobAccount? { nil }

    func prepare(_ account: JobAccount, jobsNamespace: String) {
        let pod = cluster.find(.pods, namespace: jobsNamespace, name: JobPod.name(7))
        prepared.withLock { $0.append(Preparation(account: account, podWasThere: pod != nil)) }
    }
}
