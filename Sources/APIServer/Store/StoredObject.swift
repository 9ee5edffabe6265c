import KubernetesModel

/// Names a stored object: the collection that it is in (`pods`, `deployments.apps`) and its place there.
struct StoreKey: Hashable, Sendable {
    let collection: String
    /// Empty for kinds without a namespace.
    let namespace: String
    let name: String
}

/// One version of an object as it is kept in memory and sent on the wire: encoded once, with its resource version inside.
///
/// A class, so that the current state, the history and every watcher share one copy.
final class StoredObject: Sendable {
    let key: StoreKey
    let uid: String
    /// The revision of the log that wrote this version; `metadata.resourceVersion`.
    let revision: Int64
    /// Kept beside the bytes, so that label selection parses nothing.
    let labels: [String: String]
    let bytes: [UInt8]

    init(key: StoreKey, uid: String, revision: Int64, labels: [String: String], bytes: [UInt8]) {
        self.key = key
        self.uid = uid
        self.revision = revision
        self.labels = labels
        self.bytes = bytes
    }

    /// Encodes `object` as the version that `revision` writes.
    convenience init(key: StoreKey, revision: Int64, object: inout JSON) {
        object["metadata", "resourceVersion"] = .string(String(revision))
        let metadata = object["metadata"]
        self.init(
            key: key,
            uid: metadata?["uid"]?.string ?? "",
            revision: revision,
            labels: metadata?["labels"]?.stringMap ?? [:],
            bytes: object.encoded()
        )
    }

    /// Reads a version back from the log.
    convenience init(key: StoreKey, revision: Int64, bytes: [UInt8]) throws {
        let metadata = try JSON(parsing: bytes)["metadata"]
        self.init(
            key: key,
            uid: metadata?["uid"]?.string ?? "",
            revision: revision,
            labels: metadata?["labels"]?.stringMap ?? [:],
            bytes: bytes
        )
    }

    func json() throws -> JSON { try JSON(parsing: bytes) }
}

/// One revision of the log: what it wrote, and the version that it replaced.
struct StoreEvent: Sendable {
    let object: StoredObject
    let previous: StoredObject?
    let isDeletion: Bool

    var revision: Int64 { object.revision }
}

/// A change that the store is asked to make.
struct Mutation: Sendable {
    /// What must hold for the change to be made; decided by the single writer, so between two writers one always loses.
    enum Precondition: Hashable, Sendable {
        case isAbsent
        case isAtRevision(Int64)
    }

    let key: StoreKey
    let precondition: Precondition
    /// The new version, or the last one of an object that is deleted.
    let object: JSON
    let isDeletion: Bool

    static func create(_ key: StoreKey, _ object: JSON) -> Mutation {
        Mutation(key: key, precondition: .isAbsent, object: object, isDeletion: false)
    }

    static func replace(_ current: StoredObject, with object: JSON) -> Mutation {
        Mutation(key: current.key, precondition: .isAtRevision(current.revision), object: object, isDeletion: false)
    }

    static func delete(_ current: StoredObject, last object: JSON) -> Mutation {
        Mutation(key: current.key, precondition: .isAtRevision(current.revision), object: object, isDeletion: true)
    }
}

/// Why the store did not make a change.
enum StoreError: Error, Equatable {
    case alreadyExists
    /// The object is gone or has another revision than the precondition names.
    case modified
    /// The revision is older than the history that is kept.
    case expired(oldest: Int64)
    /// The revision has not been written yet.
    case fromTheFuture(current: Int64)
    /// Too many writes are waiting.
    case overloaded
    /// The log could not be written; nothing was changed.
    case writeFailed(String)
    /// The log's disk has no room; nothing was changed.
    case diskFull
    case isClosed
}
