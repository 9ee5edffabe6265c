package import Hummingbird
package import Review

/// Knows which commit a job works on; the pipelines do.
package protocol JobDirectory: Sendable {
    /// `nil` for jobs that are not known.
    func origin(ofJob id: Int) async throws -> ReleaseOrigin?
}

/// Release access by the users, tokens and roles of the Forge: developers and jobs of the project build and deploy, only maintainers
/// (and jobs that they started) to `production`.
package struct ForgeReleaseAccess: ReleaseAccess {
    private let authentication: WebAuthentication
    private let jobs: any JobDirectory
    private let login: @Sendable (ReleaseProject) async throws -> RegistryLogin

    /// `pullLogin` gives what the nodes pull a project's images with; it must stay valid until the next release.
    package init(
        authentication: WebAuthentication,
        jobs: any JobDirectory,
        pullLogin: @escaping @Sendable (ReleaseProject) async throws -> RegistryLogin
    ) {
        self.authentication = authentication
        self.jobs = jobs
        login = pullLogin
    }

    package func pullLogin(of project: ReleaseProject) async throws -> RegistryLogin {
        try await login(project)
    }

    package func caller(
        of request: Request,
        project reference: String,
        for action: ReleaseAction
    ) async throws -> ReleaseCaller {
        let principal = try await authentication.requirePrincipal(of: request)
        let project = try await authentication.project(
            reference,
            principal: principal,
            requiring: Self.permission(for: action)
        )
        let user = try await authentication.forge.user(principal.userID)
        return ReleaseCaller(
            project: ReleaseProject(
                id: project.id,
                path: project.pathWithNamespace,
                webURL: "\(authentication.forge.configuration.externalURL)/\(project.pathWithNamespace)"
            ),
            userName: user?.username ?? "",
            origin: try await origin(of: principal, request),
            login: Self.registryLogin(request, user?.username ?? "")
        )
    }

    // MARK: - Private

    static func permission(for action: ReleaseAction) -> Permission {
        switch action {
        case .build: .pushImages
        case .deploy("production"), .rollback("production"): .deployToProtected
        case .deploy, .rollback: .runPipelines
        case .read: .readPipelines
        }
    }

    private func origin(of principal: Principal, _ request: Request) async throws -> ReleaseOrigin {
        switch principal {
        case .job(let job):
            guard var origin = try await jobs.origin(ofJob: job.jobID) else {
                throw GitLabError.notFound("Job")
            }
            origin.userID = job.userID
            return origin
        case .user(let user, _):
            let parameters = request.uri.queryParameters
            return ReleaseOrigin(commit: parameters.get("sha") ?? "", ref: parameters.get("ref") ?? "", userID: user.id)
        }
    }

    /// The same secret that the request was sent with signs in at the registry.
    private static func registryLogin(_ request: Request, _ user: String) -> RegistryLogin {
        switch WebAuthentication.credential(in: request) {
        case .jobToken(let token): RegistryLogin(user: "gitlab-ci-token", secret: token)
        case .token(let token): RegistryLogin(user: user, secret: token)
        case .basic(let name, let secret): RegistryLogin(user: name, secret: secret)
        case nil: RegistryLogin(user: user, secret: "")
        }
    }
}
