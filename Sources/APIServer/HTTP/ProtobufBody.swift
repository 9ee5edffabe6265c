import KubernetesModel

/// Reads bodies of `application/vnd.kubernetes.protobuf`, which kubectl and other typed clients send; answers stay JSON.
enum ProtobufBody {
    static let mediaType = KubernetesProtobuf.mediaType

    static func parse(_ bytes: [UInt8]) throws -> JSON {
        do {
            return try KubernetesProtobuf.decode(bytes)
        } catch {
            throw status(error)
        }
    }

    private static func status(_ error: ProtobufError) -> StatusError {
        switch error.reason {
        case .malformed: .badRequest("the body is no Kubernetes protobuf: \(error)")
        case .excessive: StatusError(code: 413, reason: "RequestEntityTooLarge", message: error.message)
        case .unsupported: .unsupportedMediaType(error.message)
        }
    }
}
