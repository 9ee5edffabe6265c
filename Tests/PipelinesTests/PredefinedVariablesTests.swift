import Testing

@testable import Pipelines

struct PredefinedVariablesTests {
    private static let commit = {
        var commit = CommitFacts(sha: "0123456789abcdef0123456789abcdef01234567", message: "Title\n\nBody")
        commit.tagMessage = "First release"
        return commit
    }()

    private static let job = JobFacts(
        id: 5,
        name: "test: [a, b]",
        stage: "check",
        pipelineID: 3,
        pipelineIID: 2,
        pipelineCreatedAt: "then",
        startedAt: "now",
        isManual: false,
        timeout: 90,
        pipelineName: "Nightly",
        token: "glcbt-x",
        image: "busybox",
        environment: EnvironmentDefinition(name: "prod-eu", url: "http://$CI_ENVIRONMENT_SLUG.x")
    )

    private static func variables(isTag: Bool, url: String = "http://10.1.0.1:8080") -> [String: JobVariable] {
        var project = PredefinedVariables.Project(
            id: 7,
            name: "Web Shop",
            path: "demo/sub/shop",
            defaultBranch: "trunk"
        )
        project.namespaceID = 9
        project.description = "Sells $things"
        let predefined = PredefinedVariables(
            server: .init(url: url, registry: "127.0.0.1:8080", toolsImage: "tools", version: "1.12.3-beta.4"),
            project: project,
            user: nil
        )
        let event = PipelineEvent(source: .push, ref: isTag ? "v1" : "main", isTag: isTag, commit: commit)
        let all = predefined.pipeline(event, isRefProtected: false) + predefined.job(job)
        return Dictionary(all.map { ($0.key, $0) }, uniquingKeysWith: { _, last in last })
    }

    @Test(arguments: [
        ("CI_API_V4_URL", "http://10.1.0.1:8080/api/v4"), ("CI_SERVER_URL", "http://10.1.0.1:8080"),
        ("CI_SERVER_HOST", "10.1.0.1"), ("CI_SERVER_PORT", "8080"), ("CI_SERVER_FQDN", "10.1.0.1:8080"),
        ("CI_SERVER_VERSION", "1.12.3-beta.4"), ("CI_SERVER_VERSION_MAJOR", "1"), ("CI_SERVER_VERSION_MINOR", "12"),
        ("CI_SERVER_VERSION_PATCH", "3"), ("CI_SERVER_REVISION", "sampan"), ("CI_REGISTRY", "127.0.0.1:8080"),
        ("CI_PROJECT_URL", "http://10.1.0.1:8080/demo/sub/shop"), ("CI_PROJECT_NAMESPACE", "demo/sub"),
        ("CI_PROJECT_NAMESPACE_ID", "9"), ("CI_PROJECT_DESCRIPTION", "Sells $things"),
        ("CI_REPOSITORY_URL", "http://gitlab-ci-token:glcbt-x@10.1.0.1:8080/demo/sub/shop.git"),
        ("CI_DEFAULT_BRANCH", "trunk"), ("CI_COMMIT_TAG", "v1"), ("CI_COMMIT_TAG_MESSAGE", "First release"),
        ("CI_PIPELINE_NAME", "Nightly"), ("CI_JOB_TIMEOUT", "90"), ("CI_JOB_GROUP_NAME", "test"),
        ("CI_NODE_TOTAL", "1"), ("CI_ENVIRONMENT_NAME", "prod-eu"), ("CI_ENVIRONMENT_TIER", "production"),
        ("CI_JOB_TOKEN", "glcbt-x"),
    ])
    func variable(_ name: String, _ value: String) {
        let variable = Self.variables(isTag: true)[name]
        #expect(variable?.value == value)
        #expect(variable?.isRaw == true)
    }

    @Test func branchesHaveNoVariablesOfTags() {
        let variables = Self.variables(isTag: false)
        #expect(variables["CI_COMMIT_BRANCH"]?.value == "main")
        #expect(variables["CI_COMMIT_TAG"] == nil)
        #expect(variables["CI_COMMIT_TAG_MESSAGE"] == nil)
    }

    @Test(arguments: [
        ("test", "test"), ("test 1/3", "test"), ("test 10 / 12", "test"), ("build: [x, y z]", "build"),
        ("deploy to eu", "deploy to eu"), ("v 1.2", "v 1.2"), ("a: [b] 1/2", "a"),
    ])
    func groupNames(_ name: String, _ expected: String) {
        #expect(PredefinedVariables.groupName(name) == expected)
    }

    @Test(arguments: [
        ("production", "production"), ("Prod-eu", "production"), ("live", "production"), ("staging", "staging"),
        ("pre-production", "staging"), ("non-prod", "staging"), ("demo", "staging"), ("qa", "testing"),
        ("acceptance", "testing"), ("integration", "testing"), ("review/main", "development"), ("dev", "development"),
        ("daily", "other"), ("blue", "other"),
    ])
    func tiers(_ name: String, _ expected: String) {
        #expect(EnvironmentTier.guess(name).rawValue == expected)
    }
}
