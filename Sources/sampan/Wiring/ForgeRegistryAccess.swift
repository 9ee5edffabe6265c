import Crypto
import Foundation
import Host
import Registry
import Review
import SystemPackage

/// Lets the platform's users, jobs and nodes into the registry.
///
/// Repositories are `<project path>` and below. `mirror/` stands in for public registries and `sampan/` holds the platform's own
/// images: everybody may pull them, administrators may push.
struct ForgeRegistryAccess: RegistryAccess {
    private let forge: Forge
    private let pullKey: SymmetricKey

    /// - Parameter keyFile: a random key, made when it is missing, from which the nodes' logins are derived.
    init(forge: Forge, keyFile: FilePath) throws {
        self.forge = forge
        if !FileManager.default.fileExists(atPath: keyFile.string) {
            let bytes = SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) }
            try DurableFile.write(bytes, to: keyFile, mode: 0o600)
        }
        pullKey = SymmetricKey(data: try Data(contentsOf: URL(filePath: keyFile.string)))
    }

    func authenticate(authorization: String) async throws -> RegistryIdentity? {
        guard let credential = WebAuthentication.credential(authorization: authorization) else { return nil }
        if case .basic(let name, let secret) = credential, let project = pullProject(name, secret) {
            return Subject.node(project: project).identity
        }
        switch try await forge.authenticate(credential) {
        case .user(let user, let scopes): return Subject.user(user.id, scopes).identity
        case .job(let job): return Subject.job(job).identity
        case nil: return nil
        }
    }

    func allows(_ identity: RegistryIdentity?, _ action: RegistryAction, repository: String) async -> Bool {
        let subject = identity.flatMap { Subject($0) }
        if repository.hasPrefix("mirror/") || repository.hasPrefix("sampan/") {
            if action == .pull { return true }
            return await isAdministrator(subject)
        }
        guard let subject, let project = try? await project(holding: repository) else { return false }
        if case .node(let id) = subject { return action == .pull && id == project.id }
        guard let principal = try? await principal(subject) else { return false }
        let permission: Permission = action == .pull ? .pullImages : action == .push ? .pushImages : .maintain
        return (try? await forge.allows(principal, permission, in: project)) ?? false
    }

    /// With what nodes pull the images of a project: stays valid as long as the project exists, because releases hold it.
    func pullLogin(project: Int) -> (user: String, secret: String) {
        let code = HMAC<SHA256>.authenticationCode(for: Data("pull project \(project)".utf8), using: pullKey)
        return ("node-\(project)", code.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined())
    }

    // MARK: - Private

    private func pullProject(_ name: String, _ secret: String) -> Int? {
        guard name.hasPrefix("node-"), let project = Int(name.dropFirst(5)) else { return nil }
        let expected = SHA256.hash(data: Data(pullLogin(project: project).secret.utf8))
        return SHA256.hash(data: Data(secret.utf8)) == expected ? project : nil
    }

    private func isAdministrator(_ subject: Subject?) async -> Bool {
        guard case .user(let id, let scopes) = subject, !scopes.isDisjoint(with: [.api, .writeRegistry]),
            let user = try? await forge.user(id)
        else { return false }
        return user.isAdministrator && user.state == .active
    }

    /// The project whose path is the longest beginning of `repository`.
    private func project(holding repository: String) async throws -> Project? {
        var names = repository.split(separator: "/").map(String.init)
        while names.count >= 2 {
            if let project = try await forge.project(path: names.joined(separator: "/")) { return project }
            names.removeLast()
        }
        return nil
    }

    private func principal(_ subject: Subject) async throws -> Principal? {
        switch subject {
        case .user(let id, let scopes):
            guard let user = try await forge.user(id), user.state == .active else { return nil }
            return .user(user, scopes: scopes)
        case .job(let job): return .job(job)
        case .node: return nil
        }
    }
}

/// Whom a registry token speaks for; written into the token and read back at each request.
private enum Subject {
    case user(Int, Set<TokenScope>)
    case job(JobIdentity)
    case node(project: Int)

    init?(_ identity: RegistryIdentity) {
        let parts = identity.name.split(separator: " ", maxSplits: 4, omittingEmptySubsequences: false).map(String.init)
        switch parts.first {
        case "user" where parts.count == 3:
            guard let id = Int(parts[1]) else { return nil }
            self = .user(id, Set(parts[2].split(separator: ",").compactMap { TokenScope(rawValue: String($0)) }))
        case "job" where parts.count == 5:
            guard let job = Int(parts[1]), let project = Int(parts[2]), let user = Int(parts[3]) else { return nil }
            self = .job(JobIdentity(jobID: job, projectID: project, userID: user, ref: parts[4]))
        case "node" where parts.count == 2:
            guard let project = Int(parts[1]) else { return nil }
            self = .node(project: project)
        default: return nil
        }
    }

    var identity: RegistryIdentity {
        switch self {
        case .user(let id, let scopes):
            RegistryIdentity("user \(id) \(scopes.map(\.rawValue).sorted().joined(separator: ","))")
        case .job(let job): RegistryIdentity("job \(job.jobID) \(job.projectID) \(job.userID) \(job.ref)")
        case .node(let project): RegistryIdentity("node \(project)")
        }
    }
}
