import Foundation
import TestSupport
import Testing
import YAML

/// A document as JSON can have it.
private indirect enum Value {
    case null
    case truth(Bool)
    case integer(Int64)
    case number(Double)
    case text(String)
    case list([Value])
    case pairs([(String, Value)])

    func write(to writer: DocumentWriter) throws {
        switch self {
        case .null: try writer.writeNull()
        case .truth(let value): try writer.write(value)
        case .integer(let value): try writer.write(value)
        case .number(let value): try writer.write(value)
        case .text(let value): try writer.write(value)
        case .list(let values):
            try writer.beginSequence()
            for value in values { try value.write(to: writer) }
            try writer.endSequence()
        case .pairs(let pairs):
            try writer.beginMapping()
            for (key, value) in pairs {
                try writer.write(key)
                try value.write(to: writer)
            }
            try writer.endMapping()
        }
    }

    var bytes: [UInt8] {
        get throws {
            let writer = try DocumentWriter()
            try write(to: writer)
            return try writer.finish()
        }
    }

    /// The value with its kinds told, for a comparison in another language.
    var told: [Any] {
        switch self {
        case .null: ["null"]
        case .truth(let value): ["bool", value ? "True" : "False"]
        case .integer(let value): ["int", "\(value)"]
        case .number(let value): ["float", String(value.bitPattern, radix: 16)]
        case .text(let value): ["str", value]
        case .list(let values): ["list"] + values.map(\.told)
        case .pairs(let pairs): ["dict"] + pairs.map { [$0, $1.told] as [Any] }
        }
    }

    /// Whether our reader gives the value back.
    func isEqual(to node: Node) -> Bool {
        switch self {
        case .null: node.isNull
        case .truth(let value): (try? node.decode(Bool.self)) == value
        case .integer(let value): (try? node.decode(Int64.self)) == value
        case .number(let value): (try? node.decode(Double.self)) == value
        case .text(let value):
            node.text.map { $0.utf8.elementsEqual(value.utf8) } == true && !node.isNull
                && (try? node.decode(Bool.self)) == nil && (try? node.decode(Double.self)) == nil
                && (try? node.decode(Int.self)) == nil
        case .list(let values):
            node.sequence.map { $0.count == values.count && zip(values, $0).allSatisfy { $0.isEqual(to: $1) } } ?? false
        case .pairs(let pairs):
            node.mapping.map {
                $0.count == pairs.count
                    && zip(pairs, $0).allSatisfy {
                        Value.text($0.0).isEqual(to: $1.key) && $0.1.isEqual(to: $1.value)
                    }
            } ?? false
        }
    }
}

/// Texts that a reader may take for something else: YAML 1.1's types (yaml.org/type), 1.2's core schema, and syntax.
private let hostileTexts: [String] = {
    let words = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", "-.inf", "+.inf", ".nan"]
    let others = [
        "", " ", "~", "=", "<<", "-", "--", "---", "--- a", "...", "?", "? a", ":", ": a", "a:", "a: b", "a :b", "a #b",
        "a#b",
        "#", "# a", "&a", "*a", "!a", "!!str a", "|", "|-", ">", "'", "''", "\"", "\"a\"", "'a", "%", "%YAML 1.1", "@a",
        "`a",
        "[", "[]", "[a]", "]", "{", "{}", "{a: b}", "}", ",", ", a", "a, b", "\\", "a\\n", "0", "-0", "1", "+1", "01",
        "010",
        "08", "0o17", "0O17", "0x1f", "0X1F", "0b1", "-0x1", "0x", "0b", "1_000", "_1", "1_", "1,000", "1.", ".5", ".",
        "..", "1.5", "1e3",
        "1e+3", "1.5e3", "1.0E-3", "123e4567", "-1.5", "+.5", "1.2.3", "10.0.0.1", "1:30", "190:20:30", "1:30.5", "::1",
        "2001:470:1:2:3:4:5:6", "fe80::1", "2026-11-26", "2026-1-2", "2026-11-26T12:00:00Z", "2026-11-26 12:00:00 +1",
        "20261126T120000Z-ab12", "2026-11", "12:00:00", " a", "a ", "\ta", "a\t", "a\tb", "a  b", "\n", "a\n", "\na",
        "a\nb", "a\n\nb", "a\n  b\n",
        "\r", "a\rb", "a\r\nb", "\u{0}", "a\u{0}b", "\u{1}", "\u{7}", "\u{1B}[2J", "\u{7F}", "\u{80}", "\u{85}",
        "a\u{85}b", "\u{9F}",
        "\u{A0}", "\u{AD}", "\u{200B}", "\u{200E}", "\u{202E}abc", "\u{2028}", "a\u{2029}b", "\u{FEFF}", "a\u{FEFF}",
        "\u{FFFD}", "\u{FFFE}", "\u{FFFF}", "\u{1F600}",
        "\u{10FFFF}", "\u{E000}", "é", "e\u{301}", "\u{301}", "ä: ö", "Straße", "日本語", "١٢", "NaN", "Infinity", "NULL ",
        "nil", "undefined", "None",
        "\"\\", "a'b\"c", "key: |\n  x", "a: &b c", "- a", "-a", "?a", ":a", "a:b", "a:\u{A0}b",
        "/etc/kubernetes/pki/ca.crt", "https://[::1]:2379/",
        String(repeating: "long ", count: 200), String(repeating: "x", count: 2000),
        String(repeating: "a\n", count: 100),
    ]
    return others + words.flatMap { [$0, $0.uppercased(), $0.capitalized, " \($0)", "\($0)x"] }
}()

