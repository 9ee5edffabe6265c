/// The protobuf form of Kubernetes objects, which typed clients send for the kinds that come with Kubernetes.
package enum KubernetesProtobuf {
    package static let mediaType = "application/vnd.kubernetes.protobuf"

    /// The most bytes that are read: the bound of the API server for request bodies.
    package static let maximumSize = 3 << 20
    /// How deep messages may nest.
    package static let maximumDepth = 100
    /// The most values that a body may hold, so that many empty messages cannot exhaust the memory.
    package static let maximumValues = 1_000_000

    /// The object in the form that the same client would send as JSON.
    ///
    /// The bytes are `k8s`, a zero byte and a `runtime.Unknown` message, which holds the API version, the kind and the bytes of the
    /// object ([API concepts](https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding-idl)). Field numbers
    /// that are not known are skipped. Lists and maps without elements are not on this wire, so their fields are left out.
    ///
    /// - Throws: `ProtobufError`, which names the field that was wrong.
    package static func decode(_ bytes: [UInt8]) throws(ProtobufError) -> JSON {
        guard bytes.count <= maximumSize else {
            throw ProtobufError(.excessive, "the protobuf body has more than \(maximumSize) bytes")
        }
        var decoder = MessageDecoder(table: .builtin)
        return try decoder.object(bytes, depth: 0)
    }

    static let magic = Array("k8s\0".utf8)
}

/// The envelope around every object: `runtime.Unknown`.
struct ProtobufEnvelope {
    private(set) var apiVersion = ""
    private(set) var kind = ""
    private(set) var content = WireReader([])
    private(set) var contentType = ""

    init(_ bytes: [UInt8]) throws(ProtobufError) {
        guard bytes.starts(with: KubernetesProtobuf.magic) else {
            throw .malformed("the body does not start with \"k8s\" and a zero byte, as Kubernetes protobuf does")
        }
        var reader = WireReader(Array(bytes.dropFirst(KubernetesProtobuf.magic.count)))
        while !reader.isAtEnd {
            let tag = try reader.tag()
            switch (tag.number, tag.type) {
            case (1, .lengthDelimited): try readType(reader.lengthDelimited())
            case (2, .lengthDelimited): content = try reader.lengthDelimited()
            case (3, .lengthDelimited): try requireNoEncoding(reader.lengthDelimited().text())
            case (4, .lengthDelimited): contentType = try reader.lengthDelimited().text()
            case (1...4, _): throw .malformed("field \(tag.number) of the envelope has the wire type of a number")
            default: try reader.skip(tag.type)
            }
        }
    }

    /// `runtime.TypeMeta`
    private mutating func readType(_ reader: WireReader) throws(ProtobufError) {
        var reader = reader
        while !reader.isAtEnd {
            let tag = try reader.tag()
            switch (tag.number, tag.type) {
            case (1, .lengthDelimited): apiVersion = try reader.lengthDelimited().text()
            case (2, .lengthDelimited): kind = try reader.lengthDelimited().text()
            default: try reader.skip(tag.type)
            }
        }
    }

    private func requireNoEncoding(_ encoding: String) throws(ProtobufError) {
        guard encoding.isEmpty else {
            throw ProtobufError(.unsupported, "the content encoding \(encoding) is not read; send the object unencoded")
        }
    }
}
