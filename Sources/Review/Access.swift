/// A role in a group or project, with GitLab's numbers.
package enum AccessLevel: Int, Codable, Sendable, Hashable, Comparable, CaseIterable {
    case none = 0
    case guest = 10
    case reporter = 20
    case developer = 30
    case maintainer = 40
    case owner = 50

    package static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }
}

/// Who may see a group or project without being a member.
package enum Visibility: String, Codable, Sendable, Hashable, CaseIterable {
    case `private`
    case `internal`
    case `public`
}

/// What a personal access token may be used for, with GitLab's names.
package enum TokenScope: String, Codable, Sendable, Hashable, CaseIterable {
    case api
    case readAPI = "read_api"
    case readUser = "read_user"
    case readRepository = "read_repository"
    case writeRepository = "write_repository"
    case readRegistry = "read_registry"
    case writeRegistry = "write_registry"
    case sudo
    case adminMode = "admin_mode"
}

/// Something that a principal may want to do in a project.
package enum Permission: Sendable, Hashable, CaseIterable {
    /// See that the project exists, and its facts.
    case read
    /// Read files and history through the API.
    case readCode
    /// Fetch by git.
    case fetch
    /// Push by git.
    case push
    /// Change files and branches through the API.
    case writeCode
    /// See pipelines, jobs, traces and artifacts.
    case readPipelines
    /// Run, retry and cancel pipelines and jobs; deploy to environments that are not protected.
    case runPipelines
    case pullImages
    case pushImages
    /// Deploy to environments that are protected.
    case deployToProtected
    /// Change members, variables, protected branches.
    case maintain
    /// Rename, transfer, delete.
    case own

    /// The role that a member needs.
    package var minimumLevel: AccessLevel {
        switch self {
        case .read: .guest
        case .readCode, .fetch, .readPipelines, .pullImages: .reporter
        case .push, .writeCode, .runPipelines, .pushImages: .developer
        case .deployToProtected, .maintain: .maintainer
        case .own: .owner
        }
    }

    /// Whether a project's visibility alone is enough for those who may see it.
    package var isOpenToVisitors: Bool {
        switch self {
        case .read, .readCode, .fetch, .readPipelines, .pullImages: true
        case .push, .writeCode, .runPipelines, .pushImages, .deployToProtected, .maintain, .own: false
        }
    }

    /// Token scopes of which one is enough.
    package var scopes: Set<TokenScope> {
        switch self {
        case .read, .readPipelines: [.api, .readAPI]
        case .readCode: [.api, .readAPI, .readRepository, .writeRepository]
        case .fetch: [.api, .readRepository, .writeRepository]
        case .push: [.api, .writeRepository]
        case .pullImages: [.api, .readRegistry, .writeRegistry]
        case .pushImages: [.api, .writeRegistry]
        case .writeCode, .runPipelines, .deployToProtected, .maintain, .own: [.api]
        }
    }

    /// Whether a running job may do this in its own project. What a job may do elsewhere is only to read.
    package var isOpenToJobs: Bool {
        switch self {
        case .read, .readCode, .fetch, .readPipelines, .pullImages, .pushImages, .runPipelines, .deployToProtected: true
        case .push, .writeCode, .maintain, .own: false
        }
    }
}

/// Who asks.
package enum Principal: Sendable, Hashable {
    case user(User, scopes: Set<TokenScope>)
    case job(JobIdentity)

    /// The person behind it: the user, or whoever started the job.
    package var userID: Int {
        switch self {
        case .user(let user, _): user.id
        case .job(let job): job.userID
        }
    }
}

/// A running job, as its token identifies it.
package struct JobIdentity: Sendable, Hashable {
    package let jobID: Int
    package let projectID: Int
    /// Who started the job.
    package let userID: Int
    /// The branch or tag, without `refs/…/`.
    package let ref: String

    package init(jobID: Int, projectID: Int, userID: Int, ref: String) {
        self.jobID = jobID
        self.projectID = projectID
        self.userID = userID
        self.ref = ref
    }
}

/// Knows the tokens of running jobs.
package protocol JobTokenResolver: Sendable {
    /// The running job that a token belongs to, or nil when there is none (any more).
    func job(withToken token: String) async throws -> JobIdentity?
}

/// Who did a thing and from where, for the audit log.
package struct Author: Sendable, Hashable {
    package let userID: Int?
    package let name: String
    /// The remote address, when a request came over the network.
    package let address: String?

    package init(userID: Int?, name: String, address: String? = nil) {
        self.userID = userID
        self.name = name
        self.address = address
    }

    /// The platform itself.
    package static let system = Author(userID: nil, name: "system")
}
