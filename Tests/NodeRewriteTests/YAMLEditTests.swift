import Foundation
import HostIO
import NodeRewrite
import TestSupport
import Testing
import YAML

@Suite struct YAMLEditTests {
    private func edited(_ text: String, _ key: String, to value: YAMLEdit.Value) throws -> String {
        var edit = try YAMLEdit(Array(text.utf8), name: "/x")
        let place = try #require(edit.places.compactMap { $0[key] }.first)
        try edit.set(place, to: value)
        return String(decoding: try edit.result(), as: UTF8.self)
    }

    private func refused(_ text: String, _ key: String) -> String? {
        do {
            _ = try edited(text, key, to: .string("new"))
            return nil
        } catch {
            return (error as? Failure)?.message
        }
    }

    @Test func `only the value changes, in its own quotes`() throws {
        for (before, after) in [
            ("a: x # x\nb:   y\n", "a: new # x\nb:   y\n"), ("a: 'x'\n", "a: 'new'\n"), ("a: \"x\"", "a: \"new\""),
            ("\u{FEFF}# ä\r\na:\t x\r\nb: [ x,y ]\r\n", "\u{FEFF}# ä\r\na:\t new\r\nb: [ x,y ]\r\n"),
            ("{b: x, a: x }", "{b: x, a: new }"), ("{\"b\":1,\"a\":\"x\\u0041\"}", "{\"b\":1,\"a\":\"new\"}"),
            ("a: !!str  x", "a: !!str  new"), ("a: &unused x", "a: &unused new"), ("? a\n: x\n", "? a\n: new\n"),
            ("---\n# one\na: x\n...\n---\nb: x\n", "---\n# one\na: new\n...\n---\nb: x\n"),
            ("a: &u !!str # why\n  x\n", "a: &u !!str # why\n  new\n"),
        ] {
            #expect(try edited(before, "a", to: .string("new")) == after)
        }
    }

    @Test func `values get quotes where a reader would take them for something else`() throws {
        for (value, plain, inFlow) in [
            ("10.0.0.11", "10.0.0.11", "10.0.0.11"), ("fd00::11", "fd00::11", "'fd00::11'"),
            ("[fd00::11]:6443", "'[fd00::11]:6443'", "'[fd00::11]:6443'"), ("::1", "'::1'", "'::1'"),
            ("123", "'123'", "'123'"), ("1e3", "'1e3'", "'1e3'"), ("0x1f", "'0x1f'", "'0x1f'"), ("on", "'on'", "'on'"),
            ("null", "'null'", "'null'"), ("", "''", "''"), ("a: b", "'a: b'", "'a: b'"), ("a #b", "'a #b'", "'a #b'"),
            ("--x=a,b", "--x=a,b", "'--x=a,b'"), ("it's: x", "'it''s: x'", "'it''s: x'"),
            ("a\nb", "\"a\\nb\"", "\"a\\nb\""),
            ("-", "'-'", "'-'"), ("- x", "'- x'", "'- x'"), ("---", "'---'", "'---'"), ("*x", "'*x'", "'*x'"),
            ("2026-11-27", "'2026-11-27'", "'2026-11-27'"), ("1:30", "'1:30'", "'1:30'"), ("é", "é", "é"),
            ("-1", "'-1'", "'-1'"), ("-.inf", "'-.inf'", "'-.inf'"),
        ] {
            #expect(try edited("a: x\nb: 1\n", "a", to: .string(value)) == "a: \(plain)\nb: 1\n")
            #expect(try edited("{a: x, b: 1}", "a", to: .string(value)) == "{a: \(inFlow), b: 1}")
        }
        #expect(try edited("a: 6443", "a", to: .integer(7443)) == "a: 7443")
        #expect(try edited("a: '6443'", "a", to: .integer(7443)) == "a: '7443'")
        #expect(try edited("a: 'x'", "a", to: .string("it's")) == "a: 'it''s'")
        #expect(try edited("a: 'x'", "a", to: .string("\u{7}")) == "a: \"\\u0007\"")
        #expect(try edited("a: \"x\"", "a", to: .string("\"\\\t\u{2028}")) == "a: \"\\\"\\\\\\t\\u2028\"")
    }

