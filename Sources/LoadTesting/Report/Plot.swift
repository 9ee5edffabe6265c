import Foundation

/// A plot as inline SVG. Colours are classes, so that the page's style sheet decides how they look by day and by night.
struct Plot {
    enum Scale { case linear, logarithmic }

    struct Line {
        var name: String
        var style: String
        var points: [(x: Double, y: Double)]
    }

    /// Filled between two curves.
    struct Area {
        var name: String
        var style: String
        var points: [(x: Double, low: Double, high: Double)]
    }

    struct Mark {
        var x: Double
        var label: String
    }

    static let width = 860.0
    static let height = 280.0
    private static let left = 64.0
    private static let right = 16.0
    private static let top = 14.0
    private static let bottom = 34.0

    var title: String
    var xUnit = ""
    var yScale = Scale.linear
    var yFormat: (Double) -> String
    var xTicks: [(Double, String)]?
    var lines: [Line] = []
    var areas: [Area] = []
    var marks: [Mark] = []

    init(_ title: String, yFormat: @escaping (Double) -> String) {
        self.title = title
        self.yFormat = yFormat
    }

    /// The plot with its legend.
    var svg: String {
        let x = xRange
        let y = yRange
        let frame = Frame(x: x, y: y, scale: yScale)
        var parts = [
            "<svg viewBox=\"0 0 \(Int(Self.width)) \(Int(Self.height))\" role=\"img\" aria-label=\"\(escaped(title))\">"
        ]
        parts += yTicks(y).map { gridLine(frame, $0) }
        parts += xTickLabels(x).map { xLabel(frame, $0.0, $0.1) }
        parts += marks.map { markLine(frame, $0) }
        parts += areas.map { path(frame, $0) }
        parts += lines.map { path(frame, $0) }
        parts.append("</svg>")
        return "<figure><figcaption>\(escaped(title))\(legend)</figcaption>\(parts.joined())</figure>"
    }

    // MARK: - Ranges

    private struct Frame {
        var x: ClosedRange<Double>
        var y: ClosedRange<Double>
        var scale: Scale

        func horizontal(_ value: Double) -> Double {
            let share = (value - x.lowerBound) / max(1e-12, x.upperBound - x.lowerBound)
            return Plot.left + min(1, max(0, share)) * (Plot.width - Plot.left - Plot.right)
        }

        func vertical(_ value: Double) -> Double {
            let (low, high) = (map(y.lowerBound), map(y.upperBound))
            let share = (map(max(value, y.lowerBound)) - low) / max(1e-12, high - low)
            return Plot.height - Plot.bottom - min(1, share) * (Plot.height - Plot.top - Plot.bottom)
        }

        private func map(_ value: Double) -> Double { scale == .linear ? value : log10(max(value, 1e-9)) }
    }

    private var allX: [Double] { lines.flatMap { $0.points.map(\.x) } + areas.flatMap { $0.points.map(\.x) } }
    private var allY: [Double] { lines.flatMap { $0.points.map(\.y) } + areas.flatMap { $0.points.map(\.high) } }

    private var xRange: ClosedRange<Double> {
        let values = allX
        let low = values.min() ?? 0
        return low...max(values.max() ?? 1, low + 1e-9)
    }

    private var yRange: ClosedRange<Double> {
        let values = allY.filter { $0 > 0 }
        guard yScale == .logarithmic else { return 0...max(1e-9, (values.max() ?? 1) * 1.08) }
        let low = pow(10, floor(log10(values.min() ?? 1)))
        let high = pow(10, ceil(log10(values.max() ?? 10)))
        return low...max(high, low * 10)
    }

    /// About five round numbers.
    private static func roundTicks(_ range: ClosedRange<Double>) -> [Double] {
        let rough = (range.upperBound - range.lowerBound) / 5
        let magnitude = pow(10, floor(log10(max(rough, 1e-12))))
        let step = [1, 2, 5, 10].map { $0 * magnitude }.first { $0 >= rough } ?? rough
        return Array(stride(from: ceil(range.lowerBound / step) * step, through: range.upperBound, by: step))
    }

