import Foundation
import Git
import HTTPTypes
import Hummingbird

extension ForgeRoutes {
    /// The largest commit through the API: 100 MiB of JSON.
    static let commitBodyLimit = 100 << 20

    func addCommitRoutes(to router: some RouterMethods) {
        let url = externalURL
        router.api(.get, "/projects/:id/repository/commits", web) { call in
            try await Self.listCommits(call)
        }
        router.api(.post, "/projects/:id/repository/commits", web, bodyLimit: Self.commitBodyLimit) { call in
            let project = try await call.project(requiring: .writeCode)
            let user = try call.requireUser()
            let actions = try (call.fields.objects("actions") ?? []).map(Self.action)
            guard !actions.isEmpty else { throw GitLabError.badParameter("actions", "is missing") }
            let commit = try await Self.commit(
                actions: actions,
                message: try call.fields.required("commit_message"),
                to: try call.fields.required("branch"),
                in: project,
                by: user,
                call
            )
            return APIResponse(try await Self.entity(of: commit, project, call, withStats: true), status: .created)
        }
        router.api(.get, "/projects/:id/repository/commits/:sha", web) { call in
            let project = try await call.project(requiring: .readCode)
            let commit = try await Self.commit(call, of: project)
            let withStats = try call.fields.bool("stats") ?? true
            return APIResponse(try await Self.entity(of: commit, project, call, withStats: withStats))
        }
        router.api(.get, "/projects/:id/repository/commits/:sha/diff", web) { call in
            let project = try await call.project(requiring: .readCode)
            let commit = try await Self.commit(call, of: project)
            let repository = try call.forge.repository(of: project)
            return try call.page(try await repository.diff(from: commit.parentIDs.first, to: commit.id)) {
                DiffEntity($0)
            }
        }
        router.api(.get, "/projects/:id/repository/merge_base", web) { call in
            let project = try await call.project(requiring: .readCode)
            let refs = try call.fields.strings("refs") ?? []
            guard refs.count == 2 else {
                throw GitLabError.badParameter("refs", "must be two branches, tags or commits")
            }
            let repository = try call.forge.repository(of: project)
            guard let base = try await repository.mergeBase(refs[0], refs[1]) else {
                throw GitLabError.notFound("Merge Base")
            }
            return APIResponse(CommitEntity(try await repository.commit(base), project: project, externalURL: url))
        }
        router.api(.get, "/projects/:id/repository/compare", web) { call in
            let project = try await call.project(requiring: .readCode)
            return APIResponse(try await Self.compare(project, call))
        }
    }

    // MARK: - Commits through the API

    /// Makes a commit for a user: rules first, then the commit, then the observers.
    @discardableResult
    static func commit(
        actions: [CommitAction],
        message: String,
        to branch: String,
        in project: Project,
        by user: User,
        _ call: APICall
    ) async throws -> Commit {
        let ref = "refs/heads/\(branch)"
        let repository = try call.forge.repository(of: project)
        let before = (try? await repository.branch(branch).commit.id) ?? PushEvent.nothing
        // The commit's own name is not known yet; the rules only ask whether the branch is made or moved.
        try await checkRules(for: ref, before, String(repeating: "f", count: 40), project, call)
        let author = Signature(
            name: try call.fields.string("author_name") ?? user.name,
            email: try call.fields.string("author_email") ?? user.email
        )
        let start = try call.fields.string("start_sha") ?? call.fields.string("start_branch")
        let result = try await repository.commit(
            CommitRequest(
                branch: branch,
                start: start,
                message: message,
                author: author,
                committer: Signature(name: user.name, email: user.email),
                actions: actions
            )
        )
        try await call.forge.touchProject(project.id)
        try await announce(ref, result.before, result.commit.id, project, call)
        return result.commit
    }

    /// Reads one of `actions`.
    static func action(_ fields: RequestFields) throws -> CommitAction {
        guard let kind = try fields.choice("action", of: CommitAction.Kind.self) else {
            throw GitLabError.badParameter("actions[action]", "is missing")
        }
        return CommitAction(
            kind,
            try fields.required("file_path"),
            previousPath: try fields.string("previous_path"),
            content: try content(fields),
            isExecutable: try fields.bool("execute_filemode"),
            lastCommitID: try fields.string("last_commit_id")
        )
    }

    /// The bytes of `content`, as `encoding` says.
    static func content(_ fields: RequestFields) throws -> [UInt8]? {
        guard let content = try fields.string("content") else { return nil }
        guard try fields.string("encoding") == "base64" else { return Array(content.utf8) }
        guard let data = Data(base64Encoded: content, options: .ignoreUnknownCharacters) else {
            throw GitLabError.badParameter("content", "is not valid base64")
        }
        return Array(data)
    }

    // MARK: - Private

    private static func listCommits(_ call: APICall) async throws -> APIResponse<[CommitEntity]> {
        let project = try await call.project(requiring: .readCode)
        let repository = try call.forge.repository(of: project)
        let page = try Page(call.fields)
        let url = call.forge.configuration.externalURL
        let revision = try call.fields.string("ref_name")
        if revision == nil, try await repository.isEmpty() {
            return APIResponse([], headers: page.headers(total: 0, request: call.request, externalURL: url))
        }
        var query = Repository.HistoryQuery(revision: revision ?? project.defaultBranch, limit: page.size)
        query.skip = page.offset
        query.path = try call.fields.string("path")
        query.since = try call.fields.string("since")
        query.until = try call.fields.string("until")
        query.author = try call.fields.string("author")
        query.firstParentOnly = try call.fields.bool("first_parent") ?? false
        let commits = try await repository.log(query)
        let headers = page.headers(
            total: try await repository.commitCount(query),
            request: call.request,
            externalURL: url
        )
        return APIResponse(commits.map { CommitEntity($0, project: project, externalURL: url) }, headers: headers)
    }

    private static func commit(_ call: APICall, of project: Project) async throws -> Commit {
        do {
            return try await call.forge.repository(of: project).commit(try call.parameter("sha"))
        } catch let error as GitError where error.code == .notFound {
            throw GitLabError.notFound("Commit")
        }
    }

    private static func entity(
        of commit: Commit,
        _ project: Project,
        _ call: APICall,
        withStats: Bool
    ) async throws -> CommitEntity {
        var entity = CommitEntity(commit, project: project, externalURL: call.forge.configuration.externalURL)
        guard withStats else { return entity }
        let (additions, deletions) = try await call.forge.repository(of: project).statistics(of: commit.id)
        entity.stats = CommitEntity.Stats(additions: additions, deletions: deletions, total: additions + deletions)
        return entity
    }

    private struct Comparison: Encodable {
        let commit: CommitEntity?
        let commits: [CommitEntity]
        let diffs: [DiffEntity]
        let compareTimeout = false
        let compareSameRef: Bool
    }

    private static func compare(_ project: Project, _ call: APICall) async throws -> Comparison {
        let from = try call.fields.required("from")
        let to = try call.fields.required("to")
        let isStraight = try call.fields.bool("straight") ?? false
        let repository = try call.forge.repository(of: project)
        var query = Repository.HistoryQuery(revision: to, limit: 1000)
        query.excluding = from
        let commits = try await repository.log(query).reversed()
            .map { CommitEntity($0, project: project, externalURL: call.forge.configuration.externalURL) }
        let base = isStraight ? from : try await repository.mergeBase(from, to) ?? from
        return Comparison(
            commit: commits.last,
            commits: commits,
            diffs: try await repository.diff(from: base, to: to).map(DiffEntity.init),
            compareSameRef: from == to
        )
    }
}
