import HTTPTypes
import SystemPackage

extension RegistryStorage {
    /// The tags of a repository in ascending order.
    func tags(of repository: RepositoryName) async throws -> [String] {
        try await DurableFile.onDisk { [self] in
            guard DurableFile.exists(folder(of: repository)) else {
                throw RegistryError(.notFound, .nameUnknown, "there is no repository \(repository)")
            }
            return try DurableFile.names(in: folder(of: repository).appending("_tags"))
        }
    }

    /// The names of all repositories that hold a manifest, in ascending order.
    func repositories() async throws -> [RepositoryName] {
        try await DurableFile.onDisk { [self] in
            var found: [RepositoryName] = []
            try collect(below: root.appending("repositories"), name: "", into: &found)
            return found.sorted { $0.description < $1.description }
        }
    }

    private func collect(below folder: FilePath, name: String, into found: inout [RepositoryName]) throws {
        for entry in try DurableFile.names(in: folder) {
            if entry == "_manifests", let repository = RepositoryName(name) {
                if try !DurableFile.names(in: folder.appending(entry)).isEmpty { found.append(repository) }
            } else if !entry.hasPrefix("_") {
                try collect(
                    below: folder.appending(entry),
                    name: name.isEmpty ? entry : "\(name)/\(entry)",
                    into: &found
                )
            }
        }
    }
}
