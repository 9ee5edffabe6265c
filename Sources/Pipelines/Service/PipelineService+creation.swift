import Foundation
package import Git
import Logging
import Review

/// Why no pipeline was made on request.
struct PipelineRefused: Error, CustomStringConvertible {
    var description: String
}

/// From a push or a request to a pipeline.
extension PipelineService: PushObserver {
    package func pushed(_ event: PushEvent) async {
        if await !isProcessed(event) { missedPush.yield() }
    }

    /// Makes the event's pipeline. When that fails the head is not noted, so that the push is found again.
    private func isProcessed(_ event: PushEvent) async -> Bool {
        do {
            guard let project = try await forge.project(event.projectID) else { return true }
            try await process(event, project)
            return true
        } catch {
            logger.error(
                "a push could not be processed",
                metadata: ["project": "\(event.projectID)", "ref": "\(event.ref)", "error": "\(error)"]
            )
            return false
        }
    }

    private func process(_ push: PushEvent, _ project: Project) async throws {
        guard !push.isDeletion else { return try await store.setHead(project.id, push.ref, nil) }
        guard let ref = push.branch ?? push.tag else { return }
        let repository = try forge.repository(of: project)
        let commit = try await repository.commit(push.after)
        var facts = commit.facts
        if let tag = push.tag { facts.tagMessage = try? await repository.tag(tag).message }
        let event = PipelineEvent(
            source: .push,
            ref: ref,
            isTag: push.tag != nil,
            commit: facts,
            beforeSHA: push.before,
            changedPaths: push.isCreation ? nil : try? await repository.changedPaths(push.before, commit.id)
        )
        let skips = event.commit.skipsPipeline || push.options.contains("ci.skip")
        let pipeline = skips ? nil : try await create(event, project, userID: push.userID, head: (push.ref, push.after))
        guard pipeline == nil else { return }
        try await store.setHead(project.id, push.ref, push.after)
    }

    /// Makes the pipelines of branches and tags that moved while nobody listened, or while their pipeline could not be stored: at
    /// the start, and after each failure until none is left, less and less often.
    func catchUpWithMissedPushes() async {
        var pause = Self.retryPause
        for await _ in missedPushes {
            if await isCaughtUp() {
                pause = Self.retryPause
            } else {
                missedPush.yield()
                pause = min(pause * 2, .seconds(60))
            }
            try? await Task.sleep(for: pause)
        }
    }

    private func isCaughtUp() async -> Bool {
        var isComplete = true
        do {
            for project in try await forge.allProjects() { isComplete = await isCaughtUp(project) && isComplete }
        } catch {
            logger.error("pushes without a pipeline cannot be looked for", metadata: ["error": "\(error)"])
            return false
        }
        return isComplete
    }

    private func isCaughtUp(_ project: Project) async -> Bool {
        var isComplete = true
        do {
            let known = try await store.heads(ofProject: project.id)
            let references = try await forge.repository(of: project).branchesAndTags()
            for reference in references where known[reference.name] != reference.target {
                let push = eventOfMissedPush(reference, known[reference.name], project)
                isComplete = await isProcessed(push) && isComplete
            }
        } catch {
            logger.error(
                "a project's branches could not be read",
                metadata: ["project": "\(project.id)", "error": "\(error)"]
            )
            return false
        }
        return isComplete
    }

    private func eventOfMissedPush(_ head: Repository.Reference, _ before: String?, _ project: Project) -> PushEvent {
        logger.info("found a push without a pipeline", metadata: ["project": "\(project.id)", "ref": "\(head.name)"])
        return PushEvent(
            projectID: project.id,
            ref: head.name,
            before: before ?? PushEvent.nothing,
            after: head.target,
            userID: project.creatorID ?? 1,
            username: "",
            options: []
        )
    }

    /// Makes a pipeline that somebody asks for.
    ///
    /// - Throws: ``PipelineRefused`` or ``InvalidConfiguration`` when there is none to make.
    func createOnRequest(
        _ project: Project,
        ref: String,
        source: PipelineEvent.Source,
        userID: Int,
        variables: [JobVariable]
    ) async throws -> PipelineRecord {
        let repository = try forge.repository(of: project)
        let branch = try? await repository.branch(ref)
        let tag = branch == nil ? try? await repository.tag(ref) : nil
        guard var facts = (branch?.commit ?? tag?.commit)?.facts else {
            throw PipelineRefused(description: "Reference not found")
        }
        facts.tagMessage = tag?.message
        let event = PipelineEvent(
            source: source,
            ref: ref,
            isTag: tag != nil,
            commit: facts,
            variables: variables
        )
        switch try await compile(event, project) {
        case .pipeline(let graph):
            guard let pipeline = try await insert(event, project, userID: userID, graph: graph) else {
                throw PipelineRefused(description: "the pipeline exists already")
            }
            return pipeline
        case .none(let reason): throw PipelineRefused(description: reason)
        }
    }

