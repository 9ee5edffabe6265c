import Foundation

/// Numbers as reports print them.
package enum Figures {
    /// Three significant digits and a unit from microseconds to seconds.
    package static func milliseconds(_ value: Double) -> String {
        switch value {
        case 0: "0"
        case ..<1: "\(significant(value * 1000)) µs"
        case ..<1000: "\(significant(value)) ms"
        default: "\(significant(value / 1000)) s"
        }
    }

    package static func percentage(_ share: Double) -> String {
        share == 0 || share >= 0.0001 ? "\(significant(share * 100)) %" : "< 0.01 %"
    }

    /// Groups of three digits; fractions only below 100.
    package static func number(_ value: Double) -> String {
        if value < 100, value != value.rounded() { return significant(value) }
        var digits = String(Int(value.rounded()))
        var groups: [String] = []
        while digits.count > 3 {
            groups.insert(String(digits.suffix(3)), at: 0)
            digits = String(digits.dropLast(3))
        }
        return ([digits] + groups).joined(separator: ",")
    }

    package static func bytes(_ value: Double) -> String {
        switch value {
        case ..<1e3: "\(Int(value)) B"
        case ..<1e6: "\(significant(value / 1e3)) KB"
        case ..<1e9: "\(significant(value / 1e6)) MB"
        default: "\(significant(value / 1e9)) GB"
        }
    }

    private static func significant(_ value: Double) -> String {
        let places = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
        let text = String(format: "%.\(places)f", value)
        return text.contains(".") ? text.replacing(/\.?0+$/, with: "") : text
    }
}
