import KubernetesModel
import Testing

@Suite struct QuantityTests {
    static let quantities: [(String, Int64, Int64, String)] = [
        ("0", 0, 0, "0"), ("1", 1000, 1, "1"), ("500m", 500, 1, "500m"), ("1500m", 1500, 2, "1500m"),
        ("2000m", 2000, 2, "2"), ("0.5", 500, 1, "500m"), (".5", 500, 1, "500m"), ("1.", 1000, 1, "1"),
        ("100", 100_000, 100, "100"), ("1000", 1_000_000, 1000, "1k"), ("1k", 1_000_000, 1000, "1k"),
        ("1500", 1_500_000, 1500, "1500"), ("2M", 2_000_000_000, 2_000_000, "2M"),
        ("1Ki", 1_024_000, 1024, "1Ki"), ("1.5Ki", 1_536_000, 1536, "1536"),
        ("1024Mi", 1_073_741_824_000, 1_073_741_824, "1Gi"),
        ("64Mi", 67_108_864_000, 67_108_864, "64Mi"), ("1e3", 1_000_000, 1000, "1e3"),
        ("1E3", 1_000_000, 1000, "1e3"),
        ("12E", 0, Int64.max, ""), ("-1", -1000, -1, "-1"),
        ("+1", 1000, 1, "1"), ("1u", 1, 1, "1m"), ("100n", 1, 1, "1m"), ("-100m", -100, 0, "-100m"),
    ]

    @Test(arguments: quantities)
    func reads(_ text: String, _ milli: Int64, _ value: Int64, _ canonical: String) throws {
        let quantity = try Quantity(parsing: text)
        #expect(quantity.value == value)
        guard !canonical.isEmpty else { return }
        #expect(quantity.milliValue == milli)
        #expect(quantity.description == canonical)
        #expect(try Quantity(parsing: canonical) == quantity)
    }

    @Test(arguments: ["", "a", "1x", "1KI", "1ki", "1 Gi", "1..2", "--1", "1e", "Ki", ".", "1Gib", "0x1", "١"])
    func refuses(_ text: String) {
        #expect(throws: Quantity.SyntaxError.self) { try Quantity(parsing: text) }
    }

    @Test func comparesAmountsNotTexts() throws {
        #expect(try Quantity(parsing: "1Gi") > Quantity(parsing: "1G"))
        #expect(try Quantity(parsing: "0.1") == Quantity(parsing: "100m"))
        #expect(try Quantity(parsing: "8Ei") > Quantity(parsing: "7Ei"))
        #expect(try Quantity(parsing: "4Ei") > Quantity(parsing: "9Pi"))
    }

    @Test func addsAndSubtracts() throws {
        #expect(try (Quantity(parsing: "1") + Quantity(parsing: "250m")).description == "1250m")
        #expect(try (Quantity(parsing: "1Gi") - Quantity(parsing: "512Mi")).description == "512Mi")
    }

    @Test func readsNumbersOfObjects() {
        #expect(Quantity(JSON.integer(2))?.milliValue == 2000)
        #expect(Quantity(JSON.number(0.5))?.milliValue == 500)
        #expect(Quantity(JSON.bool(true)) == nil)
    }
}

@Suite struct IntOrStringTests {
    static let amounts: [(JSON, Int, Bool, Int?)] = [
        (JSON(3), 10, false, 3), ("25%", 10, false, 2), ("25%", 10, true, 3), ("100%", 7, true, 7),
        ("0%", 7, true, 0),
        ("25", 10, true, nil), ("x%", 10, true, nil), ("-5%", 10, true, nil),
    ]

    @Test(arguments: amounts)
    func scales(_ value: JSON, _ total: Int, _ roundUp: Bool, _ expected: Int?) {
        #expect(IntOrString(value)?.scaled(total: total, roundUp: roundUp) == expected)
    }

    @Test func isNothingElse() {
        #expect(IntOrString(true) == nil)
        #expect(IntOrString("http") == .string("http"))
        #expect(IntOrString.int(80).json == 80)
    }
}

