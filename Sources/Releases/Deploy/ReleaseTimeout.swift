/// How long a release may take until it is ready, as people write it.
enum ReleaseTimeout {
    static let limits: ClosedRange<Int> = 1...86_400

    /// Reads seconds, or a number with `s`, `m` or `h` behind it.
    static func parse(_ text: String) throws -> Duration {
        let units = ["s": 1, "m": 60, "h": 3600]
        let unit = text.last.flatMap { units[String($0)] }
        guard let number = Int(unit == nil ? text[...] : text.dropLast()),
            case let (seconds, overflow) = number.multipliedReportingOverflow(by: unit ?? 1), !overflow,
            limits.contains(seconds)
        else {
            throw ReleaseError("timeout is \"\(text)\", expected a time from 1s to 24h, such as 90s or 10m")
        }
        return .seconds(seconds)
    }
}
