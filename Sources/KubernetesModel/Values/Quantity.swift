/// An amount of a resource in the grammar of Kubernetes: a decimal number with a binary (`Ki` to `Ei`), decimal (`n` to `E`) or
/// exponent (`e3`) suffix.
///
/// Exact to a thousandth; finer amounts are rounded up, amounts beyond 64 bits are cut to the largest that fits.
package struct Quantity: Hashable, Comparable, Sendable, CustomStringConvertible {
    package struct SyntaxError: Error, Hashable, CustomStringConvertible {
        package let description: String
    }

    /// The form of the suffix that was read, kept when the amount is written.
    package enum Format: Hashable, Sendable {
        case decimal
        case binary
        case exponent
    }

    package var milliValue: Int64
    package var format: Format
    /// Set when the amount in thousandths does not fit: the whole units.
    private var largeValue: Int64?

    package init(milliValue: Int64, format: Format = .decimal) {
        self.milliValue = milliValue
        self.format = format
    }

    package init(value: Int64, format: Format = .decimal) {
        let (milli, overflows) = value.multipliedReportingOverflow(by: 1000)
        milliValue = overflows ? (value < 0 ? .min : .max) : milli
        largeValue = overflows ? value : nil
        self.format = format
    }

    package init(parsing text: String) throws(SyntaxError) {
        guard let parsed = QuantityParser.parse(text) else {
            throw SyntaxError(
                description:
                    "\"\(text)\" is no quantity: expected a number with an optional suffix, such as 500m, 2, 1.5Gi or 1e3"
            )
        }
        self = parsed
    }

    /// Reads a text or a plain number, as objects hold them.
    package init?(_ json: JSON?) {
        switch json {
        case .string(let text)?:
            guard let parsed = QuantityParser.parse(text) else { return nil }
            self = parsed
        case .integer(let value)?: self.init(value: value)
        case .number(let value)?:
            guard let parsed = QuantityParser.parse(String(value)) else { return nil }
            self = parsed
        default: return nil
        }
    }

    /// Whole units, rounded up.
    package var value: Int64 {
        if let largeValue { return largeValue }
        let (quotient, remainder) = milliValue.quotientAndRemainder(dividingBy: 1000)
        return remainder > 0 ? quotient + 1 : quotient
    }

    package static func < (left: Quantity, right: Quantity) -> Bool {
        (left.milliValue, left.value) < (right.milliValue, right.value)
    }

    /// Equal amounts are equal, however they were written.
    package static func == (left: Quantity, right: Quantity) -> Bool {
        left.milliValue == right.milliValue && left.value == right.value
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(milliValue)
        hasher.combine(value)
    }

    package static func + (left: Quantity, right: Quantity) -> Quantity {
        let (sum, overflows) = left.milliValue.addingReportingOverflow(right.milliValue)
        guard overflows || left.largeValue != nil || right.largeValue != nil else {
            return Quantity(milliValue: sum, format: left.format)
        }
        let (large, tooLarge) = left.value.addingReportingOverflow(right.value)
        return Quantity(value: tooLarge ? .max : large, format: left.format)
    }

    package static func - (left: Quantity, right: Quantity) -> Quantity {
        left + Quantity(negating: right)
    }

    private init(negating quantity: Quantity) {
        self = quantity
        milliValue = milliValue == .min ? .max : -milliValue
        largeValue = largeValue.map { $0 == .min ? .max : -$0 }
    }

    /// The canonical form: the largest suffix that leaves a whole number.
    package var description: String {
        switch format {
        case .binary where largeValue == nil && milliValue % 1000 != 0: decimalDescription
        case .binary where value.magnitude < 1024: String(value)
        case .binary: binaryDescription
        case .decimal: decimalDescription
        case .exponent: exponentDescription
        }
    }

    // MARK: - Private

    private var binaryDescription: String {
        var rest = value
        var power = 0
        while rest != 0, rest % 1024 == 0, power < 6 {
            rest /= 1024
            power += 1
        }
        return String(rest) + ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power]
    }

    private var decimalDescription: String {
        let (mantissa, exponent) = decimalParts(step: 3)
        return String(mantissa) + (["m", "", "k", "M", "G", "T", "P", "E"][exponent / 3 + 1])
    }

    private var exponentDescription: String {
        let (mantissa, exponent) = decimalParts(step: 3)
        return exponent == 0 ? String(mantissa) : "\(mantissa)e\(exponent)"
    }

    private func decimalParts(step: Int) -> (mantissa: Int64, exponent: Int) {
        var (mantissa, exponent) = largeValue.map { ($0, 0) } ?? (milliValue, -3)
        guard mantissa != 0 else { return (0, 0) }
        while mantissa % 1000 == 0, exponent < 18 {
            mantissa /= 1000
            exponent += step
        }
        return (mantissa, exponent)
    }
}

