/// A field that holds a number or a text, such as a port by number or name, or an amount in units or per cent.
package enum IntOrString: Hashable, Sendable {
    case int(Int)
    case string(String)

    /// `nil` for values that are neither.
    package init?(_ json: JSON) {
        if let number = json.int {
            self = .int(number)
        } else if let text = json.string {
            self = .string(text)
        } else {
            return nil
        }
    }

    package var json: JSON {
        switch self {
        case .int(let value): JSON(value)
        case .string(let value): .string(value)
        }
    }

    /// The amount meant: a number as it is, `"25%"` as that part of `total`, rounded up or down to a whole. `nil` for any other text.
    package func scaled(total: Int, roundUp: Bool) -> Int? {
        switch self {
        case .int(let value): return value
        case .string(let text):
            guard text.hasSuffix("%"), let percent = Int(text.dropLast()), percent >= 0 else { return nil }
            let (product, overflows) = percent.multipliedReportingOverflow(by: total)
            guard !overflows else { return nil }
            return roundUp ? (product + 99) / 100 : product / 100
        }
    }
}
