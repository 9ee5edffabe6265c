/// Quantities as configuration files write them.
enum ConfigurationUnits {
    /// `1.5s`, `500ms`, `1m30s`, `2h`; a bare number has no meaning. Rounded to the millisecond.
    static func milliseconds(_ text: String) -> Int? {
        microseconds(text).map { ($0 + 500) / 1000 }
    }

    static func microseconds(_ text: String) -> Int? {
        let units: [(String, Double)] = [("us", 1), ("ms", 1000), ("s", 1e6), ("m", 6e7), ("h", 3.6e9)]
        var rest = Substring(text)
        var sum = 0.0
        repeat {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(digits.count)
            let word = rest.prefix { $0.isASCII && $0.isLetter }
            rest = rest.dropFirst(word.count)
            guard let number = decimal(digits), let unit = units.first(where: { $0.0 == word }) else { return nil }
            sum += number * unit.1
        } while !rest.isEmpty
        return sum < 1e15 ? Int(sum.rounded()) : nil
    }

    /// The shortest way to write a number of milliseconds.
    static func text(milliseconds: Int) -> String {
        for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1000)]
        where milliseconds >= size && milliseconds % size == 0 {
            return "\(milliseconds / size)\(unit)"
        }
        return "\(milliseconds)ms"
    }

    /// `500`, `64Ki`, `10Mi`, `1Gi` (powers of 1024) and `k`, `M`, `G` (powers of 1000), as Kubernetes writes quantities.
    static func bytes(_ text: String) -> Int? {
        let units: [(String, Double)] = [
            ("Ki", 1024), ("Mi", 1_048_576), ("Gi", 1_073_741_824), ("k", 1000), ("M", 1e6), ("G", 1e9), ("", 1),
        ]
        guard let unit = units.first(where: { text.hasSuffix($0.0) }) else { return nil }
        guard let number = decimal(text.dropLast(unit.0.count)), number * unit.1 < 1e15 else { return nil }
        return Int((number * unit.1).rounded())
    }

    /// `100/s`, `30/m`, `1000/h`: whole events, and milliseconds that they are counted in.
    static func rate(_ text: String) -> Rate? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let units = ["s": 1000, "m": 60_000, "h": 3_600_000]
        guard parts.count == 2, let per = units[String(parts[1])], parts[0].utf8.allSatisfy(ASCII.isDigit),
            parts[0].utf8.count <= 9, let events = Int(parts[0])
        else { return nil }
        return Rate(events: events, per: per)
    }

    struct Rate: Hashable {
        var events: Int
        /// Milliseconds.
        var per: Int
    }

    /// `5%` or `0.05`.
    static func fraction(_ text: String) -> Double? {
        if text.hasSuffix("%") { return decimal(text.dropLast()).map { $0 / 100 } }
        return decimal(Substring(text))
    }

    /// Digits with at most one point: no signs, exponents or words.
    private static func decimal(_ text: Substring) -> Double? {
        guard !text.isEmpty, text.utf8.count <= 18, text.utf8.allSatisfy({ ASCII.isDigit($0) || $0 == 0x2E }),
            text.first != ".", text.last != "."
        else { return nil }
        return Double(text)
    }
}
