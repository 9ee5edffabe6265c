/// Spans of time in the words of GitLab: `1h 30m`, `3 days`, `2 weeks and 1 hour`, `3600`, `never`.
enum TimeSpan {
    private static let units: [(names: Set<String>, seconds: Double)] = [
        (["s", "sec", "secs", "second", "seconds"], 1),
        (["m", "min", "mins", "minute", "minutes"], 60),
        (["h", "hr", "hrs", "hour", "hours"], 3600),
        (["d", "day", "days"], 86_400),
        (["w", "wk", "week", "weeks"], 7 * 86_400),
        (["mo", "mos", "month", "months"], 30 * 86_400),
        (["y", "yr", "yrs", "year", "years"], 31_557_600),
    ]

    /// Seconds; `nil` when `text` is no span of time. A number alone counts seconds.
    static func seconds(_ text: String) -> Int? {
        var rest = text.lowercased().replacing(" and ", with: " ").replacing(",", with: " ")[...]
        var total = 0.0
        var isEmpty = true
        while true {
            rest = rest.drop(while: \.isWhitespace)
            guard !rest.isEmpty else { break }
            let digits = rest.prefix { $0.isNumber || $0 == "." }
            guard let number = Double(digits) else { return nil }
            rest = rest[digits.endIndex...].drop(while: \.isWhitespace)
            let unit = rest.prefix(while: \.isLetter)
            rest = rest[unit.endIndex...]
            guard let seconds = unit.isEmpty ? 1 : units.first(where: { $0.names.contains(String(unit)) })?.seconds
            else {
                return nil
            }
            total += number * seconds
            isEmpty = false
        }
        guard !isEmpty, total < 1e10 else { return nil }
        return Int(total)
    }
}