    @Test func `what can't be changed alone is refused`() {
        #expect(
            refused("a: &x y\nb: *x\n", "a")
                == "a on line 1 of \"/x\" is repeated elsewhere by the alias *x, and can't be changed safely")
        #expect(refused("b: &x y\na: *x\n", "a")?.contains("repeated by an alias") == true)
        #expect(refused("a: |\n  x\n", "a")?.contains("spans several lines") == true)
        #expect(refused("a: >-\n  x\n", "a")?.contains("spans several lines") == true)
        #expect(refused("a: x\n  y\n", "a")?.contains("spans several lines") == true)
        #expect(refused("a: \"x\n  y\"\n", "a")?.contains("spans several lines") == true)
        #expect(refused("a: [x]\n", "a")?.contains("is no single value") == true)
        #expect(refused("a: x\na: y\n", "a")?.contains("a key stands twice") == true)
        #expect(refused("a: x\nb: [\n", "a")?.contains("is not valid YAML: line") == true)
        #expect(refused("a: x\n---\nb: [\n", "a")?.contains("is not valid YAML") == true)
    }

    @Test func `within what an alias repeats nothing changes`() throws {
        let text = "one: &x {a: y}\ntwo: *x\nthree: {<<: *x, b: y}\n"
        var edit = try YAMLEdit(Array(text.utf8), name: "/x")
        let root = try #require(edit.places.first)
        let (one, two) = (try #require(root["one"]?["a"]), try #require(root["two"]?["a"]))
        #expect(throws: Failure.self) { try edit.set(one, to: .string("z")) }
        #expect(throws: Failure.self) { try edit.set(two, to: .string("z")) }
        try edit.set(try #require(root["three"]?["b"]), to: .string("z"))
        #expect(try edit.result() == Array("one: &x {a: y}\ntwo: *x\nthree: {<<: *x, b: z}\n".utf8))
    }

    /// Another reader sees each new value as the text that it is, and all others as they were.
    @Test func `any text is read again as it was set`() throws {
        var generator = SeededGenerator(seed: 11)
        // A number's characters are among them: a string stays one for readers that know types.
        let characters = Array("ab1.:-#,[]{}'\"\\ &*!|>%@`~=?/\té\u{1}<")
        let documents = [
            "k: x # x\nl: [1, 'x']\n", "{k: x, l: [1, 'x']}", "l: [1, 'x']\nk: 'x'", "k: \"x\"\nl: [1, 'x']",
        ]
        var texts: [(text: String, value: String)] = []
        for round in 0..<4000 {
            let value = String(
                (0..<Int.random(in: 0...6, using: &generator)).compactMap { _ in
                    characters.randomElement(using: &generator)
                })
            let text = try edited(documents[round % documents.count], "k", to: .string(value))
            let root = try #require(try Node.only(in: Array(text.utf8)))
            #expect(root["k"]?.text == value && root["k"]?.isNull == false, "\(text)")
            #expect(root["l"]?.sequence?.map(\.text) == ["1", "x"])
            texts.append((text, value))
        }
        let script = """
            import json, sys, yaml
            for text in json.load(sys.stdin):
                try: print(json.dumps(yaml.safe_load(text)["k"]))
                except Exception as error: print(json.dumps([str(error)]))
            """
        let input = try JSONSerialization.data(withJSONObject: texts.map(\.text))
        let lines = try run("python3", ["-c", script], input: input).text.split(separator: "\n")
        #expect(lines.count == texts.count)
        for (line, text) in zip(lines, texts) {
            let answer = try JSONSerialization.jsonObject(with: Data(line.utf8), options: .fragmentsAllowed)
            #expect(answer as? String == text.value, "\(text.text)")
        }
    }
}
