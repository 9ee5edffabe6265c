/// An IPv4 address in host byte order.
package struct IPv4Address: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let value: UInt32

    package init(_ value: UInt32) { self.value = value }

    /// Dotted decimal, four parts, no leading zeros beyond `0` itself.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard let byte = UInt8(part), String(byte) == part else { return nil }
            value = value << 8 | UInt32(byte)
        }
        self.value = value
    }

    package var bytes: [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
    package var description: String { bytes.map { String($0) }.joined(separator: ".") }
    package static func < (left: IPv4Address, right: IPv4Address) -> Bool { left.value < right.value }
}

/// A range of addresses in CIDR notation.
package struct IPv4Network: Hashable, Sendable, CustomStringConvertible {
    package let base: IPv4Address
    package let prefixLength: Int

    /// `10.42.0.0/16`; bits behind the prefix must be zero, the prefix at most 30 so that there are hosts.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let base = IPv4Address(parts[0]), let length = Int(parts[1]), (8...30).contains(length),
            base.value & (UInt32.max >> length) == 0
        else { return nil }
        self.base = base
        prefixLength = length
    }

    package func contains(_ address: IPv4Address) -> Bool {
        (address.value ^ base.value) >> (32 - prefixLength) == 0
    }

    /// The address `offset` places after the base.
    package func address(_ offset: Int) -> IPv4Address {
        precondition(offset < 1 << (32 - prefixLength), "The offset must lie within the network.")
        return IPv4Address(base.value + UInt32(offset))
    }

    package var description: String { "\(base)/\(prefixLength)" }
}
