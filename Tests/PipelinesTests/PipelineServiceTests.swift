import Foundation
import Git
import KubernetesModel
import Review
import SystemPackage
import Testing

@testable import Pipelines

struct PipelineServiceTests {
    private let two = "stages: [a, b]\none: {stage: a, script: x}\ntwo: {stage: b, script: x}\n"

    @Test func aPushRunsItsJobsInOrder() async throws {
        try await Workshop.with { shop in
            let pipeline = try await shop.push(two)
            #expect(try await shop.jobs(pipeline) == ["one": .pending, "two": .created])
            try await shop.running { try await shop.wait(for: pipeline, .success) }
            #expect(shop.executor.assignments.map(\.name) == ["one", "two"])
            #expect(shop.trace(shop.executor.assignments[0].jobID).contains("output of one\n"))
            #expect(shop.trace(shop.executor.assignments[0].jobID).hasSuffix("Job succeeded\u{1b}[0;m\n"))
            #expect(Set(shop.executor.removed) == Set(shop.executor.assignments.map(\.jobID)))
        }
    }

    @Test func aFailureStopsThePipelineAndSaysWhy() async throws {
        try await Workshop.with { shop in
            shop.executor.script("one", .ends(.failed(.scriptFailure, exitCode: 3, message: "exit code 3")))
            let pipeline = try await shop.push(two)
            try await shop.running { try await shop.wait(for: pipeline, .failed) }
            #expect(try await shop.jobs(pipeline) == ["one": .failed, "two": .skipped])
            let job = try #require(await shop.service.store.jobs(ofPipeline: pipeline.id).first)
            #expect(job.failureReason == .scriptFailure)
            #expect(job.exitCode == 3)
            #expect(shop.trace(job.id).contains("ERROR: Job failed: exit code 3"))
        }
    }

    @Test func mistakesInTheFileMakeAFailedPipelineThatNamesThem() async throws {
        try await Workshop.with { shop in
            let pipeline = try await shop.push("a:\n  script: x\n  stge: b\n")
            #expect(pipeline.status == .failed)
            #expect(pipeline.yamlErrors?.contains(".gitlab-ci.yml:3: jobs:a:stge: unknown keyword") == true)
        }
    }

    @Test func commitsThatSaySoHaveNoPipeline() async throws {
        try await Workshop.with { shop in
            await shop.service.pushed(try await shop.commit([".gitlab-ci.yml": two], message: "Docs [skip ci]"))
            #expect(try await shop.service.store.pipelines(ofProject: shop.project.id).isEmpty)
            #expect(try await shop.service.store.heads(ofProject: shop.project.id).count == 1)
        }
    }

    @Test func aDockerfileAloneGetsTheDefaultPipeline() async throws {
        try await Workshop.with { shop in
            await shop.service.pushed(try await shop.commit(["Dockerfile": "FROM scratch\n"]))
            let pipeline = try #require(await shop.service.store.pipelines(ofProject: shop.project.id).first)
            #expect(try await shop.jobs(pipeline) == ["build": .pending, "deploy": .created])
            try await shop.running { try await shop.wait(for: pipeline, .success) }
            let deploy = try #require(shop.executor.assignments.last)
            #expect(deploy.variables.contains { $0.key == "CI_ENVIRONMENT_NAME" && $0.value == "daily" })
            // Nothing from another registry: the pipeline of a newcomer without internet must run.
            #expect(shop.executor.assignments.allSatisfy { $0.image.name.hasSuffix("/tools") })
            let deployments = try await shop.service.store.deployments(ofProject: shop.project.id)
            #expect(deployments.map(\.status) == [.success])
            #expect(try await shop.service.store.environments(ofProject: shop.project.id).map(\.name) == ["daily"])
        }
    }

    @Test func aPushThatNobodyHeardOfIsFoundOnStartAndOnlyOnce() async throws {
        try await Workshop.with { shop in
            let missed = try await shop.commit([".gitlab-ci.yml": two])
            try await shop.running {
                try await eventually("no pipeline was made") {
                    try await shop.service.store.pipelines(ofProject: shop.project.id).first?.status == .success
                }
            }
            await shop.service.pushed(missed)
            #expect(try await shop.service.store.pipelines(ofProject: shop.project.id).map(\.sha) == [missed.after])
        }
    }

