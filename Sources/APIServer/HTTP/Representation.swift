import KubernetesModel

/// The form in which a client wants objects.
enum Representation: Hashable {
    case object
    case table
    /// Only metadata, as a PartialObjectMetadata.
    case metadata

    /// The first form of the `Accept` header that is served.
    ///
    /// - Throws: 406 when there is none, as for protobuf alone.
    init(accept: String?) throws {
        let types = MediaType.list(accept ?? "")
        guard !types.isEmpty else {
            self = .object
            return
        }
        for type in types {
            guard let form = Self(type) else { continue }
            self = form
            return
        }
        throw StatusError(
            code: 406,
            reason: "NotAcceptable",
            message: "only the following media types are accepted: application/json"
        )
    }

    private init?(_ type: MediaType) {
        guard ["application/json", "application/*", "*/*"].contains(type.name) else { return nil }
        switch type.parameters["as"] {
        case nil: self = .object
        case "Table" where type.parameters["v"] == "v1": self = .table
        case "PartialObjectMetadata" where type.parameters["v"] == "v1",
            "PartialObjectMetadataList" where type.parameters["v"] == "v1":
            self = .metadata
        default: return nil
        }
    }
}

/// A media type with its parameters.
struct MediaType: Hashable {
    let name: String
    var parameters: [String: String] = [:]

    init(_ text: some StringProtocol) {
        let parts = text.split(separator: ";").map { part in
            String(part.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
        }
        name = parts.first?.lowercased() ?? ""
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1)
            if pair.count == 2 { parameters[pair[0].lowercased()] = String(pair[1]) }
        }
    }

    static func list(_ header: String) -> [MediaType] {
        header.split(separator: ",").map { MediaType($0) }.filter { !$0.name.isEmpty }
    }
}
