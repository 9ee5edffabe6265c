/// Numbers with units as people write them in scripts and on the command line.
package enum Quantities {
    /// Nanoseconds of `250us`, `20ms`, `1.5s`, `2m` or `1h`; at most a day.
    package static func duration(_ text: String) throws -> Int {
        let units: [(String, Double)] = [("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)]
        let parts = text.wholeMatch(of: /([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h)/)
        guard let parts, let number = Double(parts.1), let unit = units.first(where: { $0.0 == parts.2 }) else {
            throw LoadError("'\(text)' is not a duration; write a number and a unit, such as 250ms, 30s or 2m")
        }
        let nanoseconds = (number * unit.1).rounded()
        guard nanoseconds <= 86_400e9 else { throw LoadError("'\(text)' is longer than a day") }
        return Int(nanoseconds)
    }

    /// As ``duration(_:)``, in seconds without a fraction.
    package static func wholeSeconds(_ text: String) throws -> Int {
        let nanoseconds = try duration(text)
        guard nanoseconds % 1_000_000_000 == 0 else { throw LoadError("'\(text)' is not a whole number of seconds") }
        return nanoseconds / 1_000_000_000
    }

    /// A share between 0 and 1 of `5%` or `0.05`.
    package static func fraction(_ text: String) throws -> Double {
        let parts = text.wholeMatch(of: /([0-9]+(?:\.[0-9]+)?)(%?)/)
        guard let parts, let number = Double(parts.1), number <= (parts.2.isEmpty ? 1 : 100) else {
            throw LoadError("'\(text)' is not a share; write a percentage from 0% to 100%, or a number from 0 to 1")
        }
        return parts.2.isEmpty ? number : number / 100
    }

    /// Requests per second of `1000`, `0.5` or `1000/s`.
    package static func rate(_ text: String) throws -> Rate {
        let parts = text.wholeMatch(of: /([0-9]+(?:\.[0-9]+)?)(?:\/s)?/)
        guard let parts, let number = Double(parts.1), number <= Rate.maximum.perSecond else {
            throw LoadError(
                "'\(text)' is not a rate; write requests per second up to \(Int(Rate.maximum.perSecond)), such as 1000"
            )
        }
        return Rate(perSecond: number)
    }
}