    @Test func aPushWhosePipelineCouldNotBeMadeIsFoundAgain() async throws {
        try await Workshop.with { shop in
            let push = try await shop.commit([".gitlab-ci.yml": two])
            let path = try shop.forge.repository(of: shop.project).path
            try FileManager.default.moveItem(atPath: path, toPath: path + ".away")
            await shop.service.pushed(push)
            #expect(try await shop.service.store.pipelines(ofProject: shop.project.id).isEmpty)
            try await shop.running {
                try FileManager.default.moveItem(atPath: path + ".away", toPath: path)
                try await eventually("no pipeline was made") {
                    try await shop.service.store.pipelines(ofProject: shop.project.id).first?.status == .success
                }
            }
        }
    }

    @Test func aJobWhoseTraceTheDiskRefusesGoesOn() async throws {
        try await Workshop.with { shop in
            shop.executor.script("one", .fails(.noSpace), .ends(.success))
            let pipeline = try await shop.push("one: {script: x}\n")
            try await shop.running { try await shop.wait(for: pipeline, .success) }
            let id = shop.executor.assignments[0].jobID
            #expect(shop.executor.assignments.map(\.jobID) == [id, id])
            #expect(shop.executor.resumed == [id])
            let trace = shop.trace(id)
            #expect(trace.components(separatedBy: "Running job").count == 2, "\(trace)")
            #expect(trace.components(separatedBy: "Job succeeded").count == 2, "\(trace)")
        }
    }

    @Test func runningJobsAreTakenUpAfterARestart() async throws {
        try await Workshop.with { shop in
            shop.executor.script("one", .waits)
            let pipeline = try await shop.push(two)
            try await shop.running {
                try await eventually("the job does not run") { shop.executor.assignments.count == 1 }
            }
            #expect(try await shop.jobs(pipeline)["one"] == .running)
            let again = ScriptedExecutor()
            let (_, service) = try await Workshop.open(folder: shop.folder, executor: again)
            let reopened = Workshop(
                folder: shop.folder,
                forge: shop.forge,
                service: service,
                executor: again,
                project: shop.project,
                user: shop.user
            )
            try await reopened.running { try await reopened.wait(for: pipeline, .success) }
            let id = shop.executor.assignments[0].jobID
            #expect(again.resumed == [id])
            #expect(again.kept == [[id]])
            #expect(again.assignments[0].token == shop.executor.assignments[0].token)
        }
    }

    @Test func whatThePlatformLostIsRepeatedOnceAndSaysSo() async throws {
        try await Workshop.with { shop in
            shop.executor.script("one", .ends(.gone), .ends(.gone))
            let pipeline = try await shop.push(two)
            try await shop.running { try await shop.wait(for: pipeline, .failed) }
            let tries = try await shop.service.store.jobs(ofPipeline: pipeline.id, includesRetried: true)
                .filter { $0.name == "one" }
            #expect(tries.map(\.isRetried) == [true, false])
            #expect(tries.map(\.failureReason) == [.runnerSystemFailure, .runnerSystemFailure])
            #expect(shop.trace(tries[0].id).contains("Retrying as job \(tries[1].id) (try 2)"))
        }
    }

    @Test func cancelingStopsWhatRuns() async throws {
        try await Workshop.with { shop in
            shop.executor.script("one", .waits)
            let pipeline = try await shop.push(two)
            try await shop.running {
                try await eventually("the job does not run") { shop.executor.assignments.count == 1 }
                try await shop.service.store.change(pipeline.id) { $0.cancel() }
                shop.service.poke()
                try await shop.wait(for: pipeline, .canceled)
            }
            #expect(try await shop.jobs(pipeline) == ["one": .canceled, "two": .canceled])
        }
    }

    @Test func onlySoManyJobsRunAtOnce() async throws {
        try await Workshop.with { shop in
            for name in ["a", "b", "c", "d", "e", "f"] { shop.executor.script(name, .waits) }
            let yaml = ["a", "b", "c", "d", "e", "f"].map { "\($0): {script: x}\n" }.joined()
            let pipeline = try await shop.push(yaml)
            try await shop.running {
                try await eventually("four jobs do not run") { shop.executor.mostAtOnce == 4 }
                for job in try await shop.service.store.jobs(ofPipeline: pipeline.id) { shop.executor.release(job.id) }
                try await shop.wait(for: pipeline, .success)
            }
            #expect(shop.executor.mostAtOnce == 4)
        }
    }

