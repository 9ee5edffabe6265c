import Foundation
import KubernetesModel
import Review
import Testing

@testable import Pipelines

struct PipelineRoutesTests {
    @Test func pipelinesAndTheirJobsAreRead() async throws {
        try await Workshop.with { shop in
            let pipeline = try await shop.push("one: {script: x}\nask: {script: x, when: manual}\n")
            try await shop.running {
                try await shop.wait(for: pipeline, .success)
                try await shop.serving { api in
                    let list = try await api.get("/projects/demo%2Fshop/pipelines?sha=\(pipeline.sha)")
                    #expect(list.status == 200)
                    #expect(list.headers["x-total"] == "1")
                    #expect(list.json[0]?["status"] == "success")
                    #expect(try await api.get("/projects/demo%2Fshop/pipelines?status=failed").json == [])
                    let one = try await api.get("/projects/\(shop.project.id)/pipelines/\(pipeline.id)").json
                    #expect(one["sha"]?.string == pipeline.sha)
                    #expect(one["yaml_errors"] == .null)
                    #expect(one["user", "username"] == "root")
                    let jobs = try await api.get("/projects/1/pipelines/\(pipeline.id)/jobs").json
                    #expect(jobs.array?.compactMap { $0["name"]?.string } == ["one", "ask"])
                    #expect(jobs[0]?["pipeline", "id"]?.int == pipeline.id)
                    let id = try #require(jobs[0]?["id"]?.int)
                    let trace = try await api.get("/projects/1/jobs/\(id)/trace")
                    #expect(String(decoding: trace.body, as: UTF8.self).contains("output of one\n"))
                    #expect(trace.headers["content-type"] == "text/plain")
                    let statuses = try await api.get("/projects/1/repository/commits/\(pipeline.sha)/statuses").json
                    #expect(statuses.array?.count == 2)
                    #expect(try await api.get("/projects/1/pipelines/99").json == ["message": "404 Pipeline Not Found"])
                    #expect(
                        try await api.send("GET", "/projects/1/pipelines", header: ("PRIVATE-TOKEN", "x")).status == 401
                    )
                }
            }
        }
    }

    @Test func pipelinesAreFoundByWhatTheyAre() async throws {
        try await Workshop.with { shop in
            shop.executor.script("one", .ends(.failed(.scriptFailure, exitCode: 1, message: "no")))
            let failed = try await shop.push("one: {script: x}\n", branch: "b")
            try await shop.running { try await shop.wait(for: failed, .failed) }
            let broken = try await shop.push("one: {scrit: x}\n", branch: "a")
            let first = try await shop.push("one: {script: x}\n")
            let second = try await shop.push("one: {script: x, stage: test}\n")
            let all = [second, first, broken, failed].map(\.id)
            try await shop.serving { api async throws in
                func ids(_ query: String) async throws -> [Int] {
                    let answer = try await api.get("/projects/1/pipelines?\(query)")
                    #expect(answer.status == 200, "\(query)")
                    return answer.json.array?.compactMap { $0["id"]?.int } ?? []
                }
                #expect(try await ids("") == all)
                #expect(try await ids("sort=asc") == all.reversed())
                #expect(try await ids("scope=finished") == [first, broken, failed].map(\.id))
                #expect(try await ids("scope=pending") == [second.id])
                #expect(try await ids("scope=branches") == [second, broken, failed].map(\.id))
                #expect(try await ids("scope=tags") == [])
                #expect(try await ids("username=root") == all)
                #expect(try await ids("username=nobody") == [])
                #expect(try await ids("yaml_errors=true") == [broken.id])
                #expect(try await ids("order_by=ref&sort=asc") == [broken, failed, first, second].map(\.id))
                #expect(try await ids("updated_after=2020-01-01") == all)
                #expect(try await ids("updated_after=2999-01-01T00:00:00Z") == [])
                #expect(try await ids("updated_before=2999-01-01T00:00:00.5Z") == all)
            }
        }
    }

    @Test(arguments: [
        "pipelines?scope=all", "pipelines?order_by=name", "pipelines?sort=up", "pipelines?status=good",
        "pipelines?updated_after=yesterday", "environments?states=running", "deployments?status=good",
        "deployments?sort=up",
    ])
    func unknownValuesAreRefusedByName(_ path: String) async throws {
        try await Workshop.with { shop in
            try await shop.serving { api in
                let answer = try await api.get("/projects/1/\(path)")
                #expect(answer.status == 400)
                let name = String(path.split(separator: "?")[1].split(separator: "=")[0])
                #expect(String(decoding: answer.body, as: UTF8.self).contains(name))
            }
        }
    }

    @Test func environmentsAreFoundAndChanged() async throws {
        try await Workshop.with { shop in
            try await shop.serving { api in
                for name in ["daily", "review/one", "review/two"] {
                    #expect(
                        try await api.send("POST", "/projects/1/environments", json: ["name": .string(name)]).status
                            == 201
                    )
                }
                let found = try await api.get("/projects/1/environments?search=REVIEW").json
                #expect(found.array?.compactMap { $0["name"]?.string } == ["review/one", "review/two"])
                let path = "/projects/1/environments/\(try #require(found[0]?["id"]?.int))"
                #expect(found[0]?["tier"] == "development")
                let change: JSON = ["external_url": "http://one.example", "tier": "testing"]
                let changed = try await api.send("PUT", path, json: change).json
                #expect(changed["external_url"] == "http://one.example")
                #expect(changed["tier"] == "testing")
                #expect(try await api.send("PUT", path, json: ["tier": "large"]).status == 400)
                let same = try await api.send("PUT", path, json: ["external_url": "http://new.example"]).json
                #expect(same["tier"] == "testing")
                #expect(try await api.get(path).json["external_url"] == "http://new.example")
                #expect(try await api.send("PUT", "/projects/1/environments/99", json: change).status == 404)
            }
        }
    }

    @Test func jobsArePlayedRetriedCanceledAndErased() async throws {
        try await Workshop.with { shop in
            let pipeline = try await shop.push("one: {script: x}\nask: {script: x, when: manual}\n")
            try await shop.running {
                try await shop.wait(for: pipeline, .success)
                try await shop.serving { api in
                    let jobs = try await shop.service.store.jobs(ofPipeline: pipeline.id)
                    let (one, ask) = (jobs[0].id, jobs[1].id)
                    #expect(try await api.send("POST", "/projects/1/jobs/\(one)/play").status == 400)
                    #expect(try await api.send("POST", "/projects/1/jobs/\(ask)/play").status == 201)
                    try await eventually("the manual job did not run") {
                        try await shop.service.store.job(ask)?.status == .success
                    }
                    let again = try await api.send("POST", "/projects/1/jobs/\(one)/retry")
                    #expect(again.status == 201)
                    #expect(again.json["id"]?.int != one)
                    #expect(try await api.send("POST", "/projects/1/jobs/\(one)/retry").status == 403)
                    #expect(try await api.send("POST", "/projects/1/jobs/\(one)/erase").status == 201)
                    #expect(try await api.get("/projects/1/jobs/\(one)/trace").body.isEmpty)
                    let audit = try await shop.forge.auditEvents(target: "job:\(one)")
                    #expect(audit.map(\.action).contains("job_retried"))
                }
            }
        }
    }

    @Test func aPlayedJobGetsVariablesThatItsRetriesKeep() async throws {
        try await Workshop.with { shop in
            let pipeline = try await shop.push("ask: {script: x, when: manual, variables: {WHO: file, OF: $WHO}}\n")
            let id = try #require(await shop.service.store.jobs(ofPipeline: pipeline.id).first).id
            try await shop.running {
                try await shop.serving { api in
                    let play = "/projects/1/jobs/\(id)/play"
                    let bad: JSON = ["job_variables_attributes": [["key": "a-b", "value": "x"]]]
                    #expect(try await api.send("POST", play, json: bad).status == 400)
                    let given: JSON = ["job_variables_attributes": [["key": "WHO", "value": "asked-for"]]]
                    #expect(try await api.send("POST", play, json: given).status == 201)
                    try await shop.wait(for: pipeline, .success)
                    #expect(try await api.send("POST", "/projects/1/jobs/\(id)/retry").status == 201)
                    try await eventually("the job does not run again") { shop.executor.assignments.count == 2 }
                    try await shop.wait(for: pipeline, .success)
                }
            }
            for assignment in shop.executor.assignments {
                let values = Dictionary(uniqueKeysWithValues: assignment.variables.map { ($0.key, $0.value) })
                #expect(values["WHO"] == "asked-for")
                #expect(values["OF"] == "asked-for")
            }
            #expect(shop.executor.assignments.count == 2)
        }
    }

    @Test func aPlayedJobActsForWhoeverPlayedIt() async throws {
        try await Workshop.with { shop in
            let pipeline = try await shop.push("ask: {script: x, when: manual, environment: daily}\n")
            let job = try #require(await shop.service.store.jobs(ofPipeline: pipeline.id).first)
            #expect(job.userID == shop.user.id)
            let developer = try await shop.forge.createUser(
                NewUser(username: "dev", name: "Dev", email: "dev@example.com", password: "secret-dev-1"),
                by: .system
            )
            try await shop.forge.setMember(developer.id, of: shop.project, level: .developer, by: .system)
            let token = try await shop.forge.createToken(
                ofUser: developer.id,
                name: "test",
                scopes: [.api],
                by: .system
            )
            shop.executor.script("ask", .waits)
            try await shop.running {
                try await shop.serving { api in
                    let play = "/projects/1/jobs/\(job.id)/play"
                    let played = try await api.send("POST", play, header: ("PRIVATE-TOKEN", token.secret))
                    #expect(played.json["user", "username"] == "dev")
                    try await eventually("the job does not run") { shop.executor.assignments.count == 1 }
                    let assignment = shop.executor.assignments[0]
                    let identity = try await shop.service.job(withToken: assignment.token)
                    #expect(identity?.userID == developer.id)
                    let logins = assignment.variables.filter { $0.key == "GITLAB_USER_LOGIN" }
                    #expect(logins.map(\.value) == ["dev"])
                    shop.executor.release(job.id)
                }
            }
        }
    }

    @Test func pipelinesAreMadeOnRequestWithVariables() async throws {
        try await Workshop.with { shop in
            _ = try await shop.push("one: {script: x, rules: [{if: '$MODE == \"full\"'}]}\ntwo: {script: x}\n")
            try await shop.serving { api in
                let variables: JSON = [["key": "MODE", "value": "full"]]
                let made = try await api.send(
                    "POST",
                    "/projects/1/pipeline",
                    json: ["ref": "main", "variables": variables]
                )
                #expect(made.status == 201)
                #expect(made.json["source"] == "api")
                let id = try #require(made.json["id"]?.int)
                #expect(try await api.get("/projects/1/pipelines/\(id)/jobs").json.array?.count == 2)
                #expect(try await api.get("/projects/1/pipelines/\(id)/variables").json[0]?["value"] == "full")
                let missing = try await api.send("POST", "/projects/1/pipeline", json: ["ref": "nope"])
                #expect(missing.status == 400)
                #expect(missing.json == ["message": ["base": ["Reference not found"]]])
                #expect(try await api.send("POST", "/projects/1/pipelines/\(id)/cancel").json["status"] == "canceled")
                #expect(try await api.send("DELETE", "/projects/1/pipelines/\(id)").status == 204)
            }
        }
    }

    @Test func variablesAreKept() async throws {
        try await Workshop.with { shop in
            try await shop.serving { api in
                let new: JSON = ["key": "KEY", "value": "long-enough", "masked": true]
                for path in ["/projects/1/variables", "/admin/ci/variables"] {
                    let made = try await api.send("POST", path, json: new)
                    #expect(made.status == 201)
                    #expect(made.json["value"] == "long-enough")
                    #expect(try await api.send("POST", path, json: new).status == 400)
                    #expect(
                        try await api.send("PUT", "\(path)/KEY", json: ["value": "other-value"]).json["masked"] == true
                    )
                    #expect(try await api.get("\(path)/KEY").json["value"] == "other-value")
                    #expect(try await api.send("PUT", "\(path)/KEY", json: ["value": "short"]).status == 400)
                    #expect(try await api.send("DELETE", "\(path)/KEY").status == 204)
                    #expect(try await api.get("\(path)/KEY").status == 404)
                }
                let bad = try await api.send("POST", "/projects/1/variables", json: ["key": "a-b", "value": "x"])
                #expect(bad.json == ["message": ["key": ["can contain only letters, digits and '_'."]]])
            }
        }
    }

    @Test func configurationsAreChecked() async throws {
        try await Workshop.with { shop in
            try await shop.serving { api in
                let good = try await api.send("POST", "/projects/1/ci/lint", json: ["content": "a: {script: x}"])
                #expect(good.json["valid"] == true)
                let bad = try await api.send("POST", "/ci/lint", json: ["content": "a: {scrit: x}"])
                #expect(bad.json["valid"] == false)
                #expect(bad.json["errors"]?[0]?.string?.contains("did you mean \"script\"?") == true)
            }
        }
    }

    @Test func deploymentsAreRecordedOnceAndListed() async throws {
        try await Workshop.with { shop in
            let pipeline = try await shop.push("d: {script: x, environment: daily}\n")
            try await shop.running {
                try await shop.wait(for: pipeline, .success)
                let job = try #require(await shop.service.store.jobs(ofPipeline: pipeline.id).first)
                try await shop.service.recordDeployment(
                    RecordedDeployment(
                        projectID: shop.project.id,
                        environment: "daily",
                        jobID: job.id,
                        userID: shop.user.id,
                        ref: "main",
                        sha: pipeline.sha,
                        release: 4,
                        status: .success,
                        url: "http://shop.example"
                    )
                )
                try await shop.serving { api in
                    let deployments = try await api.get("/projects/1/deployments?environment=daily").json
                    #expect(deployments.array?.count == 1)
                    #expect(deployments[0]?["release"] == 4)
                    #expect(deployments[0]?["deployable", "name"] == "d")
                    let environment = try await api.get("/projects/1/environments/daily").json
                    #expect(environment["external_url"] == "http://shop.example")
                    #expect(environment["last_deployment", "status"] == "success")
                }
            }
        }
    }

    @Test func aJobsEndpointsAreItsOwn() async throws {
        try await Workshop.with { shop in
            shop.executor.script("one", .waits)
            _ = try await shop.push("one: {script: x}\n")
            try await shop.running {
                try await eventually("the job does not run") { shop.executor.assignments.count == 1 }
                let job = shop.executor.assignments[0]
                try await shop.serving { api in
                    let sources = try await api.send(
                        "GET",
                        "/jobs/\(job.jobID)/sources",
                        header: ("JOB-TOKEN", job.token)
                    )
                    #expect(sources.status == 200)
                    #expect(sources.body.range(of: Data(".gitlab-ci.yml".utf8)) != nil)
                    let other = try await api.send("GET", "/jobs/99/sources", header: ("JOB-TOKEN", job.token))
                    #expect(other.status == 403)
                    #expect(try await api.get("/jobs/\(job.jobID)/sources").status == 403)
                    for (depth, status) in [("0", 200), ("99999999999", 200), ("-1", 400), ("all", 400)] {
                        let path = "/jobs/\(job.jobID)/sources?depth=\(depth)"
                        #expect(try await api.send("GET", path, header: ("JOB-TOKEN", job.token)).status == status)
                    }
                    let own = try await api.send("GET", "/job", header: ("JOB-TOKEN", job.token))
                    #expect(own.json["name"] == "one")
                }
                shop.executor.release(job.jobID)
            }
        }
    }
}
