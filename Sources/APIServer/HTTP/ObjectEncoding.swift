import KubernetesModel
import NIOCore

/// Writes objects of one kind in the forms that clients ask for. Where the client wants objects as they are, their stored bytes are
/// copied, not encoded again.
struct ObjectEncoding: Sendable {
    /// About how large the pieces of a large list are.
    private static let chunkSize = 256 * 1024

    let definition: ResourceDefinition
    private let includeObject: IncludeObject
    private let now: Int64

    init(definition: ResourceDefinition, query: RequestQuery, now: Timestamp) {
        self.definition = definition
        includeObject = query["includeObject"].flatMap(IncludeObject.init) ?? .metadata
        self.now = now.seconds
    }

    // MARK: - Lists

    func list(_ page: ListResult) -> [ByteBuffer] {
        let resource = definition.resource
        let start: JSON = [
            "kind": .string(definition.listKind), "apiVersion": .string(resource.apiVersion),
            "metadata": listMetadata(page),
        ]
        var chunks: [ByteBuffer] = []
        var chunk = ByteBuffer(bytes: start.encoded().dropLast())
        chunk.writeString(",\"items\":[")
        for (index, object) in page.objects.enumerated() {
            if index > 0 { chunk.writeInteger(UInt8(ascii: ",")) }
            chunk.writeBytes(object.bytes)
            guard chunk.readableBytes >= Self.chunkSize else { continue }
            chunks.append(chunk)
            chunk = ByteBuffer()
        }
        chunk.writeString("]}")
        return chunks + [chunk]
    }

    func table(_ page: ListResult) throws -> JSON {
        var table = table(of: try page.objects.map { try $0.json() })
        table["metadata"] = listMetadata(page)
        return table
    }

    func metadataList(_ page: ListResult) throws -> JSON {
        [
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": listMetadata(page),
            "items": .array(try page.objects.map { metadata(of: try $0.json()) }),
        ]
    }

    private func listMetadata(_ page: ListResult) -> JSON {
        var metadata: JSON = ["resourceVersion": .string(String(page.revision))]
        if !page.continueToken.isEmpty { metadata["continue"] = .string(page.continueToken) }
        if let count = page.remainingItemCount { metadata["remainingItemCount"] = JSON(count) }
        return metadata
    }

    // MARK: - Objects

    func table(of objects: [JSON]) -> JSON {
        definition.table(of: objects, now: now, includeObject: includeObject)
    }

    func metadata(of object: JSON) -> JSON {
        [
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] ?? [:],
        ]
    }

    // MARK: - Watch events

    /// One line of a watch's answer.
    func line(_ notification: WatchNotification, as representation: Representation) -> [UInt8] {
        switch notification {
        case .added(let stored, let object): line("ADDED", stored, object, representation)
        case .modified(let stored, let object): line("MODIFIED", stored, object, representation)
        case .deleted(let stored, let object): line("DELETED", stored, object, representation)
        case .bookmark(let revision): bookmark(revision, annotations: nil)
        case .initialEventsEnd(let revision):
            bookmark(revision, annotations: ["k8s.io/initial-events-end": "true"])
        }
    }

    static func errorLine(_ error: StatusError) -> [UInt8] {
        JSON.object(["type": "ERROR", "object": error.json]).encoded() + [UInt8(ascii: "\n")]
    }

    private func line(
        _ type: String,
        _ stored: StoredObject,
        _ object: JSON,
        _ representation: Representation
    )
        -> [UInt8]
    {
        var line = Array("{\"type\":\"\(type)\",\"object\":".utf8)
        switch representation {
        case .object: line += stored.bytes
        case .table: table(of: [object]).write(to: &line)
        case .metadata: metadata(of: object).write(to: &line)
        }
        line += Array("}\n".utf8)
        return line
    }

    private func bookmark(_ revision: Int64, annotations: JSON?) -> [UInt8] {
        var metadata: JSON = ["resourceVersion": .string(String(revision)), "creationTimestamp": .null]
        metadata["annotations"] = annotations
        let object: JSON = [
            "kind": .string(definition.resource.kind), "apiVersion": .string(definition.resource.apiVersion),
            "metadata": metadata,
        ]
        return JSON.object(["type": "BOOKMARK", "object": object]).encoded() + [UInt8(ascii: "\n")]
    }
}
