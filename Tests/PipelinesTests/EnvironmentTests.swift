import KubernetesModel
import Review
import Testing

@testable import Pipelines

struct EnvironmentTests {
    private static let yaml = """
        stages: [deploy, stop]
        deploy:
          stage: deploy
          script: x
          variables: {HOST: shop}
          environment: {name: review/$CI_COMMIT_REF_SLUG, url: "https://$HOST-$CI_ENVIRONMENT_SLUG.example", on_stop: remove}
        remove:
          stage: stop
          script: x
          when: manual
          environment: {name: review/$CI_COMMIT_REF_SLUG, action: stop}
        """

    private static func environment(_ shop: Workshop) async throws -> EnvironmentRecord {
        try #require(await shop.service.store.environments(ofProject: shop.project.id).first)
    }

    @Test func theURLThatAJobNamesIsTheEnvironmentsOnceItSucceeded() async throws {
        try await Workshop.with { shop in
            shop.executor.script("deploy", .ends(.failed(.scriptFailure, exitCode: 1, message: "no")), .waits)
            let pipeline = try await shop.push(Self.yaml, branch: "fix")
            try await shop.running {
                try await shop.wait(for: pipeline, .failed)
                #expect(try await Self.environment(shop).externalURL == nil)
                try await shop.service.store.retryFailed(pipelineID: pipeline.id, userID: shop.user.id)
                shop.service.poke()
                try await eventually("the job does not run again") { shop.executor.assignments.count == 2 }
                let job = shop.executor.assignments[1].jobID
                // The platform's own address gives way to the one that the job names.
                let record = RecordedDeployment(
                    projectID: shop.project.id,
                    environment: "review/fix",
                    jobID: job,
                    userID: shop.user.id,
                    ref: "fix",
                    sha: pipeline.sha,
                    release: 1,
                    status: .success,
                    url: "http://platform"
                )
                try await shop.service.recordDeployment(record)
                #expect(try await Self.environment(shop).externalURL == "http://platform")
                shop.executor.release(job)
                try await eventually("the job does not end") {
                    try await shop.service.store.job(job)?.status == .success
                }
                let environment = try await Self.environment(shop)
                #expect(environment.externalURL == "https://shop-\(environment.slug).example")
            }
        }
    }

    @Test func stoppingPlaysTheJobAndItsSuccessStops() async throws {
        try await Workshop.with { shop in
            shop.executor.script("remove", .waits, .waits)
            let pipeline = try await shop.push(Self.yaml, branch: "fix")
            try await shop.running {
                try await shop.wait(for: pipeline, .success)
                try await shop.serving { api in
                    let path = "/projects/1/environments/\(try await Self.environment(shop).id)"
                    #expect(try await api.get(path).json["state"] == "available")
                    for (outcome, state) in [
                        (JobOutcome.failed(.scriptFailure, exitCode: 1, message: "no"), "available"),
                        (.success, "stopped"),
                    ] {
                        let before = shop.executor.assignments.count
                        #expect(try await api.send("POST", "\(path)/stop").json["state"] == "stopping")
                        try await eventually("the job does not run") { shop.executor.assignments.count > before }
                        let job = try #require(shop.executor.assignments.last)
                        #expect(job.name == "remove")
                        #expect(try await api.get(path).json["state"] == "stopping")
                        shop.executor.release(job.jobID, outcome)
                        try await eventually("the environment is not \(state)") {
                            try await api.get(path).json["state"]?.string == state
                        }
                    }
                    let count = shop.executor.assignments.count
                    #expect(try await api.send("POST", "\(path)/stop").json["state"] == "stopped")
                    #expect(shop.executor.assignments.count == count)
                }
            }
        }
    }

    @Test(arguments: [(true, ", on_stop: remove"), (false, "")])
    func withoutAJobOrByForceItIsStoppedAtOnce(_ isForced: Bool, _ onStop: String) async throws {
        try await Workshop.with { shop in
            let yaml = """
                deploy: {script: x, environment: {name: daily\(onStop)}}
                remove: {script: x, when: manual, environment: {name: daily, action: stop}}
                """
            let pipeline = try await shop.push(yaml)
            try await shop.running {
                try await shop.wait(for: pipeline, .success)
                try await shop.serving { api in
                    let stopped = try await api.send(
                        "POST",
                        "/projects/1/environments/daily/stop",
                        json: ["force": .bool(isForced)]
                    )
                    #expect(stopped.json["state"] == "stopped")
                    #expect(try await shop.jobs(pipeline)["remove"] == .manual)
                }
            }
        }
    }
}