    @Test func ofAResourceGroupOneJobRunsAtATime() async throws {
        try await Workshop.with { shop in
            shop.executor.script("g", .waits)
            let pipeline = try await shop.push("g: {script: x, resource_group: r}\nh: {script: x, resource_group: r}\n")
            try await shop.running {
                try await eventually("the second job does not wait") {
                    try await shop.jobs(pipeline) == ["g": .running, "h": .waitingForResource]
                }
                let first = try #require(await shop.service.store.jobs(ofPipeline: pipeline.id).first)
                shop.executor.release(first.id)
                try await shop.wait(for: pipeline, .success)
            }
        }
    }

    @Test func aNewerPushReplacesWhatHasNotStarted() async throws {
        try await Workshop.with { shop in
            let old = try await shop.push(two)
            let new = try await shop.push(two + "# more\n")
            #expect(try await shop.service.store.pipeline(old.id)?.status == .canceled)
            #expect(new.id > old.id)
            #expect(new.status == .pending)
        }
    }

    @Test func jobTokensAreGoodOnlyWhileTheJobRuns() async throws {
        try await Workshop.with { shop in
            shop.executor.script("one", .waits)
            let pipeline = try await shop.push("one: {script: x}\n")
            try await shop.running {
                try await eventually("the job does not run") { shop.executor.assignments.count == 1 }
                let job = shop.executor.assignments[0]
                let identity = try await shop.service.job(withToken: job.token)
                #expect(
                    identity
                        == JobIdentity(jobID: job.jobID, projectID: shop.project.id, userID: shop.user.id, ref: "main")
                )
                #expect(try await shop.service.job(withToken: job.token + "x") == nil)
                shop.executor.release(job.jobID)
                try await shop.wait(for: pipeline, .success)
                #expect(try await shop.service.job(withToken: job.token) == nil)
            }
        }
    }

    @Test func variablesReachJobsEncryptedAtRestMaskedAndOnlyWhereTheyBelong() async throws {
        try await Workshop.with { shop in
            for (key, isProtected, scope) in [
                ("OPEN", false, "*"), ("GUARDED", true, "*"), ("PROD", false, "production"),
            ] {
                let record = VariableRecord(
                    id: 0,
                    scope: .project,
                    scopeID: shop.project.id,
                    key: key,
                    sealedValue: try shop.service.seal("value-of-\(key)", in: .project(shop.project.id)),
                    variableType: "env_var",
                    isProtected: isProtected,
                    isMasked: true,
                    isRaw: false,
                    environmentScope: scope
                )
                try await shop.service.store.save(record)
            }
            let pipeline = try await shop.push(
                "one: {script: x, variables: {OPEN: file, OWN: $OPEN!}}\n",
                branch: "topic"
            )
            try await shop.running { try await shop.wait(for: pipeline, .success) }
            let assignment = try #require(shop.executor.assignments.first)
            let values = Dictionary(uniqueKeysWithValues: assignment.variables.map { ($0.key, $0.value) })
            #expect(values["OPEN"] == "value-of-OPEN")
            #expect(values["OWN"] == "value-of-OPEN!")
            #expect(values["GUARDED"] == nil)
            #expect(values["PROD"] == nil)
            #expect(values["CI_COMMIT_BRANCH"] == "topic")
            #expect(values["CI_PROJECT_PATH"] == "demo/shop")
            #expect(assignment.secrets.contains("value-of-OPEN"))
            for file in try FileManager.default.contentsOfDirectory(atPath: "\(shop.folder)/pipelines")
            where file.hasPrefix("pipelines.sqlite") {
                let bytes = try Data(contentsOf: URL(filePath: "\(shop.folder)/pipelines/\(file)"))
                #expect(bytes.range(of: Data("value-of-".utf8)) == nil)
                #expect(bytes.range(of: Data(assignment.token.utf8)) == nil)
            }
        }
    }
}
