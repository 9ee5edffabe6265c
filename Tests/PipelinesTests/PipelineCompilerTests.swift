import Testing

@testable import Pipelines

struct PipelineCompilerTests {
    private func compile(
        _ text: String,
        ref: String = "main",
        isTag: Bool = false,
        source: PipelineEvent.Source = .push,
        changed: [String]? = nil,
        variables: [JobVariable] = [],
        settings: [JobVariable] = [],
        paths: [String] = [],
        defaultBranch: String = "main"
    ) throws -> Compilation {
        let event = PipelineEvent(
            source: source,
            ref: ref,
            isTag: isTag,
            commit: CommitFacts(sha: String(repeating: "a", count: 40), message: "Title\n\nBody"),
            changedPaths: changed,
            variables: variables
        )
        let project = PredefinedVariables.Project(
            id: 7,
            name: "Shop",
            path: "demo/shop",
            defaultBranch: defaultBranch
        )
        let server = PredefinedVariables.Server(
            url: "http://h:1",
            registry: "h:1",
            toolsImage: "h:1/tools",
            version: "1"
        )
        let predefined = PredefinedVariables(server: server, project: project, user: nil)
            .pipeline(event, isRefProtected: false)
        let context = CompilationContext(predefined: predefined, settings: settings, paths: paths)
        return try PipelineCompiler.compile(try ConfigurationParser.parse(text: text), for: event, in: context)
    }

    private func graph(_ compilation: Compilation) throws -> JobGraph {
        guard case .pipeline(let graph) = compilation else {
            Issue.record("no pipeline: \(compilation)")
            throw CancellationError()
        }
        return graph
    }

    private func names(_ compilation: Compilation) -> [String] {
        if case .pipeline(let graph) = compilation { graph.jobs.map(\.name) } else { [] }
    }

    @Test func jobsAreOrderedByStage() throws {
        let graph = try graph(
            compile(
                "stages: [a, b]\ntwo: {stage: b, script: x}\none: {stage: a, script: x}\nzero: {stage: .pre, script: x}"
            )
        )
        #expect(graph.stages == [".pre", "a", "b"])
        #expect(graph.jobs.map(\.name) == ["zero", "one", "two"])
        #expect(graph.jobs.map(\.stageIndex) == [0, 1, 2])
    }

    @Test(arguments: [
        ("rules: [{if: '$CI_COMMIT_BRANCH == \"main\"'}]", true),
        ("rules: [{if: '$CI_COMMIT_BRANCH == \"x\"'}]", false),
        ("rules: [{if: '$CI_COMMIT_BRANCH == \"main\"', when: never}, {when: always}]", false),
        ("rules: [{changes: ['src/**/*']}]", true),
        ("rules: [{changes: ['docs/*']}]", false),
        ("rules: [{exists: [Dockerfile]}]", true),
        ("rules: [{exists: ['**/*.go']}]", false),
        ("rules: [{if: '$CI_COMMIT_BRANCH', changes: ['docs/*']}]", false),
        ("only: [main]", true), ("only: [tags]", false), ("only: [branches]", true), ("only: ['/^ma.*$/']", true),
        ("only: [pushes]", true), ("only: [web]", false), ("except: [main]", false), ("except: [tags]", true),
        ("only: {refs: [main], variables: ['$X == \"1\"']}", false), ("only: {changes: ['src/*.c']}", true),
        ("only: [main]\n  except: {variables: ['$CI']}", false), ("when: never", false),
    ])
    func selection(_ text: String, _ expected: Bool) throws {
        let yaml = "always: {script: x}\njob:\n  script: x\n  \(text)\n"
        let result = try compile(yaml, changed: ["src/a.c"], paths: ["Dockerfile", "src/a.c"])
        #expect(names(result).contains("job") == expected)
    }

    @Test func aNewBranchChangesEverything() throws {
        #expect(try names(compile("a: {script: x, rules: [{changes: [nothing]}]}")) == ["a"])
    }

