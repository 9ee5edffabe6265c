import Testing

@testable import Pipelines

struct RuleExpressionTests {
    private static let variables = [
        "BRANCH": "main", "EMPTY": "", "PATTERN": "/^ma/", "NUMBER": "42", "UPPER": "MAIN", "PATH": "a/b", "TEXT": "ai",
    ]

    @Test(arguments: [
        ("$BRANCH", true), ("$EMPTY", false), ("$NONE", false), ("null", false), ("\"x\"", true), ("\"\"", false),
        ("$BRANCH == \"main\"", true), ("$BRANCH == 'main'", true), ("$BRANCH != \"main\"", false),
        ("$NONE == null", true), ("$EMPTY == null", false), ("$NONE == \"\"", false), ("$EMPTY == \"\"", true),
        ("$BRANCH == $BRANCH", true), ("$NUMBER == \"42\"", true), ("\"main\" == $BRANCH", true),
        ("$BRANCH =~ /^ma/", true), ("$BRANCH =~ /^MA/", false), ("$BRANCH =~ /^MA/i", true), ("$BRANCH =~ /ai/", true),
        ("$NONE =~ /x/", false), ("$NONE !~ /x/", true), ("$BRANCH !~ /^ma/", false), ("$BRANCH =~ $PATTERN", true),
        ("$BRANCH =~ $TEXT", true), ("$BRANCH =~ $NONE", false), ("$PATH =~ /a\\/b/", true),
        ("$BRANCH && $EMPTY", false), ("$BRANCH || $EMPTY", true), ("$EMPTY || $NONE || $BRANCH", true),
        ("$BRANCH == \"x\" && $NONE || $NUMBER", true), ("$NUMBER || $NONE && $EMPTY", true),
        ("($NUMBER || $BRANCH) && $EMPTY", false), ("($BRANCH == \"main\")", true),
        ("  $BRANCH==\"main\"&&$NUMBER  ", true), ("$BRANCH == \"main\" &&\n$NUMBER", true),
    ])
    func holds(_ text: String, _ expected: Bool) throws {
        let expression = try RuleExpression(parsing: text)
        #expect(expression.holds { Self.variables[$0] } == expected, "\(text)")
    }

    @Test(arguments: [
        ("", 1, "an empty condition"), ("$A ==", 6, "ends where a value is expected"),
        ("$A = \"x\"", 4, "unexpected \"=\""),
        ("$A == \"x", 7, "not closed with \""), ("($A", 4, "expected \")\""), ("$A $B", 4, "expected && or ||"),
        ("$A =~ \"x\"", 7, "expected a /pattern/"), ("$A =~ /x", 7, "not closed with /"),
        ("$A =~ /(/", 7, "not a valid regular expression"), ("${A} == 1", 1, "write $NAME"),
        ("main", 1, "unexpected \"main\""),
    ])
    func saysWhereItIsWrong(_ text: String, _ column: Int, _ message: String) {
        let error = #expect(throws: RuleExpressionError.self) { try RuleExpression(parsing: text) }
        #expect(error?.column == column)
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }

    @Test func aPatternThatNeverEndsIsGivenUp() throws {
        let expression = try RegularExpression("^(([a-z])+.)+[A-Z]([a-z])+$")
        let clock = ContinuousClock()
        let elapsed = clock.measure { #expect(!expression.matches(String(repeating: "a", count: 200))) }
        #expect(elapsed < .seconds(5))
    }

    @Test(arguments: [
        ("*.md", "README.md", true), ("*.md", "docs/a.md", false), ("**/*.md", "docs/x/a.md", true),
        ("**/*.md", "a.md", true), ("docs/**/*", "docs/a/b", true), ("docs/**/*", "docs/a", true),
        ("docs/**", "docs/a/b", true), ("docs/*", "docs/a/b", false), ("a?c", "abc", true), ("a?c", "a/c", false),
        ("[ab].txt", "b.txt", true), ("[!ab].txt", "b.txt", false), ("*.{rb,py}", "x.py", true),
        ("*.{rb,py}", "x.go", false),
        ("a+b(1).txt", "a+b(1).txt", true), ("Dockerfile", "Dockerfile", true), ("src/**/x.c", "src/x.c", true),
        (".*", ".env", true), ("a\\*b", "a*b", true),
    ])
    func globs(_ pattern: String, _ path: String, _ expected: Bool) {
        #expect(GlobPattern(pattern).matches(path) == expected, "\(pattern) \(path)")
    }

    @Test(arguments: [
        ("a $A b", "a 1 b"), ("${A}${B}", "12"), ("$$A", "$A"), ("$NONE.", "."), ("${A", "${A"), ("$", "$"),
        ("100$", "100$"),
        ("$A_B", ""), ("$1", "$1"), ("plain", "plain"),
    ])
    func expansion(_ text: String, _ expected: String) {
        #expect(VariableExpansion.expand(text) { ["A": "1", "B": "2"][$0] } == expected)
    }

    @Test func variablesReferToOneAnother() {
        let variables = VariableCollection([
            JobVariable("A", "$B!"), JobVariable("B", "${C}?"), JobVariable("C", "see"),
            JobVariable("RAW", "$A", isRaw: true),
            JobVariable("X", "$Y"), JobVariable("Y", "$X"),
        ]).expanded()
        #expect(variables["A"] == "see?!")
        #expect(variables["RAW"] == "$A")
        #expect(variables["X"]?.contains("$") == true)
    }
}
