import KubernetesModel
import Testing

@Suite struct JSONTests {
    static let texts: [(String, JSON)] = [
        ("null", JSON.null), ("true", true), ("false", false), ("0", 0), ("-0", 0), ("42", 42), ("-7", -7),
        ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
        ("9223372036854775808", .number(9_223_372_036_854_775_808)), ("1.5", 1.5), ("-2.5e-3", -0.0025),
        ("1e3", .number(1000)), ("1E+2", .number(100)), ("\"\"", ""), ("\"a\"", "a"), ("\"世界\"", "世界"),
        (#""\u4e16\n\t\"\\\/""#, "世\n\t\"\\/"), (#""\ud83d\ude00""#, "😀"), (#""\ud83d""#, "\u{FFFD}"),
        (#""\ud83dx""#, "\u{FFFD}x"), (#""\ud83d\u0041""#, "\u{FFFD}A"), (#""\b\f\r""#, "\u{8}\u{c}\r"),
        ("[]", []), ("[1, [2]]", [1, [2]]), ("{}", [:]), (" {\"a\" : [ ] } \n", ["a": []]),
        (#"{"a":1,"a":2}"#, ["a": 2]), (#"{"a":{"b":null}}"#, ["a": ["b": .null]]),
    ]

    @Test(arguments: texts)
    func reads(_ text: String, _ expected: JSON) throws {
        #expect(try JSON(parsing: text) == expected)
    }

    @Test(arguments: [
        "", " ", "nul", "nulll", "tru", "+1", "01", "-", "1.", ".5", "1e", "1e+", "--1", "0x10", "1e400", "NaN",
        "Infinity",
        "\"", "\"a", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\n\"", "\"\u{1}\"", "[", "[1", "[1,", "[1,]",
        "[,1]",
        "[1 2]", "{", "{a:1}", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{\"a\" 1}", "{1:2}", "1 2",
        "{} {}",
        "'a'", "[1]]", "// a\n1", "\u{FEFF}1",
    ])
    func refuses(_ text: String) {
        #expect(throws: JSONSyntaxError.self) { try JSON(parsing: text) }
    }

    @Test(arguments: [
        [UInt8(ascii: "\""), 0xFF, UInt8(ascii: "\"")], [UInt8(ascii: "\""), 0xC3, UInt8(ascii: "\"")],
        [UInt8(ascii: "\""), 0xED, 0xA0, 0x80, UInt8(ascii: "\"")],
        [UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "n"), 0x80, UInt8(ascii: "\"")],
    ])
    func refusesInvalidUTF8(_ bytes: [UInt8]) {
        #expect(throws: JSONSyntaxError.self) { try JSON(parsing: bytes) }
    }

    @Test func namesThePlaceOfAnError() {
        #expect(throws: JSONSyntaxError(offset: 6, message: "expected ',' or '}'")) {
            try JSON(parsing: #"{"a":1"b":2}"#)
        }
    }

    /// Strings are read and written eight bytes at a time: special bytes must be seen at every place of a word.
    @Test(arguments: ["\"", "\\", "\u{1}", "\u{1f}", "é", "世", "😀", " ", "~", "\u{7f}"])
    func seesSpecialBytesAtEveryPlace(_ special: String) throws {
        for before in 0..<18 {
            let text = String(repeating: "a", count: before) + special + "tail of the text"
            let value = JSON.string(text)
            #expect(try JSON(parsing: value.encoded()) == value)
            if special.utf8.first.map({ $0 < 0x20 }) == true {
                #expect(throws: JSONSyntaxError.self) { try JSON(parsing: "\"\(text)\"") }
            }
        }
    }

    @Test func boundsTheDepth() throws {
        let deepest = JSON.maximumDepth
        let fits = String(repeating: "[", count: deepest) + String(repeating: "]", count: deepest)
        #expect(try JSON(parsing: fits).array?.count == 1)
        #expect(throws: JSONSyntaxError.self) { try JSON(parsing: "[\(fits)]") }
    }

    @Test(arguments: [
        #"{"z":1,"a":[true,null,"x\n\"\\"],"m":{"b":-1.5,"a":""}}"#, "[]", "{}", #""é😀""#, "1e+100", "0.1",
        #""\u0001\u001f""#,
        "123456789012345678", #"{"a":[[],{}]}"#, "-9223372036854775808",
    ])
    func writesWhatItRead(_ text: String) throws {
        let value = try JSON(parsing: text)
        #expect(value.encodedString == text)
        #expect(try JSON(parsing: value.encoded()) == value)
        #expect(try JSON(parsing: value.prettyString) == value)
    }

    @Test func writesWholeDoublesWithoutPoint() {
        #expect(JSON.number(1000).encodedString == "1000")
        #expect(JSON.number(-0.5).encodedString == "-0.5")
    }

    @Test func changesFieldsInPlaceAndKeepsTheirOrder() {
        var object: JSON = ["b": 1, "a": ["x": 1]]
        object["a", "y", "z"] = 2
        object["c"] = 3
        object["b"] = nil
        #expect(object.encodedString == #"{"a":{"x":1,"y":{"z":2}},"c":3}"#)
        object["a", "q", "r"] = nil
        #expect(object["a", "q"] == nil)
        #expect(object["c"]?.int == 3 && object["a"]?["x"]?.int == 1)
    }

    @Test func comparesValuesWithoutOrderAndForm() {
        let left: JSON = ["a": 1, "b": [1, 2.0]]
        #expect(left.isSameValue(as: ["b": [.number(1), 2], "a": .number(1)]))
        #expect(!left.isSameValue(as: ["b": [2, 1], "a": 1]))
        #expect(!left.isSameValue(as: ["a": 1]))
    }
}
