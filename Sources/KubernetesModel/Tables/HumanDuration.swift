/// The short form of a duration in tables: two units while they matter, then one.
enum HumanDuration {
    static func text(seconds: Int64) -> String {
        if seconds < -1 { return "<invalid>" }
        if seconds < 0 { return "0s" }
        let minutes = seconds / 60
        let hours = seconds / 3600
        let days = hours / 24
        let years = hours / 8760
        if seconds < 120 { return "\(seconds)s" }
        if minutes < 10 { return joined(minutes, "m", seconds % 60, "s") }
        if minutes < 180 { return "\(minutes)m" }
        if hours < 8 { return joined(hours, "h", minutes % 60, "m") }
        if hours < 48 { return "\(hours)h" }
        if hours < 192 { return joined(days, "d", hours % 24, "h") }
        if hours < 17_520 { return "\(days)d" }
        if hours < 70_080 { return joined(years, "y", days % 365, "d") }
        return "\(years)y"
    }

    private static func joined(_ large: Int64, _ largeUnit: String, _ small: Int64, _ smallUnit: String) -> String {
        small == 0 ? "\(large)\(largeUnit)" : "\(large)\(largeUnit)\(small)\(smallUnit)"
    }
}
