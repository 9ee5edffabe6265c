package import Hummingbird

/// What somebody wants to do in a project.
package enum ReleaseAction: Hashable, Sendable {
    case build
    case deploy(environment: String)
    case rollback(environment: String)
    case read
}

/// The project that a request is about.
package struct ReleaseProject: Hashable, Sendable {
    package var id: Int
    /// `group/name`, as in the project's address.
    package var path: String
    /// The address that people open; goes into image labels.
    package var webURL: String

    package init(id: Int, path: String, webURL: String) {
        self.id = id
        self.path = path
        self.webURL = webURL
    }

    /// Where the project's images live in the registry: its path in lower case, as `CI_REGISTRY_IMAGE` has it.
    package var imageRepository: String { path.lowercased() }
}

/// The commit and the job that something was made by.
package struct ReleaseOrigin: Hashable, Sendable {
    package var commit: String
    /// The branch or tag.
    package var ref: String
    /// Zero outside a pipeline.
    package var pipelineID: Int
    /// Zero outside a job.
    package var jobID: Int
    package var jobName: String
    /// Who started the job, or sent the request; zero where nobody did.
    package var userID: Int

    package init(
        commit: String = "",
        ref: String = "",
        pipelineID: Int = 0,
        jobID: Int = 0,
        jobName: String = "",
        userID: Int = 0
    ) {
        self.commit = commit
        self.ref = ref
        self.pipelineID = pipelineID
        self.jobID = jobID
        self.jobName = jobName
        self.userID = userID
    }
}

/// A user name and a secret that the registry accepts.
package struct RegistryLogin: Hashable, Sendable {
    package var user: String
    package var secret: String

    package init(user: String, secret: String) {
        self.user = user
        self.secret = secret
    }
}

/// Who sent a request, once it is clear that they may do what they ask for.
package struct ReleaseCaller: Sendable {
    package var project: ReleaseProject
    package var userName: String
    /// For a job its own commit; for a person empty unless the request says more.
    package var origin: ReleaseOrigin
    /// With what the build pulls and pushes images.
    package var login: RegistryLogin

    package init(project: ReleaseProject, userName: String, origin: ReleaseOrigin, login: RegistryLogin) {
        self.project = project
        self.userName = userName
        self.origin = origin
        self.login = login
    }
}

/// Signs requests in and decides what they may do; implemented over the Forge.
package protocol ReleaseAccess: Sendable {
    /// Throws an `HTTPResponseError` for who may not: 401, 403, or 404 for projects that the caller may not see. `project` is the
    /// `:id` of the address, a number or a path.
    func caller(of request: Request, project: String, for action: ReleaseAction) async throws -> ReleaseCaller

    /// With what the nodes pull the images of a project.
    func pullLogin(of project: ReleaseProject) async throws -> RegistryLogin
}
