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

    @Test(.timeLimit(.minutes(3)))
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
}
