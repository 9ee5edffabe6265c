@testable import KubernetesModel

/// Writes the protobuf wire by hand, so that what is read was not written by the code under test.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    init(_ build: (inout ProtobufWriter) -> Void = { _ in }) { build(&self) }

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func tag(_ number: Int, _ type: UInt64) { varint(UInt64(number) << 3 | type) }

    mutating func integer(_ number: Int, _ value: Int64) {
        tag(number, 0)
        varint(UInt64(bitPattern: value))
    }

    mutating func double(_ number: Int, _ value: Double) {
        tag(number, 1)
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> shift))
        }
    }

    mutating func raw(_ number: Int, _ content: [UInt8]) {
        tag(number, 2)
        varint(UInt64(content.count))
        bytes += content
    }

    mutating func text(_ number: Int, _ text: String) { raw(number, Array(text.utf8)) }

    mutating func message(_ number: Int, _ build: (inout ProtobufWriter) -> Void = { _ in }) {
        raw(number, ProtobufWriter(build).bytes)
    }

    mutating func entry(_ number: Int, _ key: String, _ build: (inout ProtobufWriter) -> Void) {
        message(number) { entry in
            entry.text(1, key)
            build(&entry)
        }
    }

    /// A whole body.
    static func body(
        _ apiVersion: String,
        _ kind: String,
        _ build: (inout ProtobufWriter) -> Void = { _ in }
    )
        -> [UInt8]
    {
        Array("k8s\0".utf8)
            + ProtobufWriter { envelope in
                envelope.message(1) { type in
                    type.text(1, apiVersion)
                    type.text(2, kind)
                }
                envelope.message(2, build)
                envelope.text(3, "")
                envelope.text(4, "")
            }.bytes
    }
}
