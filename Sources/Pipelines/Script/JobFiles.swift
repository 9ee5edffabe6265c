import KubernetesModel

/// The files that a job's containers read, as they are mounted from one Secret.
struct JobFiles: Hashable, Sendable {
    static let folder = "/sampan-job"
    /// Commits of history that jobs get which say nothing about it, as GitLab sets it for new projects.
    static let sourceDepth = 20

    /// Contents by file name.
    var contents: [String: String]
    /// Whether the pod has something to send when the script has ended.
    var needsFinish: Bool

    /// - Parameters:
    ///   - variables: all variables of the job, expanded.
    ///   - dependencies: the jobs whose artifacts are fetched.
    ///   - account: who the job is to the cluster.
    init(
        job: CompiledJob,
        variables: VariableCollection,
        dependencies: [JobDependency],
        apiURL: String,
        account: JobAccount? = nil
    ) {
        let all = Array(variables.variables.values)
        let folder = variables["CI_PROJECT_DIR"] ?? "/builds"
        let expand = { (text: String) in VariableExpansion.expand(text) { variables[$0] } }
        contents = [
            "environment": JobScript.environment(all, folder: Self.folder),
            "script": JobScript.script(job.beforeScript + job.script),
            "settings": Self.settings(job, variables, apiURL: apiURL),
            "http.sh": HelperScripts.http,
            "dependencies": dependencies.map { "\($0.jobID) \($0.name)\n" }.joined(),
            "artifacts.include": JobScript.selection((job.artifacts?.paths ?? []).map(expand), projectFolder: folder),
            "artifacts.exclude": JobScript.selection((job.artifacts?.exclude ?? []).map(expand), projectFolder: folder),
        ]
        if job.artifacts?.includesUntracked == true { contents["artifacts.untracked"] = "" }
        if !job.afterScript.isEmpty { contents["after_script"] = JobScript.script(job.afterScript) }
        for variable in all where variable.isFile { contents["file.\(variable.key)"] = variable.value }
        if let account {
            contents["kubeconfig"] = ClusterFiles(account: account).kubeconfig
            contents["namespace"] = account.namespace
        }
        needsFinish = job.artifacts != nil || job.caches.contains { $0.policy != .pull }
        addCaches(job, expand, folder)
    }

    private mutating func addCaches(_ job: CompiledJob, _ expand: (String) -> String, _ folder: String) {
        var pull = ""
        var push = ""
        for (index, cache) in job.caches.enumerated() {
            let key = Self.cacheKey(expand(cache.key))
            if cache.policy != .push { pull += "\(key)\n" }
            if cache.policy != .pull { push += "cache\(index) \(key) \(cache.when.rawValue)\n" }
            contents["cache\(index).include"] = JobScript.selection(cache.paths.map(expand), projectFolder: folder)
        }
        contents["caches.pull"] = pull
        contents["caches.push"] = push
    }

    /// A key as it may stand in a URL and a file name.
    static func cacheKey(_ key: String) -> String {
        let safe = key.map { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) ? $0 : "-" }
        let text = String(safe.prefix(200))
        return text.allSatisfy { $0 == "." } ? "default" : text
    }

    private static func settings(_ job: CompiledJob, _ variables: VariableCollection, apiURL: String) -> String {
        let address = APIAddress(apiURL)
        var values = [
            "CI_JOB_ID", "CI_JOB_TOKEN", "CI_PROJECT_ID", "CI_PROJECT_DIR", "CI_COMMIT_SHORT_SHA", "CI_COMMIT_REF_NAME",
        ]
        .map { ($0, variables[$0] ?? "") }
        values += [
            ("GIT_STRATEGY", variables["GIT_STRATEGY"] ?? "fetch"),
            ("GIT_DEPTH", "\(variables["GIT_DEPTH"].flatMap(Int.init).map { max(0, $0) } ?? sourceDepth)"),
            ("GIT_SUBMODULE_STRATEGY", variables["GIT_SUBMODULE_STRATEGY"] ?? "none"),
            ("SAMPAN_API_HOST", address.host),
            ("SAMPAN_API_PORT", address.port),
            ("SAMPAN_API_PATH", address.path),
            ("SAMPAN_ARTIFACTS_WHEN", job.artifacts?.when.rawValue ?? ""),
        ]
        return values.map { "\($0.0)=\(JobScript.quoted($0.1))\n" }.joined()
            + "CI_ENVIRONMENT_NAME=${CI_ENVIRONMENT_NAME:-\(JobScript.quoted(variables["CI_ENVIRONMENT_NAME"] ?? ""))}\n"
    }
}

/// A finished job whose artifacts another one uses.
package struct JobDependency: Hashable, Sendable {
    package var jobID: Int
    package var name: String
}

/// The parts of an `http://host:port/path` URL.
struct APIAddress: Hashable {
    var host: String
    var port: String
    var path: String

    init(_ url: String) {
        let rest = url.split(separator: "://", maxSplits: 1).last.map(String.init) ?? url
        let authority = rest.prefix { $0 != "/" }
        path = String(rest.dropFirst(authority.count))
        let parts = authority.split(separator: ":", maxSplits: 1)
        host = parts.first.map(String.init) ?? ""
        port = parts.count > 1 ? String(parts[1]) : "80"
    }
}