    private func yTicks(_ range: ClosedRange<Double>) -> [Double] {
        guard yScale == .logarithmic else { return Self.roundTicks(range) }
        let (low, high) = (Int(log10(range.lowerBound).rounded()), Int(log10(range.upperBound).rounded()))
        return (low...high).map { pow(10, Double($0)) }
    }

    private func xTickLabels(_ range: ClosedRange<Double>) -> [(Double, String)] {
        xTicks ?? Self.roundTicks(range).map { ($0, Figures.number($0) + xUnit) }
    }

    // MARK: - Parts

    private func gridLine(_ frame: Frame, _ value: Double) -> String {
        let y = Self.text(frame.vertical(value))
        let label =
            "<text class=\"tick\" x=\"\(Int(Self.left) - 8)\" y=\"\(y)\" dy=\"4\" text-anchor=\"end\">\(escaped(yFormat(value)))</text>"
        return
            "<line class=\"grid\" x1=\"\(Int(Self.left))\" x2=\"\(Int(Self.width - Self.right))\" y1=\"\(y)\" y2=\"\(y)\"/>\(label)"
    }

    private func xLabel(_ frame: Frame, _ value: Double, _ label: String) -> String {
        let x = Self.text(frame.horizontal(value))
        return
            "<text class=\"tick\" x=\"\(x)\" y=\"\(Int(Self.height) - 12)\" text-anchor=\"middle\">\(escaped(label))</text>"
    }

    private func markLine(_ frame: Frame, _ mark: Mark) -> String {
        let x = Self.text(frame.horizontal(mark.x))
        let bottom = Int(Self.height - Self.bottom)
        let label = "<text class=\"tick\" x=\"\(x)\" dx=\"4\" y=\"\(Int(Self.top) + 8)\">\(escaped(mark.label))</text>"
        return "<line class=\"mark\" x1=\"\(x)\" x2=\"\(x)\" y1=\"\(Int(Self.top))\" y2=\"\(bottom)\"/>\(label)"
    }

    private func path(_ frame: Frame, _ line: Line) -> String {
        let points = line.points.map { "\(Self.text(frame.horizontal($0.x))),\(Self.text(frame.vertical($0.y)))" }
        if points.count == 1, let point = line.points.first {
            let (x, y) = (Self.text(frame.horizontal(point.x)), Self.text(frame.vertical(point.y)))
            return "<circle class=\"\(line.style) dot\" cx=\"\(x)\" cy=\"\(y)\" r=\"4\"/>"
        }
        return "<polyline class=\"line \(line.style)\" points=\"\(points.joined(separator: " "))\"/>"
    }

    private func path(_ frame: Frame, _ area: Area) -> String {
        let upper = area.points.map { (frame.horizontal($0.x), frame.vertical($0.high)) }
        let lower = area.points.reversed().map { (frame.horizontal($0.x), frame.vertical($0.low)) }
        let points = (upper + lower).map { "\(Self.text($0.0)),\(Self.text($0.1))" }
        return "<polygon class=\"area \(area.style)\" points=\"\(points.joined(separator: " "))\"/>"
    }

    private var legend: String {
        let names = areas.map { ($0.name, $0.style) } + lines.map { ($0.name, $0.style) }
        var seen: Set<String> = []
        let entries = names.filter { !$0.0.isEmpty && seen.insert($0.0).inserted }
        return entries.map { "<span class=\"key \($0.1)\">\(escaped($0.0))</span>" }.joined()
    }

    private static func text(_ value: Double) -> String { String(format: "%.1f", value) }
}

/// Text as it may stand in HTML and in its attributes.
func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
        .replacing("\"", with: "&quot;")
}
