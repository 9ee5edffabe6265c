/// A table from hashes to endpoints (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, §3.4).
///
/// Every endpoint fills places in an order of its own until all are taken, so each gets its share by weight to within one percent, and a
/// change of endpoints moves few hashes beyond those it must.
enum MaglevTable {
    /// Primes; the smallest that leaves a hundred places to an endpoint of average weight is taken.
    private static let sizes = [251, 509, 1021, 2039, 4093, 8191, 16_381, 32_749, 65_521]

    /// - Returns: for every place the index of an endpoint; empty without endpoints.
    static func make(_ endpoints: [RouteTable.Endpoint]) -> [UInt32] {
        guard let heaviest = endpoints.map(\.weight).max(), heaviest > 0 else { return [] }
        let size = sizes.first { $0 >= endpoints.count * 100 } ?? sizes[sizes.count - 1]
        var walks = endpoints.map { Walk($0, size: size) }
        var table = [UInt32](repeating: .max, count: size)
        var filled = 0
        while true {
            for index in walks.indices {
                // The heaviest takes a place every round, the others as often as their weight allows.
                walks[index].credit += endpoints[index].weight
                guard walks[index].credit >= heaviest else { continue }
                walks[index].credit -= heaviest
                var place = walks[index].next(size)
                while table[place] != .max { place = walks[index].next(size) }
                table[place] = UInt32(index)
                filled += 1
                if filled == size { return table }
            }
        }
    }

    private struct Walk {
        var credit = 0
        private var place: Int
        private let step: Int

        init(_ endpoint: RouteTable.Endpoint, size: Int) {
            let name = Array("\(endpoint.address):\(endpoint.port)".utf8)
            let (first, second) = name.withUnsafeBufferPointer { bytes in
                let span = ByteSpan(bytes.baseAddress!, bytes.count)
                return (RollingHash.of(span, seed: 11).mixed, RollingHash.of(span, seed: 12).mixed)
            }
            place = Int(first % UInt64(size))
            step = Int(second % UInt64(size - 1)) + 1
        }

        mutating func next(_ size: Int) -> Int {
            place = (place + step) % size
            return place
        }
    }
}

extension UInt64 {
    /// Spreads every bit over all others (the finalizer of splitmix64).
    @inline(__always) var mixed: UInt64 {
        var value = (self ^ self >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
