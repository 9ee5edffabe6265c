/// An IPv4 address.
struct IPv4Address: Hashable, Sendable, CustomStringConvertible {
    let number: UInt32

    init(number: UInt32) {
        self.number = number
    }

    /// Reads the dotted form; `nil` for anything else.
    init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var number: UInt32 = 0
        for part in parts {
            guard let byte = UInt8(part), String(byte) == part else { return nil }
            number = number << 8 | UInt32(byte)
        }
        self.number = number
    }

    var bytes: [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) } }

    var description: String { bytes.map(String.init).joined(separator: ".") }
}

/// An IPv4 network in CIDR notation.
struct IPv4Network: Hashable, Sendable, CustomStringConvertible {
    let base: IPv4Address
    let prefixLength: Int

    /// Reads `10.43.0.0/16`; `nil` for anything else and for networks outside /8 … /28.
    init?(_ text: String) {
        let parts = text.split(separator: "/")
        guard parts.count == 2, let address = IPv4Address(String(parts[0])), let length = Int(parts[1]),
            (8...28).contains(length)
        else { return nil }
        prefixLength = length
        base = IPv4Address(number: address.number & ~(UInt32.max >> UInt32(length)))
    }

    /// How many addresses it has, the first and last included.
    var size: UInt32 { 1 << UInt32(32 - prefixLength) }

    func address(at index: UInt32) -> IPv4Address {
        precondition(index < size, "The index must lie in the network.")
        return IPv4Address(number: base.number + index)
    }

    func contains(_ address: IPv4Address) -> Bool {
        address.number > base.number && address.number < base.number + size - 1
    }

    var description: String { "\(base)/\(prefixLength)" }
}