@Suite struct TimestampTests {
    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2000-02-29T12:34:56Z", 951_827_696), ("2026-01-02T03:04:05Z", 1_767_323_045),
            ("1969-12-31T23:59:59Z", -1), ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("0001-01-01T00:00:00Z", -62_135_596_800),
        ] as [(String, Int64)]
    )
    func readsAndWrites(_ text: String, _ seconds: Int64) throws {
        let timestamp = try #require(Timestamp(text))
        #expect(timestamp.seconds == seconds)
        #expect(Timestamp(seconds: seconds).description == text)
    }

    @Test func readsOffsetsAndFractions() throws {
        let east = try #require(Timestamp("2026-01-02T03:04:05.25+08:00"))
        #expect(east.description == "2026-01-01T19:04:05Z")
        #expect(east.microDescription == "2026-01-01T19:04:05.250000Z")
        #expect(Timestamp("2026-01-02T03:04:05-00:30")?.description == "2026-01-02T03:34:05Z")
    }

    @Test(arguments: [
        "", "2026-01-02", "2026-01-02 03:04:05Z", "2026-13-02T03:04:05Z", "2026-01-02T24:04:05Z", "2026-01-02T03:04:05",
        "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05Zx", "2026-1-02T03:04:05Z", "2026-01-02T03:04:05+25:00",
    ])
    func refuses(_ text: String) {
        #expect(Timestamp(text) == nil)
    }

    @Test func tellsThePresent() throws {
        let now = try #require(Timestamp(Timestamp.now()))
        let micro = try #require(Timestamp(Timestamp.nowMicro()))
        #expect(abs(now.seconds - micro.seconds) <= 1)
        #expect(now.seconds > 1_700_000_000)
        #expect(Timestamp.nowMicro().utf8.count == "2026-01-02T03:04:05.678901Z".utf8.count)
    }
}

@Suite struct Base64Tests {
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy"),
    ])
    func followsTheVectorsOfRFC4648(_ plain: String, _ encoded: String) {
        #expect(Base64.encoded(Array(plain.utf8)) == encoded)
        #expect(Base64.decoded(encoded) == Array(plain.utf8))
    }

    @Test(arguments: ["Z", "Zg", "Zg=", "Zg==Zg==", "Z*==", "====", "Zg=a"])
    func refuses(_ text: String) {
        #expect(Base64.decoded(text) == nil)
    }

    @Test func keepsAllBytes() {
        let bytes = (0...255).map { UInt8($0) }
        #expect(Base64.decoded(Base64.encoded(bytes)) == bytes)
    }
}

@Suite struct NameSyntaxTests {
    @Test(arguments: ["a", "a-b", "0a", String(repeating: "a", count: 63)])
    func acceptsLabels(_ name: String) { #expect(NameSyntax.problem(inLabel: name) == nil) }

    @Test(arguments: ["", "-a", "a-", "A", "a.b", "a_b", "é", String(repeating: "a", count: 64)])
    func refusesLabels(_ name: String) { #expect(NameSyntax.problem(inLabel: name) != nil) }

    @Test(arguments: ["a", "example.com/a", "A_b.c-1", "a.b/c"])
    func acceptsQualifiedNames(_ name: String) { #expect(NameSyntax.problem(inQualifiedName: name) == nil) }

    @Test(arguments: ["", "/a", "a/", "a/b/c", "-a", "a b", "Example.com/a", "a/é"])
    func refusesQualifiedNames(_ name: String) { #expect(NameSyntax.problem(inQualifiedName: name) != nil) }

    @Test func knowsTheOtherSyntaxes() {
        #expect(NameSyntax.problem(inSubdomain: "a.b-c.d") == nil)
        #expect(NameSyntax.problem(inSubdomain: "a..b") != nil)
        #expect(NameSyntax.problem(inServiceName: "0a") != nil)
        #expect(NameSyntax.problem(inPortName: "http") == nil)
        #expect(NameSyntax.problem(inPortName: "80") != nil)
        #expect(NameSyntax.problem(inPortName: "a--b") != nil)
        #expect(NameSyntax.problem(inPathSegment: "system:admin") == nil)
        #expect(NameSyntax.problem(inPathSegment: "a/b") != nil)
        #expect(NameSyntax.problem(inConfigKey: "ca.crt") == nil)
        #expect(NameSyntax.problem(inConfigKey: "..a") != nil)
        #expect(NameSyntax.problem(inLabelValue: "") == nil)
        #expect(NameSyntax.problem(inLabelValue: "a/b") != nil)
    }
}
