import Foundation

/// What a container of a made image runs, in the words of the OCI image configuration.
package struct ImageConfiguration: Hashable, Sendable {
    package var entrypoint: [String] = []
    package var command: [String] = []
    /// `NAME=value`
    package var environment: [String] = []
    package var workingFolder = "/"
    package var user = ""
    package var labels: [String: String] = [:]
    /// In the words of Go: `amd64`, `arm64`.
    package var architecture: String

    package init(
        entrypoint: [String] = [],
        command: [String] = [],
        environment: [String] = [],
        workingFolder: String = "/",
        user: String = "",
        labels: [String: String] = [:],
        architecture: String = Self.hostArchitecture
    ) {
        self.entrypoint = entrypoint
        self.command = command
        self.environment = environment
        self.workingFolder = workingFolder
        self.user = user
        self.labels = labels
        self.architecture = architecture
    }

    #if arch(arm64)
    package static let hostArchitecture = "arm64"
    #else
    package static let hostArchitecture = "amd64"
    #endif
}

extension RegistryStorage {
    /// Puts an image of one layer straight into the storage and answers with its digest. Equal files and configuration give an equal
    /// digest, so that publishing again changes nothing.
    @discardableResult
    package func publishImage(
        repository: String,
        tag: String,
        files: [ImageFile],
        config: ImageConfiguration
    ) async throws -> ContentDigest {
        let name = try RepositoryName.parse(repository)
        let reference = try ManifestReference.parse(tag)
        let layer = TarArchive(files).bytes
        let layerDigest = ContentDigest(of: layer)
        let configuration = try Self.encode(ConfigurationFile(config, layer: layerDigest))
        let configurationDigest = ContentDigest(of: configuration)
        try await DurableFile.onDisk { [self] in
            for (bytes, digest) in [(layer, layerDigest), (configuration, configurationDigest)] {
                try store(bytes, as: digest)
                try DurableFile.write([], to: blobLink(digest, in: name), temporaries: temporaries)
            }
        }
        let manifest = try Self.encode(
            ManifestFile(
                config: .init(ManifestFile.configuration, configurationDigest, size: configuration.count),
                layers: [.init(ManifestFile.layer, layerDigest, size: layer.count)]
            )
        )
        return try await putManifest(manifest, contentType: Manifest.imageManifest, as: reference, in: name).digest
    }

    // MARK: - Private

    private struct ManifestFile: Encodable {
        static let configuration = "application/vnd.oci.image.config.v1+json"
        static let layer = "application/vnd.oci.image.layer.v1.tar"

        struct Descriptor: Encodable {
            let mediaType: String
            let digest: String
            let size: Int

            init(_ mediaType: String, _ digest: ContentDigest, size: Int) {
                self.mediaType = mediaType
                self.digest = digest.description
                self.size = size
            }
        }

        let schemaVersion = 2
        let mediaType = Manifest.imageManifest
        let config: Descriptor
        let layers: [Descriptor]
    }

    private struct ConfigurationFile: Encodable {
        struct Execution: Encodable {
            let Entrypoint: [String]?
            let Cmd: [String]?
            let Env: [String]?
            let WorkingDir: String
            let User: String?
            let Labels: [String: String]?
        }
        struct Step: Encodable {
            let created_by = "sampan"
        }
        struct FileSystem: Encodable {
            let type = "layers"
            let diff_ids: [String]
        }

        let architecture: String
        let os = "linux"
        let config: Execution
        let rootfs: FileSystem
        /// One entry for the one layer: builders refuse base images whose history and layers do not match.
        let history = [Step()]

        init(_ configuration: ImageConfiguration, layer: ContentDigest) {
            architecture = configuration.architecture
            config = Execution(
                Entrypoint: configuration.entrypoint.isEmpty ? nil : configuration.entrypoint,
                Cmd: configuration.command.isEmpty ? nil : configuration.command,
                Env: configuration.environment.isEmpty ? nil : configuration.environment,
                WorkingDir: configuration.workingFolder,
                User: configuration.user.isEmpty ? nil : configuration.user,
                Labels: configuration.labels.isEmpty ? nil : configuration.labels
            )
            rootfs = FileSystem(diff_ids: [layer.description])
        }
    }

    private static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }
}