/// The grammar of `resource.Quantity`: sign, digits with at most one point, suffix.
private enum QuantityParser {
    static let binary: [String: Int] = ["Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60]
    static let decimal: [String: Int] = [
        "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
    ]

    static func parse(_ text: String) -> Quantity? {
        guard text.utf8.count <= 64 else { return nil }
        var rest = text[...]
        let isNegative = rest.hasPrefix("-")
        if let first = rest.first, first == "-" || first == "+" { rest.removeFirst() }
        let whole = takeDigits(&rest)
        var fraction: Substring = ""
        if rest.hasPrefix(".") {
            rest.removeFirst()
            fraction = takeDigits(&rest)
        }
        guard !whole.isEmpty || !fraction.isEmpty, let scale = scale(String(rest)) else { return nil }
        return quantity(isNegative: isNegative, digits: whole + fraction, places: fraction.count, scale: scale)
    }

    private static func takeDigits(_ rest: inout Substring) -> Substring {
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        rest = rest[digits.endIndex...]
        return digits
    }

    private enum Scale {
        case binary(shift: Int)
        case power(of10: Int, Quantity.Format)
    }

    private static func scale(_ suffix: String) -> Scale? {
        if let shift = binary[suffix] { return .binary(shift: shift) }
        if let power = decimal[suffix] { return .power(of10: power, .decimal) }
        guard let first = suffix.first, first == "e" || first == "E", let power = Int(suffix.dropFirst()),
            abs(power) <= 30
        else { return nil }
        return .power(of10: power, .exponent)
    }

    /// Computes in whole 128-bit thousandths, rounding away from zero what is finer.
    private static func quantity(isNegative: Bool, digits: Substring, places: Int, scale: Scale) -> Quantity? {
        let significant = digits.drop { $0 == "0" }
        guard significant.count <= 30 else { return largest(isNegative, scale) }
        var value = UInt128(0)
        for digit in significant { value = value * 10 + UInt128(digit.wholeNumberValue ?? 0) }
        var power = 3 - places
        var format = Quantity.Format.binary
        switch scale {
        case .binary(let shift):
            let (product, overflows) = value.multipliedReportingOverflow(by: UInt128(1) << UInt128(shift))
            guard !overflows else { return largest(isNegative, scale) }
            value = product
        case .power(let of10, let suffixFormat):
            power += of10
            format = suffixFormat
        }
        guard let milli = scaled(value, power: power) else { return largest(isNegative, scale) }
        return make(milli, isNegative, format)
    }

    private static func scaled(_ value: UInt128, power: Int) -> UInt128? {
        var value = value
        if power >= 0 {
            for _ in 0..<power where value != 0 {
                let (product, overflows) = value.multipliedReportingOverflow(by: 10)
                guard !overflows else { return nil }
                value = product
            }
            return value
        }
        var isInexact = false
        for _ in 0..<(-power) where value != 0 {
            isInexact = isInexact || value % 10 != 0
            value /= 10
        }
        return isInexact ? value + 1 : value
    }

    private static func make(_ milli: UInt128, _ isNegative: Bool, _ format: Quantity.Format) -> Quantity {
        if let exact = Int64(exactly: milli) {
            return Quantity(milliValue: isNegative ? -exact : exact, format: format)
        }
        let whole = Int64(clamping: (milli + 999) / 1000)
        return Quantity(value: isNegative ? -whole : whole, format: format)
    }

    private static func largest(_ isNegative: Bool, _ scale: Scale) -> Quantity {
        let format: Quantity.Format
        switch scale {
        case .binary: format = .binary
        case .power(_, let suffixFormat): format = suffixFormat
        }
        return Quantity(value: isNegative ? -.max : .max, format: format)
    }
}
