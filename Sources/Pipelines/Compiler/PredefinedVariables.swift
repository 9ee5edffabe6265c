/// The `CI_*` variables, in the names and meanings of GitLab.
package struct PredefinedVariables: Sendable {
    /// Where the platform is reached and what it is called.
    package struct Server: Hashable, Sendable, Codable {
        /// Where both jobs and people on this machine reach the web port, without a slash at the end.
        package var url: String
        /// `host:port` of the registry as it is part of the names of images.
        ///
        /// The node pulls images, and `sampan build` pushes them, from this machine and not from a pod. So the name may be one that
        /// only the machine itself reaches, and it has to stay what it is: every stored release and record of a build names its
        /// images by it.
        package var registry: String
        /// An image with `sampan` and a shell that the platform brings along, so that it is there without any other registry.
        package var toolsImage: String
        package var version: String
        /// What `/version` answers as the program's revision.
        package var revision = "sampan"

        package init(url: String, registry: String, toolsImage: String, version: String) {
            self.url = url
            self.registry = registry
            self.toolsImage = toolsImage
            self.version = version
        }

        package var apiURL: String { "\(url)/api/v4" }
    }

    package struct Project: Hashable, Sendable {
        package var id: Int
        package var name: String
        /// `group/name`
        package var path: String
        package var defaultBranch: String
        package var visibility = "private"
        package var description = ""
        package var namespaceID = 0

        package init(id: Int, name: String, path: String, defaultBranch: String) {
            self.id = id
            self.name = name
            self.path = path
            self.defaultBranch = defaultBranch
        }
    }

    package struct User: Hashable, Sendable {
        package var id: Int
        package var login: String
        package var name: String
        package var email: String

        package init(id: Int, login: String, name: String, email: String) {
            self.id = id
            self.login = login
            self.name = name
            self.email = email
        }
    }

    package var server: Server
    package var project: Project
    package var user: User?

    package init(server: Server, project: Project, user: User?) {
        self.server = server
        self.project = project
        self.user = user
    }

    /// What is known before there is a pipeline.
    package func pipeline(_ event: PipelineEvent, isRefProtected: Bool) -> [JobVariable] {
        variables(instance + projectVariables + userVariables + commit(event, isRefProtected))
    }

    /// What is known of a job that is about to run.
    package func job(_ job: JobFacts) -> [JobVariable] {
        var pairs: [(String, String)] = [
            ("CI_PIPELINE_ID", "\(job.pipelineID)"),
            ("CI_PIPELINE_IID", "\(job.pipelineIID)"),
            ("CI_PIPELINE_URL", "\(projectURL)/-/pipelines/\(job.pipelineID)"),
            ("CI_PIPELINE_CREATED_AT", job.pipelineCreatedAt),
            ("CI_JOB_ID", "\(job.id)"),
            ("CI_JOB_NAME", job.name),
            ("CI_JOB_NAME_SLUG", Self.slug(job.name)),
            ("CI_JOB_GROUP_NAME", Self.groupName(job.name)),
            ("CI_JOB_STAGE", job.stage),
            ("CI_JOB_URL", "\(projectURL)/-/jobs/\(job.id)"),
            ("CI_JOB_STARTED_AT", job.startedAt),
            ("CI_JOB_MANUAL", "\(job.isManual)"),
            ("CI_JOB_TIMEOUT", "\(job.timeout)"),
            ("CI_NODE_TOTAL", "1"),
            ("CI_REGISTRY_USER", "gitlab-ci-token"),
            ("CI_REPOSITORY_URL", repositoryURL(job.token)),
        ]
        if let name = job.pipelineName { pairs.append(("CI_PIPELINE_NAME", name)) }
        if let image = job.image { pairs.append(("CI_JOB_IMAGE", image)) }
        if let environment = job.environment {
            pairs.append(("CI_ENVIRONMENT_NAME", environment.name))
            pairs.append(("CI_ENVIRONMENT_SLUG", Self.environmentSlug(environment.name)))
            pairs.append(("CI_ENVIRONMENT_ACTION", environment.action.rawValue))
            if let url = environment.url { pairs.append(("CI_ENVIRONMENT_URL", url)) }
            pairs.append(("CI_ENVIRONMENT_TIER", environment.tier ?? EnvironmentTier.guess(environment.name).rawValue))
        }
        let secrets = ["CI_JOB_TOKEN", "CI_REGISTRY_PASSWORD"].map {
            JobVariable($0, job.token, isMasked: true, isRaw: true)
        }
        return variables(pairs) + secrets
    }

    private func variables(_ pairs: [(String, String)]) -> [JobVariable] {
        // Values come from people (a commit message may hold dollar signs); nothing inside them is a reference.
        pairs.map { JobVariable($0.0, $0.1, isRaw: $0.0 != "CI_ENVIRONMENT_URL") }
    }

    private var projectURL: String { "\(server.url)/\(project.path)" }

    /// Not masked as a whole: the trace hides the token inside.
    private func repositoryURL(_ token: String) -> String {
        "\(projectURL).git".replacing("://", with: "://gitlab-ci-token:\(token)@", maxReplacements: 1)
    }

    private var instance: [(String, String)] {
        let host = server.url.split(separator: "/").dropFirst().first.map(String.init) ?? server.url
        let port = host.split(separator: ":").dropFirst().first.map(String.init)
        let version = server.version.prefix { $0.isNumber || $0 == "." }.split(separator: ".").map(String.init)
        return [
            ("CI", "true"),
            ("GITLAB_CI", "true"),
            ("CI_SERVER", "yes"),
            ("CI_SERVER_NAME", "Sampan"),
            ("CI_SERVER_URL", server.url),
            ("CI_SERVER_HOST", host.split(separator: ":").first.map(String.init) ?? host),
            ("CI_SERVER_PORT", port ?? (server.url.hasPrefix("https") ? "443" : "80")),
            ("CI_SERVER_PROTOCOL", server.url.hasPrefix("https") ? "https" : "http"),
            ("CI_SERVER_FQDN", host),
            ("CI_SERVER_VERSION", server.version),
            ("CI_SERVER_VERSION_MAJOR", version.first ?? "0"),
            ("CI_SERVER_VERSION_MINOR", version.dropFirst().first ?? "0"),
            ("CI_SERVER_VERSION_PATCH", version.dropFirst(2).first ?? "0"),
            ("CI_SERVER_REVISION", server.revision),
            ("CI_API_V4_URL", server.apiURL),
            ("CI_REGISTRY", server.registry),
            ("SAMPAN_TOOLS_IMAGE", server.toolsImage),
            ("CI_CONFIG_PATH", ".gitlab-ci.yml"),
        ]
    }

    private var projectVariables: [(String, String)] {
        let namespace = project.path.split(separator: "/").dropLast().joined(separator: "/")
        return [
            ("CI_PROJECT_ID", "\(project.id)"),
            ("CI_PROJECT_NAME", project.path.split(separator: "/").last.map(String.init) ?? project.name),
            ("CI_PROJECT_TITLE", project.name),
            ("CI_PROJECT_PATH", project.path),
            ("CI_PROJECT_PATH_SLUG", Self.slug(project.path)),
            ("CI_PROJECT_NAMESPACE", namespace),
            ("CI_PROJECT_NAMESPACE_ID", "\(project.namespaceID)"),
            ("CI_PROJECT_DESCRIPTION", project.description),
            ("CI_PROJECT_ROOT_NAMESPACE", namespace.split(separator: "/").first.map(String.init) ?? namespace),
            ("CI_PROJECT_URL", projectURL),
            ("CI_PROJECT_DIR", "/builds/\(project.path)"),
            ("CI_BUILDS_DIR", "/builds"),
            ("CI_PROJECT_VISIBILITY", project.visibility),
            ("CI_REGISTRY_IMAGE", "\(server.registry)/\(project.path.lowercased())"),
            ("CI_DEFAULT_BRANCH", project.defaultBranch),
        ]
    }

    private var userVariables: [(String, String)] {
        guard let user else { return [] }
        return [
            ("GITLAB_USER_ID", "\(user.id)"),
            ("GITLAB_USER_LOGIN", user.login),
            ("GITLAB_USER_NAME", user.name),
            ("GITLAB_USER_EMAIL", user.email),
        ]
    }

    private func commit(_ event: PipelineEvent, _ isRefProtected: Bool) -> [(String, String)] {
        let commit = event.commit
        let tag = event.isTag ? [("CI_COMMIT_TAG_MESSAGE", commit.tagMessage ?? "")] : []
        return tag + [
            ("CI_PIPELINE_SOURCE", event.source.rawValue),
            ("CI_COMMIT_SHA", commit.sha),
            ("CI_COMMIT_SHORT_SHA", String(commit.sha.prefix(8))),
            ("CI_COMMIT_BEFORE_SHA", event.beforeSHA ?? String(repeating: "0", count: 40)),
            ("CI_COMMIT_REF_NAME", event.ref),
            ("CI_COMMIT_REF_SLUG", Self.slug(event.ref)),
            ("CI_COMMIT_REF_PROTECTED", "\(isRefProtected)"),
            event.isTag ? ("CI_COMMIT_TAG", event.ref) : ("CI_COMMIT_BRANCH", event.ref),
            ("CI_COMMIT_MESSAGE", commit.message),
            ("CI_COMMIT_TITLE", commit.title),
            ("CI_COMMIT_DESCRIPTION", commit.description),
            ("CI_COMMIT_AUTHOR", commit.author),
            ("CI_COMMIT_TIMESTAMP", commit.timestamp),
        ]
    }

    /// Lower case, everything but letters and digits a hyphen, at most 63 characters, no hyphen at the ends.
    package static func slug(_ text: String) -> String {
        let mapped = text.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }
        return String(mapped.prefix(63)).trimmingHyphens
    }

    /// The name that parallel jobs share: `test` for `test 2/3` and for `test: [a, b]`.
    package static func groupName(_ name: String) -> String {
        let suffix = /([\s:]+((\[.*\])|(\d+[\s:\/\\]+\d+))){1,3}\s*$/
        return name.replacing(suffix, with: "", maxReplacements: 1).trimmed
    }

    /// As GitLab names environments: starts with a letter, at most 24 characters, a hash where the name had to be changed.
    package static func environmentSlug(_ name: String) -> String {
        var result = ""
        for character in name.lowercased() {
            let isKept = character.isASCII && (character.isLetter || character.isNumber)
            if isKept { result.append(character) } else if result.last != "-" { result.append("-") }
        }
        if result.first?.isLetter != true { result = "env-" + result }
        guard result.count > 24 || result != name else { return result.trimmingHyphens }
        let hash = String(stableHash(name), radix: 36)
        let suffix = String(repeating: "0", count: max(0, 6 - hash.count)) + hash.suffix(6)
        return String(result.prefix(17)).trimmingHyphens + "-" + suffix
    }

    /// FNV-1a, so that a name has the same slug for ever.
    private static func stableHash(_ text: String) -> UInt64 {
        text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}

/// What ``PredefinedVariables`` needs to know of a job.
package struct JobFacts: Hashable, Sendable {
    package var id: Int
    package var name: String
    package var stage: String
    package var pipelineID: Int
    package var pipelineIID: Int
    package var pipelineCreatedAt: String
    package var startedAt: String
    package var isManual: Bool
    /// Seconds
    package var timeout: Int
    package var pipelineName: String?
    package var token: String
    package var image: String?
    package var environment: EnvironmentDefinition?
}

extension String {
    fileprivate var trimmingHyphens: String {
        let head = drop { $0 == "-" }
        return String(head.reversed().drop { $0 == "-" }.reversed())
    }
}
