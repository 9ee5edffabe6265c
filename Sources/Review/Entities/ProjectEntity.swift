import Foundation

/// A project as `/projects` shows it.
struct ProjectEntity: Encodable {
    struct Access: Encodable {
        let accessLevel: Int
        let notificationLevel = 3
    }

    struct Permissions: Encodable {
        let projectAccess: Access?
        let groupAccess: Access?
    }

    let id: Int
    let description: String
    let name: String
    let nameWithNamespace: String
    let path: String
    let pathWithNamespace: String
    let createdAt: Date
    let defaultBranch: String?
    let tagList: [String] = []
    let topics: [String] = []
    let sshURLToRepo: String
    let httpURLToRepo: String
    let webURL: String
    let readmeURL: String?
    let forksCount = 0
    let starCount = 0
    let lastActivityAt: Date
    let namespace: NamespaceEntity
    let visibility: String
    let creatorID: Int?
    let archived: Bool
    let emptyRepo: Bool
    let ciConfigPath: String
    let jobsEnabled = true
    let buildsAccessLevel = "enabled"
    let containerRegistryEnabled = true
    let containerRegistryImagePrefix: String
    let permissions: Permissions

    private enum CodingKeys: String, CodingKey {
        case id, description, name, nameWithNamespace, path, pathWithNamespace, createdAt, defaultBranch, tagList,
            topics
        case forksCount, starCount, lastActivityAt, namespace, visibility, archived, emptyRepo, ciConfigPath,
            jobsEnabled
        case buildsAccessLevel, containerRegistryEnabled, containerRegistryImagePrefix, permissions
        case sshURLToRepo = "sshUrlToRepo"
        case httpURLToRepo = "httpUrlToRepo"
        case webURL = "webUrl"
        case readmeURL = "readmeUrl"
        case creatorID = "creatorId"
    }

    init(_ project: Project, namespace: Namespace, isEmpty: Bool, level: AccessLevel, externalURL: String) {
        let host = externalURL.split(separator: "/").dropFirst().first.map(String.init) ?? "localhost"
        let hostName = host.split(separator: ":").first.map(String.init) ?? host
        id = project.id
        description = project.description
        name = project.name
        nameWithNamespace = "\(namespace.fullPath.replacingOccurrences(of: "/", with: " / ")) / \(project.name)"
        path = project.path
        pathWithNamespace = project.pathWithNamespace
        createdAt = project.createdAt
        defaultBranch = isEmpty ? nil : project.defaultBranch
        sshURLToRepo = "git@\(hostName):\(project.pathWithNamespace).git"
        httpURLToRepo = "\(externalURL)/\(project.pathWithNamespace).git"
        webURL = "\(externalURL)/\(project.pathWithNamespace)"
        readmeURL =
            isEmpty ? nil : "\(externalURL)/\(project.pathWithNamespace)/-/blob/\(project.defaultBranch)/README.md"
        lastActivityAt = project.lastActivityAt
        self.namespace = NamespaceEntity(namespace, externalURL: externalURL)
        visibility = project.visibility.rawValue
        creatorID = project.creatorID
        archived = project.archived
        emptyRepo = isEmpty
        ciConfigPath = project.ciConfigPath
        containerRegistryImagePrefix = "\(host)/\(project.pathWithNamespace.lowercased())"
        permissions = Permissions(
            projectAccess: level > .none ? Access(accessLevel: level.rawValue) : nil,
            groupAccess: nil
        )
    }
}