@Suite struct WriterTests {
    @Test func `a document in block style`() throws {
        let value = Value.pairs([
            ("a", .list([.text("x"), .pairs([("b", .integer(-5)), ("c", .null)]), .list([.truth(true)])])),
            ("empty", .pairs([("list", .list([])), ("mapping", .pairs([]))])),
            ("number", .list([.number(1.5), .number(1e300), .number(0.1), .number(100), .integer(.min)])),
            ("text", .list(["", "yes", "5", "a: b", "a\nb", "\u{1F600}é"].map(Value.text))),
        ])
        let expected = """
            a:
            - x
            - b: -5
              c: null
            - - true
            empty:
              list: []
              mapping: {}
            number:
            - 1.5
            - 1.0e+300
            - 0.1
            - 100.0
            - -9223372036854775808
            text:
            - ""
            - "yes"
            - "5"
            - "a: b"
            - "a\\nb"
            - "\\U0001F600é"

            """
        #expect(String(decoding: try value.bytes, as: UTF8.self) == expected)
    }

    @Test(arguments: [
        "/etc/kubernetes/pki/ca.crt", "10.96.0.1", "https://127.0.0.1:2379", "3.6.14", "20261126T120000Z-ab12", "etcd",
        "fe80::1",
        "CN=etcd-ca, O=x", "system:masters",
    ])
    func `usual text has no quotes`(_ text: String) throws {
        #expect(String(decoding: try Value.pairs([("a", .text(text))]).bytes, as: UTF8.self) == "a: \(text)\n")
    }

    @Test func `every document is read back equal, by us and by PyYAML`() throws {
        var generator = SeededGenerator(seed: 3)
        var values = hostileTexts.flatMap { text -> [Value] in
            [
                .text(text), .list([.text(text)]), .pairs([(text, .text(text))]),
                .pairs([("a", .pairs([(text, .list([.text(text), .text(text)]))]))]),
            ]
        }
        values += [0, -0.0, 1, 0.1, 1e16, 1e15, 1.5e-7, .leastNonzeroMagnitude, .greatestFiniteMagnitude, .pi].map(
            Value.number)
        for _ in 0..<1500 { values.append(randomValue(depth: 4, &generator)) }
        let script = """
            import struct
            def told(value):
                kind = type(value).__name__
                if value is None: return ["null"]
                if kind == "float": return [kind, "%x" % struct.unpack(">Q", struct.pack(">d", value))[0]]
                if kind == "str": return [kind, value]
                if kind == "list": return [kind] + [told(item) for item in value]
                if kind == "dict": return [kind] + [[key, told(item)] for key, item in value.items()]
                return [kind, str(value)]
            def answer(line):
                try: return "" if told(yaml.safe_load(base64.b64decode(line[0]))) == line[1] else "differs"
                except Exception as error: return str(error)
            """
        let documents = try values.map { try $0.bytes }
        let lines = zip(documents, values).map { [Data($0).base64EncodedString(), $1.told] as [Any] }
        let answers = try askPyYAML(script, lines)
        #expect(answers.count == values.count && values.count > 2000)
        for ((bytes, value), answer) in zip(zip(documents, values), answers) {
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(answer as? String == "", "\(text)")
            let node = try #require(try Node.only(in: bytes), "\(text)")
            #expect(value.isEqual(to: node), "\(text)")
        }
    }

    @Test func `what makes no document is an error`() throws {
        #expect(throws: WritingError.self) { try DocumentWriter().finish() }
        #expect(throws: WritingError.self) { try DocumentWriter().endMapping() }
    }

    private func randomValue(depth: Int, _ generator: inout SeededGenerator) -> Value {
        switch Int.random(in: 0..<(depth > 0 ? 10 : 6), using: &generator) {
        case 0: return .null
        case 1: return .truth(.random(using: &generator))
        case 2: return .integer(.random(in: .min ... .max, using: &generator))
        case 3:
            let value = Double(bitPattern: .random(in: 0 ... .max, using: &generator))
            return .number(value.isFinite ? value : 0)
        case 4, 5: return .text(randomText(&generator))
        case 6, 7:
            return .list(
                (0..<Int.random(in: 0..<5, using: &generator)).map { _ in randomValue(depth: depth - 1, &generator) })
        default:
            var names: Set<[UInt8]> = []
            let pairs = (0..<Int.random(in: 0..<5, using: &generator)).map { _ in
                (randomText(&generator), randomValue(depth: depth - 1, &generator))
            }
            return .pairs(pairs.filter { names.insert(Array($0.0.utf8)).inserted })
        }
    }

    /// A hostile text, several of them in one, or characters that are mostly syntax.
    private func randomText(_ generator: inout SeededGenerator) -> String {
        let characters = Array("ab019 \n\t:#-?,[]{}&*!|>'\"%@`\\_.+eExo~=<\r\u{85}\u{2028}é\u{1F600}\u{0}")
        if Bool.random(using: &generator) {
            return String(
                (0..<Int.random(in: 0..<12, using: &generator)).compactMap { _ in
                    characters.randomElement(using: &generator)
                })
        }
        return (0..<Int.random(in: 1...2, using: &generator)).compactMap { _ in
            hostileTexts.randomElement(using: &generator)
        }
        .joined()
    }
}
