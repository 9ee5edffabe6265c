import Glibc
import Synchronization
package import SystemPackage

/// Images on disk: content by digest, and small files per repository that say what it references.
///
/// ```
/// blobs/sha256/ab/abcd…                              content, of blobs and manifests alike
/// uploads/<id>/{data,repository}                     unfinished blobs, kept for a day
/// repositories/<name>/_blobs/<hex>                   the repository holds this blob
/// repositories/<name>/_manifests/<hex>               … this manifest; the file holds its media type
/// repositories/<name>/_tags/<tag>                    the digest that the tag names
/// repositories/<name>/_referrers/<subject>/<hex>     the descriptor of a manifest with that subject
/// ```
/// Content is immutable and only ever moves into place whole and synced, so whatever a link names can be served. Deleting removes
/// links; content without any link is what a later garbage collection may remove.
///
/// Safe from any task; survives `kill -9` at any point.
package final class RegistryStorage: Sendable {
    package let root: FilePath
    let temporaries: FilePath
    let uploads = Mutex<UploadLedger>(UploadLedger())

    /// Opens the storage under `root` and makes what is missing.
    package init(root: String) throws {
        self.root = FilePath(root)
        temporaries = self.root.appending("temporaries")
        for folder in ["blobs", "repositories", "uploads", "temporaries"] {
            try DurableFile.makeFolder(self.root.appending(folder))
        }
        for leftover in try DurableFile.names(in: temporaries) { unlink(temporaries.appending(leftover).string) }
    }

    // MARK: - Blobs

    /// The size of a blob that `repository` holds.
    func size(of digest: ContentDigest, in repository: RepositoryName) async throws -> Int {
        try await DurableFile.onDisk { [self] in
            guard DurableFile.exists(blobLink(digest, in: repository)),
                let status = DurableFile.status(path(of: digest))
            else { throw RegistryError.blobUnknown(digest, in: repository) }
            return status.size
        }
    }

    /// Makes a blob of `source` one of `target`, too; `false` when `source` does not hold it.
    func mount(_ digest: ContentDigest, from source: RepositoryName, into target: RepositoryName) async throws -> Bool {
        try await DurableFile.onDisk { [self] in
            guard DurableFile.exists(blobLink(digest, in: source)), DurableFile.exists(path(of: digest)) else {
                return false
            }
            try DurableFile.write([], to: blobLink(digest, in: target), temporaries: temporaries)
            return true
        }
    }

    func deleteBlob(_ digest: ContentDigest, in repository: RepositoryName) async throws {
        try await DurableFile.onDisk { [self] in
            guard try DurableFile.remove(blobLink(digest, in: repository)) else {
                throw RegistryError.blobUnknown(digest, in: repository)
            }
        }
    }

    /// Stores content that is already in memory and checked.
    func store(_ bytes: [UInt8], as digest: ContentDigest) throws {
        guard !DurableFile.exists(path(of: digest)) else { return }
        try DurableFile.write(bytes, to: path(of: digest), temporaries: temporaries)
    }

    // MARK: - Paths

    func path(of digest: ContentDigest) -> FilePath {
        root.appending("blobs").appending("sha256").appending(String(digest.hex.prefix(2))).appending(digest.hex)
    }

    func folder(of repository: RepositoryName) -> FilePath {
        root.appending("repositories").pushing(FilePath(repository.description))
    }

    func blobLink(_ digest: ContentDigest, in repository: RepositoryName) -> FilePath {
        folder(of: repository).appending("_blobs").appending(digest.hex)
    }

    func manifestLink(_ digest: ContentDigest, in repository: RepositoryName) -> FilePath {
        folder(of: repository).appending("_manifests").appending(digest.hex)
    }

    func tagLink(_ tag: String, in repository: RepositoryName) -> FilePath {
        folder(of: repository).appending("_tags").appending(tag)
    }

    func referrers(of subject: ContentDigest, in repository: RepositoryName) -> FilePath {
        folder(of: repository).appending("_referrers").appending(subject.hex)
    }
}
