import Foundation
import Synchronization

/// A pattern of a user's configuration, matched against bounded text in bounded time.
struct RegularExpression: Sendable {
    static let maximumTextLength = 64 * 1024
    static let maximumSeconds = 0.5

    let pattern: String
    private let expression: NSRegularExpression

    /// - Throws: when `pattern` is no regular expression.
    init(_ pattern: String, flags: String = "") throws {
        var options: NSRegularExpression.Options = []
        if flags.contains("i") { options.insert(.caseInsensitive) }
        if flags.contains("m") { options.insert(.anchorsMatchLines) }
        if flags.contains("s") { options.insert(.dotMatchesLineSeparators) }
        self.pattern = pattern
        expression = try NSRegularExpression(pattern: pattern, options: options)
    }

    /// Whether the pattern occurs in `text`. A search that takes too long (nested repetitions) counts as none.
    func matches(_ text: String) -> Bool {
        let text = text.utf16.count > Self.maximumTextLength ? String(text.prefix(Self.maximumTextLength)) : text
        let deadline = Date(timeIntervalSinceNow: Self.maximumSeconds)
        let isFound = Mutex(false)
        expression.enumerateMatches(
            in: text,
            options: .reportProgress,
            range: NSRange(text.startIndex..., in: text)
        ) { result, _, stop in
            if result != nil { isFound.withLock { $0 = true } }
            if result != nil || Date() > deadline { stop.pointee = true }
        }
        return isFound.withLock { $0 }
    }
}
