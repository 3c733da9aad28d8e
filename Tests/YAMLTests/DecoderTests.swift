import Testing
import YAML

@Suite struct DecoderTests {
    private struct Sample: Codable, Equatable {
        struct Part: Codable, Equatable { var name: String? }
        var text: String?
        var number: Int?
        var flag: Bool?
        var texts: [String]?
        var limits: [String: Int]?
        var part: Part?
        var parts: [Part]?
        var ratio: Double?
    }

    private func decode<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> Value {
        try read(text).decode(type)
    }

    @Test func `every kind of value is decoded`() throws {
        let sample = try decode(
            Sample.self,
            """
            text: a
            number: 5
            flag: yes
            texts: [a, 5, true, 1.0, 'b', "c\\n"]
            limits: {a: 1, "b": 0x10}
            part: {name: x}
            parts: [{name: y}, {}]
            ratio: 1.5
            unknown: [{}]
            """)
        #expect(
            sample
                == Sample(
                    text: "a", number: 5, flag: true, texts: ["a", "5", "true", "1.0", "b", "c\n"],
                    limits: ["a": 1, "b": 16], part: .init(name: "x"), parts: [.init(name: "y"), .init(name: nil)],
                    ratio: 1.5))
    }

    @Test(arguments: ["{}", "text:\nnumber: ~\nflag: null\ntexts: NULL\npart: Null\n"])
    func `nulls are absent`(_ text: String) throws { #expect(try decode(Sample.self, text) == Sample()) }

    @Test func `nulls in lists are nil, or an error where there can be none`() throws {
        #expect(try decode([String?].self, "[a, ~, 'null', ]") == ["a", nil, "null"])
        #expect(throws: DecodingError.self) { try decode([String].self, "[a, ~]") }
    }

    @Test(arguments: [
        ("0", 0), ("-7", -7), ("+7", 7), ("1_000", 1000), ("0x1F", 31), ("-0x10", -16), ("0o17", 15), ("0b101", 5),
        ("9223372036854775807", Int.max), ("-9223372036854775808", Int.min),
    ])
    func `whole numbers`(_ text: String, _ value: Int) throws {
        #expect(try decode([Int].self, "[\(text)]") == [value])
    }

    @Test(arguments: [
        "1.5", "1e3", "'5'", "\"5\"", "soon", "0x", "+", "_1", "--1", "+-1", "010", "1:30", "9223372036854775808",
        "!!str 5", "١", "[5]", "{}", "true",
    ])
    func `what is no whole number`(_ text: String) {
        #expect(throws: DecodingError.self) { try decode([Int].self, "[\(text)]") }
    }

    @Test func `small whole numbers have their bounds`() throws {
        #expect(try decode([UInt8].self, "[255]") == [255])
        #expect(throws: DecodingError.self) { try decode([UInt8].self, "[256]") }
        #expect(throws: DecodingError.self) { try decode([UInt64].self, "[-1]") }
    }

    @Test func `numbers`() throws {
        #expect(
            try decode([Double].self, "[1, -1.5, +.5, 1e3, 2., .inf, -.INF]") == [
                1, -1.5, 0.5, 1000, 2, .infinity, -.infinity,
            ])
        #expect(try decode([Double].self, "[.nan]")[0].isNaN)
        for text in ["inf", "nan", "0x1p3", "'1'", "1.2.3", "x", "+-1"] {
            #expect(throws: DecodingError.self) { try decode([Double].self, "[\(text)]") }
        }
    }

    @Test func `truth values`() throws {
        #expect(try decode([Bool].self, "[true, True, TRUE, yes, On]").allSatisfy(\.self))
        #expect(!(try decode([Bool].self, "[false, False, FALSE, no, OFF]").contains(true)))
        for text in ["'true'", "1", "y", "n", "~", "!!str true", "[true]"] {
            #expect(throws: DecodingError.self) { try decode([Bool].self, "[\(text)]") }
        }
    }

    @Test func `an error has the field and the line, and nothing of the content`() throws {
        func context(_ text: String) throws -> DecodingError.Context? {
            let error = try #require(throws: DecodingError.self) { try decode(Sample.self, text) }
            guard case .typeMismatch(_, let context) = error else { return nil }
            #expect(!"\(error)".contains("Canary"))
            return context
        }
        let number = try #require(try context("limits:\n  a: 1\n  b: Canary\n"))
        #expect(number.codingPath.map(\.stringValue) == ["limits", "b"])
        #expect(number.debugDescription == "line 3, column 6: a whole number is expected")
        let item = try #require(try context("texts: [a, [Canary]]"))
        #expect(item.codingPath.map(\.stringValue) == ["texts", "1"])
        #expect(try context("part: Canary")?.debugDescription == "line 1, column 7: a mapping is expected")
        #expect(try context("texts: Canary")?.debugDescription == "line 1, column 8: a list is expected")
    }

    private enum Form: Decodable, Equatable {
        case text(String)
        case named(String)

        enum CodingKeys: String, CodingKey { case name }

        init(from decoder: any Decoder) throws {
            if let text = try? decoder.singleValueContainer().decode(String.self) {
                self = .text(text)
            } else {
                self = .named(try decoder.container(keyedBy: CodingKeys.self).decode(String.self, forKey: .name))
            }
        }
    }

    @Test func `a value may have two forms`() throws {
        #expect(try decode([Form].self, "[a, {name: b}]") == [.text("a"), .named("b")])
        let error = #expect(throws: DecodingError.self) { try decode([Form].self, "[a, {}]") }
        guard case .keyNotFound(let key, let context)? = error else { throw try #require(error) }
        #expect(key.stringValue == "name" && context.codingPath.map(\.stringValue) == ["1"])
    }

    @Test func `containers may be asked for within each other`() throws {
        struct Walker: Decodable, Equatable {
            var texts: [String] = []
            var keys: [String] = []

            init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: Key.self)
                keys = container.allKeys.map(\.stringValue)
                var list = try container.nestedUnkeyedContainer(forKey: Key("a"))
                while !list.isAtEnd {
                    if try list.decodeNil() { continue }
                    var inner = try list.nestedUnkeyedContainer()
                    texts.append(try inner.decode(String.self))
                    #expect(throws: DecodingError.self) { try inner.decode(String.self) }
                }
                let mapping = try container.nestedContainer(keyedBy: Key.self, forKey: Key("b"))
                texts.append(try mapping.decode(String.self, forKey: Key("c")))
            }

            struct Key: CodingKey {
                var stringValue: String
                var intValue: Int? { nil }
                init(_ text: String) { stringValue = text }
                init?(stringValue: String) { self.init(stringValue) }
                init?(intValue: Int) { nil }
            }
        }
        let walker = try decode(Walker.self, "{z: 1, a: [[x], ~, [y]], b: {c: d}}")
        #expect(walker.texts == ["x", "y", "d"] && walker.keys == ["z", "a", "b"])
    }
}