    // MARK: - Steps

    /// Reads the configuration, compiles it, and stores the pipeline; a configuration with mistakes makes a failed one.
    private func create(
        _ event: PipelineEvent,
        _ project: Project,
        userID: Int,
        head: (ref: String, sha: String)
    ) async throws -> PipelineRecord? {
        do {
            switch try await compile(event, project) {
            case .pipeline(let graph):
                return try await insert(event, project, userID: userID, graph: graph, head: head)
            case .none(let reason):
                logger.info(
                    "no pipeline",
                    metadata: ["project": "\(project.id)", "ref": "\(event.ref)", "reason": "\(reason)"]
                )
                return nil
            }
        } catch let error as InvalidConfiguration {
            return try await insert(event, project, userID: userID, yamlErrors: error.description, head: head)
        }
    }

    func compile(_ event: PipelineEvent, _ project: Project) async throws -> Compilation {
        let tree = CommitTree(repository: try forge.repository(of: project), commit: event.commit.sha)
        let file = project.ciConfigPath.isEmpty ? ".gitlab-ci.yml" : project.ciConfigPath
        let paths = try await tree.paths()
        let configuration: PipelineConfiguration
        if paths.contains(file) {
            configuration = try await ConfigurationParser.parse(file, from: tree)
        } else if let text = DefaultPipeline.configuration(paths: paths) {
            configuration = try ConfigurationParser.parse(text: text, file: "default pipeline")
        } else {
            return .none("the commit has neither \(file) nor a Dockerfile")
        }
        return try PipelineCompiler.compile(configuration, for: event, in: try await context(event, project, paths))
    }

    func context(_ event: PipelineEvent, _ project: Project, _ paths: [String]) async throws -> CompilationContext {
        let isProtected = try await isProtected(event, project)
        let predefined = PredefinedVariables(server: configuration.server, project: project.facts, user: nil)
        return CompilationContext(
            predefined: predefined.pipeline(event, isRefProtected: isProtected),
            settings: try await settings(of: project, isRefProtected: isProtected, environment: nil),
            paths: paths
        )
    }

    private func insert(
        _ event: PipelineEvent,
        _ project: Project,
        userID: Int,
        graph: JobGraph? = nil,
        yamlErrors: String? = nil,
        head: (ref: String, sha: String)? = nil
    ) async throws -> PipelineRecord? {
        let sealed =
            event.variables.isEmpty ? nil : try box.seal(try PipelineStore.json(event.variables), context: "pipeline")
        let new = PipelineStore.NewPipeline(
            projectID: project.id,
            event: event,
            userID: userID,
            graph: graph,
            yamlErrors: yamlErrors,
            sealedVariables: sealed,
            head: head
        )
        guard let pipeline = try await store.create(new) else { return nil }
        logger.info(
            "pipeline made",
            metadata: [
                "pipeline": "\(pipeline.id)", "project": "\(project.id)", "ref": "\(event.ref)",
                "status": "\(pipeline.status)",
            ]
        )
        try await cancelOlder(than: pipeline)
        poke()
        return pipeline
    }

    /// Cancels pipelines of the same branch that the new one makes superfluous.
    private func cancelOlder(than pipeline: PipelineRecord) async throws {
        guard !pipeline.isTag, pipeline.source == .push, pipeline.status != .failed else { return }
        for older in try await store.pipelines(ofProject: pipeline.projectID)
        where older.id < pipeline.id && older.ref == pipeline.ref && !older.isTag && !older.status.isComplete {
            let isCanceled = try await store.change(older.id) { progress in
                let isRedundant = progress.isRedundantWhenNewer
                if isRedundant { progress.cancel() }
                return isRedundant
            }
            if isCanceled { logger.info("pipeline replaced by a newer one", metadata: ["pipeline": "\(older.id)"]) }
        }
    }
}

/// The files of one commit.
struct CommitTree: SourceTree {
    let repository: Repository
    let commit: String

    func read(_ path: String) async throws -> [UInt8]? {
        do {
            return try await repository.blob(path, at: commit, limit: YAMLReader.maximumBytes + 1).bytes
        } catch let error as GitError where error.code == .notFound {
            return nil
        }
    }

    func paths() async throws -> [String] {
        try await repository.tree(at: commit, recursive: true).filter { $0.kind != .tree }.map(\.path)
    }
}

extension Repository {
    /// The files in which two commits differ.
    func changedPaths(_ before: String, _ after: String) async throws -> [String] {
        let output = try await git.run(["diff", "--name-only", "--no-renames", "-z", before, after], in: path)
        return output.standardOutput.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }
}

extension Commit {
    var facts: CommitFacts {
        CommitFacts(sha: id, message: message, author: "\(author.name) <\(author.email)>", timestamp: author.date)
    }
}
