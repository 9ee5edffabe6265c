/// Why bytes were not read as an object of the Kubernetes protobuf wire.
package struct ProtobufError: Error, Equatable, CustomStringConvertible {
    package enum Reason: Sendable {
        /// The bytes break the wire format, or a value lies outside its type.
        case malformed
        /// Larger, deeper or of more values than is read.
        case excessive
        /// A kind or an encoding that is served as JSON alone.
        case unsupported
    }

    package let reason: Reason
    package let message: String

    package var description: String { message }

    init(_ reason: Reason, _ message: String) {
        self.reason = reason
        self.message = message
    }

    static func malformed(_ message: String) -> ProtobufError { ProtobufError(.malformed, message) }
}