    @Test func rulesSetWhenVariablesAndAllowFailure() throws {
        let job = try #require(
            graph(
                compile(
                    "a: {script: x, rules: [{when: manual, allow_failure: true, variables: {K: v}}], variables: {K: o}}"
                )
            ).jobs.first
        )
        #expect(job.when == .manual)
        #expect(job.allowFailure == .yes)
        #expect(job.variables.contains(JobVariable("K", "v")))
    }

    @Test func manualJobsAreOptionalOnlyOutsideOfRules() throws {
        let graph = try graph(compile("a: {script: x, when: manual}\nb: {script: x, rules: [{when: manual}]}"))
        #expect(graph.job("a")?.allowFailure == .yes)
        #expect(graph.job("b")?.allowFailure == .no)
    }

    @Test func workflowRulesForbidOrGiveVariables() throws {
        let yaml = """
            workflow:
              name: "On $WHERE"
              rules:
                - if: $CI_COMMIT_TAG
                  when: never
                - if: $CI_COMMIT_BRANCH == "main"
                  variables: {WHERE: trunk}
                - when: always
            a: {script: x, rules: [{if: '$WHERE == "trunk"'}]}
            b: {script: x}
            """
        #expect(try names(compile(yaml)) == ["a", "b"])
        #expect(try graph(compile(yaml)).name == "On trunk")
        #expect(try names(compile(yaml, ref: "other")) == ["b"])
        #expect(try compile(yaml, ref: "v1", isTag: true) == .none("workflow:rules allow no pipeline for this event"))
    }

    @Test func projectSettingsWinOverTheFileAndEventVariablesOverAll() throws {
        let yaml =
            "variables: {A: file}\nj: {script: x, rules: [{if: '$A == \"setting\"'}]}\nk: {script: x, rules: [{if: '$A == \"event\"'}]}"
        #expect(try names(compile(yaml, settings: [JobVariable("A", "setting")])) == ["j"])
        let both = try compile(yaml, variables: [JobVariable("A", "event")], settings: [JobVariable("A", "setting")])
        #expect(names(both) == ["k"])
    }

    @Test func needsFollowParallelJobs() throws {
        let graph = try graph(
            compile(
                """
                build: {stage: build, script: x, parallel: {matrix: [{OS: [linux, mac], ARCH: [arm]}]}}
                lint: {stage: build, script: x, parallel: 2}
                test: {script: x, needs: [build, {job: lint, artifacts: false}]}
                linux: {script: x, needs: [{job: build, parallel: {matrix: [{OS: linux}]}}]}
                """
            )
        )
        #expect(
            graph.jobs.prefix(4).map(\.name) == ["build: [linux, arm]", "build: [mac, arm]", "lint 1/2", "lint 2/2"]
        )
        #expect(graph.job("test")?.needs?.count == 4)
        #expect(graph.job("test")?.needs?.last == CompiledNeed(job: "lint 2/2", wantsArtifacts: false))
        #expect(graph.job("linux")?.needs?.map(\.job) == ["build: [linux, arm]"])
        #expect(graph.jobs[0].variables.contains(JobVariable("CI_NODE_TOTAL", "2")))
    }

    @Test(arguments: [
        (
            "a: {script: x, needs: [bild]}\nbuild: {script: x}",
            ".gitlab-ci.yml:1: jobs:a:needs: there is no job \"bild\"; did you mean \"build\"?"
        ),
        (
            "a: {script: x, needs: [b]}\nb: {script: x, rules: [{when: never}]}",
            ".gitlab-ci.yml:1: jobs:a:needs: the job \"b\" is not part of this pipeline; write \"optional: true\" to allow that"
        ),
        (
            "a: {stage: build, script: x, needs: [b]}\nb: {stage: test, script: x}",
            ".gitlab-ci.yml:1: jobs:a:needs: the job \"b\" runs in the later stage \"test\""
        ),
        (
            "a: {script: x, needs: [b]}\nb: {script: x, needs: [c]}\nc: {script: x, needs: [a]}",
            ".gitlab-ci.yml:1: jobs:a:needs: circular: a -> b -> c -> a"
        ),
        ("a: {script: x, needs: [a]}", ".gitlab-ci.yml:1: jobs:a:needs: circular: a -> a"),
        ("a: {script: x, dependencies: [b]}", ".gitlab-ci.yml:1: jobs:a:dependencies: there is no job \"b\""),
    ])
    func badNeedsAreNamed(_ yaml: String, _ expected: String) {
        let error = #expect(throws: InvalidConfiguration.self) { try compile(yaml) }
        #expect(error?.errors.map(\.description).contains(expected) == true, "\(error?.description ?? "")")
    }

    @Test func optionalNeedsMayBeMissing() throws {
        let yaml = "a: {script: x, needs: [{job: b, optional: true}]}\nb: {script: x, rules: [{when: never}]}"
        #expect(try graph(compile(yaml)).job("a")?.needs == [])
    }

    @Test func nothingSelectedIsNoPipeline() throws {
        let none = Compilation.none("no job is selected by its rules for this event")
        #expect(try compile("a: {script: x, only: [other]}") == none)
        #expect(try compile("a: {script: x, only: [other]}\nb: {stage: .pre, script: x}") == none)
    }

    @Test func environmentNamesAreFilledIn() throws {
        let graph = try graph(
            compile("a: {script: x, environment: {name: review/$CI_COMMIT_REF_SLUG}}", ref: "Fix/One")
        )
        #expect(graph.jobs.first?.environment?.name == "review/fix-one")
    }

    @Test(arguments: [
        ("main", "main", "daily"), ("master", "main", "daily"), ("trunk", "trunk", "daily"),
        ("release", "main", "production"), ("release", "release", "production"),
    ])
    func theDefaultPipelineBuildsAndDeploys(_ branch: String, _ defaultBranch: String, _ environment: String) throws {
        let text = try #require(DefaultPipeline.configuration(paths: ["Dockerfile"]))
        let graph = try graph(compile(text, ref: branch, defaultBranch: defaultBranch))
        #expect(graph.jobs.map(\.name) == ["build", "deploy"])
        #expect(graph.job("deploy")?.environment?.name == environment)
        #expect(graph.job("deploy")?.resourceGroup == environment)
    }

    @Test func otherBranchesAreOnlyBuiltAndOtherProjectsNotAtAll() throws {
        let text = try #require(DefaultPipeline.configuration(paths: ["Dockerfile"]))
        #expect(try names(compile(text, ref: "topic")) == ["build"])
        #expect(DefaultPipeline.configuration(paths: ["README"]) == nil)
    }

    @Test(arguments: [
        ("main", "main"), ("Fix/One_two", "fix-one-two"), ("-a-", "a"),
        (String(repeating: "x", count: 80), String(repeating: "x", count: 63)),
    ])
    func slugs(_ text: String, _ expected: String) {
        #expect(PredefinedVariables.slug(text) == expected)
    }

    @Test func environmentSlugsAreShortAndStable() {
        #expect(PredefinedVariables.environmentSlug("production") == "production")
        let long = PredefinedVariables.environmentSlug("review/a-very-long-branch-name-indeed")
        #expect(long.count <= 24)
        #expect(long == PredefinedVariables.environmentSlug("review/a-very-long-branch-name-indeed"))
        #expect(PredefinedVariables.environmentSlug("1x").hasPrefix("env-1x"))
    }

    @Test func randomGraphsHaveNoCircleAndNeedOnlyEarlierStages() throws {
        for seed in 0..<30 {
            var generator = SeededGenerator(state: UInt64(seed + 1))
            var yaml = "stages: [s0, s1, s2]\n"
            for index in 0..<8 {
                let needs = (0..<index).filter { _ in generator.next() % 3 == 0 }.map { "j\($0)" }
                yaml += "j\(index): {stage: s\(index / 3), script: x, needs: [\(needs.joined(separator: ", "))]}\n"
            }
            let graph = try graph(compile(yaml))
            for job in graph.jobs {
                for need in job.needs ?? [] {
                    let target = try #require(graph.job(need.job))
                    #expect(target.stageIndex <= job.stageIndex)
                }
            }
            #expect(Set(graph.jobs.map(\.name)).count == graph.jobs.count)
        }
    }
}

struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
