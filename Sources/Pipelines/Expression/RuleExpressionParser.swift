/// Why a condition cannot be read; `column` starts at one.
package struct RuleExpressionError: Error, Equatable, CustomStringConvertible {
    package var column: Int
    package var message: String
    package var description: String { "\(message) (column \(column))" }
}

extension RuleExpression {
    /// - Throws: ``RuleExpressionError``
    package init(parsing text: String) throws(RuleExpressionError) {
        var parser = RuleExpressionParser(tokens: try RuleExpressionLexer.tokens(of: text), end: text.count + 1)
        self = try parser.parse()
    }
}

private struct Token: Equatable {
    enum Kind: Equatable {
        case open, close, and, or, null
        case comparison(String)
        case string(String)
        case variable(String)
        case pattern(String)
    }

    var kind: Kind
    var column: Int
    var text: String
}

private struct RuleExpressionLexer {
    static let maximumLength = 16 * 1024
    private let characters: [Character]
    private var position = 0

    static func tokens(of text: String) throws(RuleExpressionError) -> [Token] {
        guard text.count <= maximumLength else {
            throw RuleExpressionError(column: 1, message: "longer than \(maximumLength) characters")
        }
        var lexer = RuleExpressionLexer(characters: Array(text))
        var tokens: [Token] = []
        while let token = try lexer.next() { tokens.append(token) }
        return tokens
    }

    private init(characters: [Character]) {
        self.characters = characters
    }

    private var current: Character? { position < characters.count ? characters[position] : nil }

    private mutating func next() throws(RuleExpressionError) -> Token? {
        while let character = current, character.isWhitespace { position += 1 }
        guard let character = current else { return nil }
        let start = position
        let kind = try kind(startingWith: character)
        return Token(kind: kind, column: start + 1, text: String(characters[start..<position]))
    }

    private mutating func kind(startingWith character: Character) throws(RuleExpressionError) -> Token.Kind {
        switch character {
        case "(":
            position += 1
            return .open
        case ")":
            position += 1
            return .close
        case "$": return try variable()
        case "\"", "'": return try string(quote: character)
        case "/": return .pattern(try pattern())
        default: return try word()
        }
    }

    private mutating func word() throws(RuleExpressionError) -> Token.Kind {
        for symbol in ["==", "!=", "=~", "!~"] where take(symbol) { return .comparison(symbol) }
        if take("&&") { return .and }
        if take("||") { return .or }
        let word = characters[position...].prefix { $0.isLetter || $0.isNumber || $0 == "_" }
        if String(word) == "null" {
            position += 4
            return .null
        }
        let found = word.isEmpty ? String(characters[position]) : String(word)
        throw failure(
            "unexpected \"\(found)\"; expected $VARIABLE, \"text\", /pattern/, null, an operator or a parenthesis"
        )
    }

    private mutating func take(_ symbol: String) -> Bool {
        guard characters[position...].starts(with: symbol) else { return false }
        position += symbol.count
        return true
    }

    private mutating func variable() throws(RuleExpressionError) -> Token.Kind {
        let rest = characters[(position + 1)...]
        let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
        guard !name.isEmpty else { throw failure("\"$\" without a variable's name; write $NAME") }
        position += 1 + name.count
        return .variable(String(name))
    }

    private mutating func string(quote: Character) throws(RuleExpressionError) -> Token.Kind {
        guard let end = characters[(position + 1)...].firstIndex(of: quote) else {
            throw failure("a string that is not closed with \(quote)")
        }
        let text = String(characters[(position + 1)..<end])
        position = end + 1
        return .string(text)
    }

    private mutating func pattern() throws(RuleExpressionError) -> String {
        var end = position + 1
        while end < characters.count, characters[end] != "/" { end += characters[end] == "\\" ? 2 : 1 }
        guard end < characters.count else { throw failure("a pattern that is not closed with /") }
        var flagsEnd = end + 1
        while flagsEnd < characters.count, "ismU".contains(characters[flagsEnd]) { flagsEnd += 1 }
        let source = String(characters[position..<flagsEnd])
        position = flagsEnd
        return source
    }

    private func failure(_ message: String) -> RuleExpressionError {
        RuleExpressionError(column: position + 1, message: message)
    }
}

/// Recursive descent: or < and < comparison < value.
private struct RuleExpressionParser {
    static let maximumDepth = 64
    var tokens: [Token]
    let end: Int
    private var position = 0
    private var depth = 0

    init(tokens: [Token], end: Int) {
        self.tokens = tokens
        self.end = end
    }

    mutating func parse() throws(RuleExpressionError) -> RuleExpression {
        guard !tokens.isEmpty else {
            throw failure("an empty condition; expected something like $CI_COMMIT_BRANCH == \"main\"")
        }
        let expression = try disjunction()
        guard position == tokens.count else {
            throw failure("unexpected \"\(tokens[position].text)\"; expected && or ||")
        }
        return expression
    }

    private var current: Token.Kind? { position < tokens.count ? tokens[position].kind : nil }

    private func failure(_ message: String) -> RuleExpressionError {
        RuleExpressionError(column: position < tokens.count ? tokens[position].column : end, message: message)
    }

    private mutating func take(_ kind: Token.Kind) -> Bool {
        guard current == kind else { return false }
        position += 1
        return true
    }

    private mutating func disjunction() throws(RuleExpressionError) -> RuleExpression {
        var left = try conjunction()
        while take(.or) { left = .or(left, try conjunction()) }
        return left
    }

    private mutating func conjunction() throws(RuleExpressionError) -> RuleExpression {
        var left = try comparison()
        while take(.and) { left = .and(left, try comparison()) }
        return left
    }

    private mutating func comparison() throws(RuleExpressionError) -> RuleExpression {
        let left = try value()
        guard case .comparison(let symbol) = current else { return left }
        position += 1
        let right = try value()
        switch symbol {
        case "==": return .equal(left, right)
        case "!=": return .notEqual(left, right)
        case "=~": return .match(left, try patternOperand(right))
        default: return .notMatch(left, try patternOperand(right))
        }
    }

    private func patternOperand(_ operand: RuleExpression) throws(RuleExpressionError) -> RuleExpression {
        switch operand {
        case .pattern, .variable: return operand
        default:
            throw RuleExpressionError(
                column: tokens[position - 1].column,
                message: "expected a /pattern/ or a $VARIABLE that holds one"
            )
        }
    }

    private mutating func value() throws(RuleExpressionError) -> RuleExpression {
        guard let kind = current else { throw failure("the condition ends where a value is expected") }
        let token = tokens[position]
        position += 1
        switch kind {
        case .null: return .null
        case .string(let text): return .string(text)
        case .variable(let name): return .variable(name)
        case .pattern(let source): return try pattern(source, token)
        case .open: return try parenthesized(token)
        default:
            throw RuleExpressionError(column: token.column, message: "unexpected \"\(token.text)\"; expected a value")
        }
    }

    private func pattern(_ source: String, _ token: Token) throws(RuleExpressionError) -> RuleExpression {
        do {
            return .pattern(try RulePattern(source))
        } catch {
            throw RuleExpressionError(column: token.column, message: "\(source) is not a valid regular expression")
        }
    }

    private mutating func parenthesized(_ open: Token) throws(RuleExpressionError) -> RuleExpression {
        depth += 1
        guard depth <= Self.maximumDepth else {
            throw RuleExpressionError(column: open.column, message: "more than \(Self.maximumDepth) nested parentheses")
        }
        let expression = try disjunction()
        guard take(.close) else { throw failure("expected \")\" for the parenthesis in column \(open.column)") }
        depth -= 1
        return expression
    }
}
