import KubernetesModel
import Testing

@testable import Pipelines

/// The files of a commit, in memory.
struct MemoryTree: SourceTree {
    var files: [String: String]
    func read(_ path: String) async throws -> [UInt8]? { files[path].map { Array($0.utf8) } }
    func paths() async throws -> [String] { files.keys.sorted() }
}

struct ConfigurationParserTests {
    private func parse(_ text: String) throws -> PipelineConfiguration {
        try ConfigurationParser.parse(text: text)
    }

    private func errors(_ text: String) -> [String] {
        do {
            _ = try ConfigurationParser.parse(text: text)
            return []
        } catch let error as InvalidConfiguration {
            return error.errors.map(\.description)
        } catch {
            return ["unexpected \(error)"]
        }
    }

    @Test func readsAWholeJob() throws {
        let job = try #require(
            parse(
                """
                stages: [check]
                variables:
                  GLOBAL: 1
                test:
                  stage: check
                  image: {name: "swift:6", entrypoint: [""]}
                  services: [postgres:16, {name: redis, alias: cache}]
                  before_script: [one, [two, [three]]]
                  script: |
                    make
                  after_script: [clean]
                  variables: {A: true, B: {value: "$A", expand: false}}
                  artifacts: {paths: [out/], exclude: ["*.tmp"], when: always, expire_in: 1 week}
                  cache: {key: deps, paths: [.build], policy: pull}
                  environment: {name: prod, url: https://x.example, action: start}
                  when: manual
                  allow_failure: {exit_codes: [3, 4]}
                  retry: {max: 2, when: [script_failure], exit_codes: 7}
                  timeout: 1h 30m
                  interruptible: true
                  tags: [docker]
                  parallel: 3
                  resource_group: prod
                  coverage: '/\\d+%/'
                """
            ).jobs.first
        )
        #expect(job.stage == "check")
        #expect(job.image == ImageDefinition(name: "swift:6", entrypoint: [""]))
        #expect(job.services.map(\.name) == ["postgres:16", "redis"])
        #expect(job.beforeScript == ["one", "two", "three"])
        #expect(job.script == ["make\n"])
        #expect(job.variables["B"] == VariableDefinition("$A", isExpanded: false))
        #expect(job.artifacts?.expireIn == 7 * 86_400)
        #expect(job.artifacts?.when == .always)
        #expect(job.caches == [CacheDefinition(key: "deps", paths: [".build"], policy: .pull)])
        #expect(job.environment?.url == "https://x.example")
        #expect(job.when == .manual)
        #expect(job.allowFailure == .exitCodes([3, 4]))
        #expect(job.retry == RetryDefinition(max: 2, when: ["script_failure"], exitCodes: [7]))
        #expect(job.timeout == 5400)
        #expect(job.isInterruptible)
        #expect(job.parallel == .count(3))
        #expect(job.coverage == "/\\d+%/")
    }

    @Test(arguments: [
        (
            "jobs line",
            "a:\n  script: x\n  stge: test\n",
            ".gitlab-ci.yml:3: jobs:a:stge: unknown keyword \"stge\"; did you mean \"stage\"?"
        ),
        ("no script", "a:\n  stage: test\n", ".gitlab-ci.yml:1: jobs:a: a job needs a \"script\""),
        (
            "unknown stage",
            "stages: [one]\na:\n  stage: on\n  script: x\n",
            ".gitlab-ci.yml:3: jobs:a:stage: there is no stage \"on\"; the stages are .pre, one, .post; did you mean \"one\"?"
        ),
        (
            "job is text",
            "a: make\n",
            ".gitlab-ci.yml:1: jobs:a: expected a mapping with a \"script\", not a string"
        ),
        (
            "misspelled global",
            "stagse: [a]\nb:\n  script: x\n",
            ".gitlab-ci.yml:1: jobs:stagse: expected a mapping with a \"script\", not a list; did you mean the keyword \"stages\"?"
        ),
        (
            "when",
            "a:\n  script: x\n  when: on_sucess\n",
            ".gitlab-ci.yml:3: jobs:a:when: unknown value \"on_sucess\"; expected one of on_success, on_failure, always, manual, never; did you mean \"on_success\"?"
        ),
        (
            "delayed",
            "a:\n  script: x\n  when: delayed\n",
            ".gitlab-ci.yml:3: jobs:a:when: delayed jobs are not supported; use \"when: manual\""
        ),
        (
            "retry range",
            "a:\n  script: x\n  retry: 9\n",
            ".gitlab-ci.yml:3: jobs:a:retry: 9 is out of range; expected 0 to 2"
        ),
        (
            "timeout",
            "a:\n  script: x\n  timeout: soon\n",
            ".gitlab-ci.yml:3: jobs:a:timeout: \"soon\" is no span of time; expected something like \"1h 30m\" or \"3 days\""
        ),
        (
            "colon in a command",
            "a:\n  script:\n    - echo ok\n    - echo hello: world\n",
            ".gitlab-ci.yml:4: jobs:a:script: the command is read as a mapping because of the \": \" after \"echo hello\"; put quotes around it"
        ),
        (
            "rules and only",
            "a:\n  script: x\n  only: [main]\n  rules: [{when: always}]\n",
            ".gitlab-ci.yml:3: jobs:a: \"rules\" cannot be used together with \"only\" or \"except\"; keep \"rules\""
        ),
        (
            "condition",
            "a:\n  script: x\n  rules:\n    - if: $A == \n",
            ".gitlab-ci.yml:4: jobs:a:rules:if: invalid condition `$A ==`: the condition ends where a value is expected (column 6)"
        ),
        (
            "trigger",
            "a:\n  trigger: other/project\n",
            ".gitlab-ci.yml:2: jobs:a:trigger: downstream pipelines are not supported; run the work as a job with a \"script\""
        ),
        (
            "unknown extends",
            "a:\n  extends: .b\n  script: x\n",
            ".gitlab-ci.yml:2: jobs:a:extends: there is no job \".b\""
        ),
        (
            "circular extends",
            "a:\n  extends: b\nb:\n  extends: a\n  script: x\n",
            ".gitlab-ci.yml:4: jobs:b:extends: circular: a -> b -> a"
        ),
        (
            "reference",
            "a:\n  script: !reference [.x, script]\n",
            ".gitlab-ci.yml:2: .x:script: !reference [.x, script]: there is no \".x\""
        ),
        (
            "duplicate key",
            "a:\n  script: x\n  script: y\n",
            ".gitlab-ci.yml:2: the key \"script\" appears twice in one mapping; keep one"
        ),
        (
            "variable's name",
            "variables:\n  a-b: 1\na:\n  script: x\n",
            ".gitlab-ci.yml:2: variables:a-b: a variable's name has only letters, digits and underscores"
        ),
        ("not a mapping", "- a\n", ".gitlab-ci.yml:1: expected a mapping of jobs and keywords, not a list"),
        (
            "no job",
            ".hidden:\n  script: x\n",
            ".gitlab-ci.yml:1: jobs: there is no job; a job is a top-level key with a \"script\""
        ),
        (
            "matrix",
            "a:\n  script: x\n  parallel: {matrix: 3}\n",
            ".gitlab-ci.yml:3: jobs:a:parallel:matrix: expected a list of mappings from variables to values, not a number"
        ),
        (
            "environment",
            "a:\n  script: x\n  environment: {action: strat, name: p}\n",
            ".gitlab-ci.yml:3: jobs:a:environment:action: unknown value \"strat\"; expected one of start, prepare, stop, verify, access; did you mean \"start\"?"
        ),
    ])
    func namesFileLineKeyAndWhatWasExpected(_ row: (name: String, text: String, error: String)) {
        #expect(errors(row.text).contains(row.error), "\(row.name): \(errors(row.text))")
    }

    @Test func brokenYAMLNamesItsLine() throws {
        let error = try #require(errors("a:\n  script: [one\nb: 2\n").first)
        #expect(error.hasPrefix(".gitlab-ci.yml:3: this is not valid YAML: "), "\(error)")
    }

    @Test func reportsAllMistakesAtOnce() {
        #expect(errors("a:\n  scrpt: x\n  retry: many\nb:\n  script: y\n  when: perhaps\n").count == 4)
    }

    @Test func extendsMergesDeeplyAndReplacesLists() throws {
        let job = try #require(
            parse(
                """
                .base:
                  variables: {A: base, B: base}
                  script: [base]
                  retry: 1
                .middle:
                  extends: .base
                  variables: {B: middle}
                job:
                  extends: [.middle]
                  script: [own, again]
                  retry: null
                """
            ).jobs.first
        )
        #expect(job.variables.mapValues(\.value) == ["A": "base", "B": "middle"])
        #expect(job.script == ["own", "again"])
        #expect(job.retry.max == 0)
    }

    @Test func anchorsMergeKeysAndReferencesAreFilledIn() throws {
        let jobs = try parse(
            """
            .setup: &setup
              image: one
              before_script: [a]
            .more:
              script: [b, c]
            job:
              <<: *setup
              image: two
              script:
                - !reference [.more, script]
                - d
            """
        ).jobs
        #expect(jobs.first?.image?.name == "two")
        #expect(jobs.first?.beforeScript == ["a"])
        #expect(jobs.first?.script == ["b", "c", "d"])
    }

    @Test func defaultsReachJobsThatSayNothing() throws {
        let jobs = try parse(
            """
            default:
              image: common
              retry: 2
              before_script: [prepare]
            a:
              script: x
            b:
              script: x
              before_script: []
              inherit: {default: [before_script]}
            """
        ).jobs
        #expect(jobs[0].image?.name == "common")
        #expect(jobs[0].retry.max == 2)
        #expect(jobs[0].beforeScript == ["prepare"])
        #expect(jobs[1].image == nil)
        #expect(jobs[1].beforeScript == [])
    }

    @Test func includedFilesLieBelowTheIncludingOne() async throws {
        let tree = MemoryTree(files: [
            ".gitlab-ci.yml": "include: [{local: /ci/a.yml}, 'ci/more/*.yml']\nmain:\n  script: own\n  extends: .t\n",
            "ci/a.yml": ".t:\n  image: x\nmain:\n  script: included\n  retry: 1\n",
            "ci/more/b.yml": "extra:\n  script: y\n",
        ])
        let configuration = try await ConfigurationParser.parse(".gitlab-ci.yml", from: tree)
        #expect(configuration.jobs.map(\.name) == ["main", "extra"])
        #expect(configuration.jobs[0].script == ["own"])
        #expect(configuration.jobs[0].retry.max == 1)
        #expect(configuration.jobs[0].image?.name == "x")
    }

    @Test func aMissingIncludedFileIsNamed() async throws {
        let tree = MemoryTree(files: [".gitlab-ci.yml": "a:\n  script: x\ninclude:\n  - local: no.yml\n"])
        let error = await #expect(throws: InvalidConfiguration.self) {
            try await ConfigurationParser.parse(".gitlab-ci.yml", from: tree)
        }
        #expect(
            error?.description == ".gitlab-ci.yml:4: include: the file \"no.yml\" does not exist in this commit"
        )
    }

    @Test func remoteFilesAreRefused() async throws {
        let tree = MemoryTree(files: [".gitlab-ci.yml": "include: https://example.org/ci.yml\n"])
        let error = await #expect(throws: InvalidConfiguration.self) {
            try await ConfigurationParser.parse(".gitlab-ci.yml", from: tree)
        }
        let expected = """
            .gitlab-ci.yml:1: include: remote files are not supported; only files of the same repository can be included: \
            - local: path/to/file.yml
            """
        #expect(error?.description == expected)
        #expect(errors("include: a.yml\n") == [".gitlab-ci.yml:1: include: other files cannot be included here"])
    }

    @Test func aBombOfAliasesIsRefused() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(aliases)]\n"
        }
        #expect(errors(text).first?.contains("aliases make this file larger than") == true)
    }

    @Test func whatHasNoEffectIsSaid() throws {
        let configuration = try parse(
            "a:\n  script: x\n  id_tokens: {T: {aud: x}}\n  artifacts: {reports: {junit: r.xml}}\n"
        )
        #expect(configuration.warnings.count == 2)
        #expect(configuration.jobs[0].artifacts?.paths == ["r.xml"])
    }

    @Test(arguments: [
        ("a: {script: x, id_tokens: {T: {aud: x}}}", "jobs:a:id_tokens", "id_tokens"),
        ("a: {script: x, coverage: '/1%/'}", "jobs:a:coverage", "coverage"),
        (
            "a: {script: x, rules: [{changes: {paths: [b], compare_to: main}}]}", "jobs:a:rules:changes:compare_to",
            "compare_to"
        ),
        ("a: {script: x, rules: [{if: $B, interruptible: true}]}", "jobs:a:rules:interruptible", "interruptible"),
        ("workflow: {auto_cancel: {on_new_commit: none}}\na: {script: x}", "workflow:auto_cancel", "auto_cancel"),
        ("a: {script: x, cache: {paths: [b], untracked: true}}", "jobs:a:cache:untracked", "untracked"),
        ("a: {script: x, cache: {paths: [b], fallback_keys: [c]}}", "jobs:a:cache:fallback_keys", "fallback_keys"),
        ("a: {script: x, cache: {paths: [b], unprotect: true}}", "jobs:a:cache:unprotect", "unprotect"),
        ("a: {script: x, artifacts: {paths: [b], public: false}}", "jobs:a:artifacts:public", "public"),
        ("a: {script: x, artifacts: {paths: [b], access: none}}", "jobs:a:artifacts:access", "access"),
        ("a: {script: x, artifacts: {paths: [b], expose_as: c}}", "jobs:a:artifacts:expose_as", "expose_as"),
        (
            "a: {script: x, environment: {name: b, auto_stop_in: 1 day}}", "jobs:a:environment:auto_stop_in",
            "auto_stop_in"
        ),
        (
            "a: {script: x, environment: {name: b, kubernetes: {namespace: c}}}", "jobs:a:environment:kubernetes",
            "kubernetes"
        ),
        ("a: {script: x, services: [{name: b, pull_policy: always}]}", "jobs:a:services:pull_policy", "pull_policy"),
        ("a: {script: x, services: [{name: b, docker: {user: c}}]}", "jobs:a:services:docker", "docker"),
        ("a: {script: x, image: {name: b, kubernetes: {user: 1}}}", "jobs:a:image:kubernetes", "kubernetes"),
        ("variables: {B: {value: x, options: [x, y]}}\na: {script: x}", "variables:B:options", "options"),
    ])
    func whatHasNoEffectIsSaidWhereItIsWritten(_ yaml: String, _ path: String, _ keyword: String) throws {
        let expected = ".gitlab-ci.yml:1: \(path): \"\(keyword)\" has no effect on this platform"
        #expect(try parse(yaml).warnings == [expected])
    }

    @Test func whatHasAnEffectIsNotWarnedOf() throws {
        let yaml = """
            workflow: {name: n, rules: [{changes: {paths: [b]}}]}
            a:
              script: x
              image: {name: b, entrypoint: [c], pull_policy: always}
              services: [{name: b, alias: c, variables: {D: e}}]
              cache: {key: b, paths: [c], policy: pull, when: always}
              artifacts: {paths: [b], exclude: [c], untracked: true, when: always, expire_in: 1 day}
              environment: {name: b, url: http://c, action: start, on_stop: z, deployment_tier: other}
              variables: {B: {value: x, description: y, expand: false}}
            z: {script: x, when: manual, environment: {name: b, action: stop}}
            """
        #expect(try parse(yaml).warnings == [])
    }

    @Test(arguments: [
        ("3600", 3600), ("1h 30m", 5400), ("90 minutes", 5400), ("2 weeks and 1 hour", 1_213_200), ("1.5 hours", 5400),
        ("1 day, 2 mins", 86_520), ("3 mins 4 sec", 184), ("2h20min", 8400),
    ])
    func spansOfTime(_ text: String, _ seconds: Int) {
        #expect(TimeSpan.seconds(text) == seconds)
    }

    @Test(arguments: ["", "soon", "1 fortnight", "h", "1 1h x"])
    func whatIsNoSpanOfTime(_ text: String) {
        #expect(TimeSpan.seconds(text) == nil)
    }
}
