import Foundation
import Glibc
import HTTPTypes
import SystemPackage

/// A manifest as it was pushed.
struct StoredManifest: Sendable {
    var digest: ContentDigest
    var mediaType: String
    var bytes: [UInt8]
}

extension RegistryStorage {
    func manifest(_ reference: ManifestReference, in repository: RepositoryName) async throws -> StoredManifest {
        try await DurableFile.onDisk { [self] in
            guard let digest = try digest(of: reference, in: repository),
                let mediaType = try DurableFile.read(manifestLink(digest, in: repository)),
                let bytes = try DurableFile.read(path(of: digest))
            else { throw RegistryError.manifestUnknown(reference, in: repository) }
            return StoredManifest(digest: digest, mediaType: String(decoding: mediaType, as: UTF8.self), bytes: bytes)
        }
    }

    /// Stores `bytes` under `reference` once everything that they reference is in the repository; answers with the manifest's digest
    /// and subject.
    func putManifest(
        _ bytes: [UInt8],
        contentType: String?,
        as reference: ManifestReference,
        in repository: RepositoryName
    ) async throws -> (digest: ContentDigest, subject: ContentDigest?) {
        let manifest = try Manifest(parsing: bytes, contentType: contentType)
        let digest = ContentDigest(of: bytes)
        if case .digest(let expected) = reference, expected != digest {
            throw RegistryError(
                .badRequest,
                .digestInvalid,
                "the manifest has the digest \(digest), not \(expected)"
            )
        }
        try await DurableFile.onDisk { [self] in
            try requireReferences(of: manifest, in: repository)
            try store(bytes, as: digest)
            try link(manifest, digest, size: bytes.count, in: repository)
            if case .tag(let tag) = reference {
                try DurableFile.write(
                    Array(digest.description.utf8),
                    to: tagLink(tag, in: repository),
                    temporaries: temporaries
                )
            }
        }
        return (digest, manifest.subject)
    }

    /// Removes a tag, or a manifest with all tags that name it.
    func deleteManifest(_ reference: ManifestReference, in repository: RepositoryName) async throws {
        try await DurableFile.onDisk { [self] in
            let isRemoved =
                switch reference {
                case .tag(let tag): try DurableFile.remove(tagLink(tag, in: repository))
                case .digest(let digest): try unlinkManifest(digest, in: repository)
                }
            guard isRemoved else { throw RegistryError.manifestUnknown(reference, in: repository) }
        }
    }

    /// The descriptors of the manifests whose subject is `subject`, oldest digest first, as entries of an image index.
    func referrers(
        of subject: ContentDigest,
        artifactType: String?,
        in repository: RepositoryName
    ) async throws -> [Manifest.Descriptor] {
        try await DurableFile.onDisk { [self] in
            let folder = referrers(of: subject, in: repository)
            let descriptors = try DurableFile.names(in: folder).compactMap { name in
                try DurableFile.read(folder.appending(name)).map {
                    try JSONDecoder().decode(Manifest.Descriptor.self, from: Data($0))
                }
            }
            return descriptors.filter { artifactType == nil || $0.artifactType == artifactType }
        }
    }

    // MARK: - Private

    private func digest(of reference: ManifestReference, in repository: RepositoryName) throws -> ContentDigest? {
        switch reference {
        case .digest(let digest): digest
        case .tag(let tag):
            try DurableFile.read(tagLink(tag, in: repository)).flatMap {
                ContentDigest(String(decoding: $0, as: UTF8.self))
            }
        }
    }

    private func requireReferences(of manifest: Manifest, in repository: RepositoryName) throws {
        for blob in manifest.blobs
        where !DurableFile.exists(blobLink(blob, in: repository)) || !DurableFile.exists(path(of: blob)) {
            throw RegistryError(
                .notFound,
                .manifestBlobUnknown,
                "the manifest references the blob \(blob), which repository \(repository) does not hold: push it first"
            )
        }
        for child in manifest.manifests where !DurableFile.exists(manifestLink(child, in: repository)) {
            throw RegistryError(
                .notFound,
                .manifestBlobUnknown,
                "the index references the manifest \(child), which repository \(repository) does not hold: push it first"
            )
        }
    }

    private func link(_ manifest: Manifest, _ digest: ContentDigest, size: Int, in repository: RepositoryName) throws {
        let mediaType = Array(manifest.mediaType.utf8)
        try DurableFile.write(mediaType, to: manifestLink(digest, in: repository), temporaries: temporaries)
        guard let subject = manifest.subject else { return }
        let descriptor = Manifest.Descriptor(
            mediaType: manifest.mediaType,
            digest: digest.description,
            size: size,
            artifactType: manifest.artifactType,
            annotations: manifest.annotations.isEmpty ? nil : manifest.annotations
        )
        let path = referrers(of: subject, in: repository).appending(digest.hex)
        try DurableFile.write(Array(JSONEncoder().encode(descriptor)), to: path, temporaries: temporaries)
    }

    private func unlinkManifest(_ digest: ContentDigest, in repository: RepositoryName) throws -> Bool {
        let tags = folder(of: repository).appending("_tags")
        for tag in try DurableFile.names(in: tags)
        where try DurableFile.read(tags.appending(tag)) == Array(digest.description.utf8) {
            try DurableFile.remove(tags.appending(tag))
        }
        if let bytes = try DurableFile.read(path(of: digest)),
            let subject = try? Manifest(parsing: bytes, contentType: nil).subject
        {
            try DurableFile.remove(referrers(of: subject, in: repository).appending(digest.hex))
        }
        return try DurableFile.remove(manifestLink(digest, in: repository))
    }
}
