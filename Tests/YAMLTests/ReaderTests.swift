import Foundation
import TestSupport
import Testing
import YAML

@Suite struct ReaderTests {
    @Test func `scalars have their text, style, tag and place`() throws {
        let text = """
            # ä comment
            plain: a b
            'sïngle': 'it''s'
            double: "a\\tb\\u00e9\\/"
            literal: |
              one
              two
            folded: >-
              one
              two
            tagged: !!str 5
            own: !own x
            """
        let pairs = try #require(try read(text).mapping)
        #expect(pairs.map(\.key.text) == ["plain", "sïngle", "double", "literal", "folded", "tagged", "own"])
        #expect(pairs.map(\.value.text) == ["a b", "it's", "a\tbé/", "one\ntwo\n", "one two", "5", "x"])
        #expect(
            pairs.map(\.value.scalar?.style) == [
                .plain, .singleQuoted, .doubleQuoted, .literal, .folded, .plain, .plain,
            ])
        #expect(pairs.map(\.value.tag).suffix(2) == ["tag:yaml.org,2002:str", "!own"])
        #expect(pairs.map(\.key.mark.line) == [2, 3, 4, 5, 8, 11, 12])
        #expect(pairs[1].value.mark.column == 11)
        let bytes = Array(text.utf8)
        func source(_ node: Node) -> String { String(decoding: bytes[node.mark.bytes], as: UTF8.self) }
        #expect(source(pairs[0].value) == "a b" && source(pairs[1].key) == "'sïngle'")
        #expect(source(pairs[1].value) == "'it''s'" && source(pairs[2].value) == "\"a\\tb\\u00e9\\/\"")
        #expect(source(pairs[5].value) == "!!str 5")
    }

    @Test func `the place behind anchors and tags is known, and what repeats a node`() throws {
        let text = "ä: &x !!str 'y'\nb: *x\nc: !t &z\n  # &q\n  w\nd: &e [f]\ng: !!null\nh: |\n  i\n"
        let bytes = Array(text.utf8)
        let pairs = try #require(try read(text).mapping)
        let sources = pairs.map { String(decoding: bytes[$0.value.mark.contentBytes], as: UTF8.self) }
        #expect(sources == ["'y'", "*x", "w", "[f]", "", "|\n  i\n"])
        #expect(pairs.map(\.value.anchor) == ["x", "x", "z", "e", nil, nil])
        #expect(pairs.map(\.value.isAlias) == [false, true, false, false, false, false])
        #expect(pairs.map(\.value.isFlow) == [false, false, false, true, false, false])
    }

    @Test func `all documents can be read, each with its own anchors`() throws {
        let text = "a: &x b\n---\n# nothing\n---\nc\n...\n"
        #expect(try Node.documents(in: Array(text.utf8)).map(\.text) == [nil, "", "c"])
        #expect(try Node.documents(in: []).isEmpty && Node.documents(in: Array("# x\n".utf8)).isEmpty)
        #expect(throws: SyntaxError.self) { try Node.documents(in: Array("a: &x b\n---\nc: *x\n".utf8)) }
        #expect(throws: SyntaxError.self) { try Node.documents(in: Array("a: b\n---\nc: [\n".utf8)) }
        let limits = Limits(nodeCount: 3)
        #expect(throws: SyntaxError.self) { try Node.documents(in: Array("a: b\n---\nc\n".utf8), limits: limits) }
    }

    @Test func `collections have their places too`() throws {
        let text = "a:\n- {b: c}   # d\n- [e,\n  f ]\n- - g\n  - h\n\n\ni: j\n"
        let root = try read(text)
        let bytes = Array(text.utf8)
        func source(_ node: Node?) -> String? { node.map { String(decoding: bytes[$0.mark.bytes], as: UTF8.self) } }
        let list = try #require(root["a"]?.sequence)
        #expect(list.map { source($0) } == ["{b: c}", "[e,\n  f ]", "- g\n  - h"])
        #expect(source(root["a"]) == "- {b: c}   # d\n- [e,\n  f ]\n- - g\n  - h")
        #expect(source(root) == "a:\n- {b: c}   # d\n- [e,\n  f ]\n- - g\n  - h\n\n\ni: j")
    }

    /// What stands at a scalar's place is that scalar: an edit there changes it and nothing else.
    @Test(arguments: realDocuments)
    func `every scalar of a real document is what stands at its place`(_ name: String) throws {
        let bytes = try realDocument(name)
        let scalars = try #require(try Node.first(in: bytes)).scalars
        #expect(scalars.count > 20)
        for node in scalars {
            #expect(try Node.first(in: Array(bytes[node.mark.bytes]))?.text == node.text)
            let before = bytes[..<node.mark.bytes.lowerBound]
            #expect(before.count { $0 == UInt8(ascii: "\n") } + 1 == node.mark.line)
        }
    }

    @Test func `aliases repeat what their anchor stands for, in their own place`() throws {
        let root = try read("a: &x {b: c}\nd: *x\ne: &x 1\nf: *x\n*x : g\n")
        #expect(root["d"]?["b"]?.text == "c" && root["f"]?.text == "1" && root["1"]?.text == "g")
        #expect(root["d"]?.mark.line == 2 && root["d"]?.mark.column == 4 && root["d"]?.mark.bytes == 16..<18)
        #expect(root["d"]?["b"]?.mark.line == 1)
    }

    @Test func `only the first document is read, or it must be the only one`() throws {
        let bytes = Array("# c\n---\na: b\n---\n[: not read".utf8)
        #expect(try Node.first(in: bytes)?["a"]?.text == "b")
        let error = #expect(throws: SyntaxError.self) { try Node.only(in: Array("a\n---\nb\n".utf8)) }
        #expect(error?.line == 2)
        #expect(try Node.only(in: Array("--- a\n...\n# end\n".utf8))?.text == "a")
        for empty in ["", "\n", "# nothing\n", "\u{FEFF}"] {
            #expect(try Node.first(in: Array(empty.utf8)) == nil && Node.only(in: Array(empty.utf8)) == nil)
        }
    }

    @Test func `JSON is read, with tabs between and every escape of a single character`() throws {
        let text = "{\n\t\"kind\":\t\"Pod\",\n\t\"a\":[1,\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\",null],\"b\":{}\n}\n"
        let root = try read(text)
        #expect(root["kind"]?.text == "Pod")
        #expect(root["a"]?.sequence?.map(\.text) == ["1", "\"\\/\u{8}\u{C}\n\r\tä", "null"])
        #expect(root["a"]?.sequence?.map(\.isNull) == [false, false, true] && root["b"]?.mapping?.isEmpty == true)
    }

    @Test(arguments: ["~", "null", "Null", "NULL", "", "!!str null", "'null'", "nULL", "\"\""])
    func `nulls are plain and without a tag`(_ text: String) throws {
        #expect(
            try read("a: \(text)")["a"]?.isNull
                == !(text.contains("!") || text.contains("L") && text.first == "n"
                || text.contains("'") || text.contains("\"")))
    }

    @Test(arguments: [
        ("[a", "line 2, column 1: did not find expected ',' or ']'"),
        ("a: b: c", "line 1, column 5: mapping values are not allowed in this context"),
        ("\ta: b", "line 1, column 1: found character that cannot start any token"),
        ("a: *none", "line 1, column 4: found undefined alias"),
        ("a: &a [*a]", "line 1, column 8: found undefined alias"),
        ("é: 'x", "line 1, column 6: found unexpected end of stream"),
        ("a: 1\nb: 2\n'a': 3\n", "line 3, column 1: a key stands twice in the mapping, first on line 1"),
        ("a: b\n? [c]\n: d", "line 2, column 3: a key of a mapping is a collection"),
        ("a: é\nb: \u{1}", "line 2, column 4: control characters are not allowed"),
        ("a: \u{0}", "line 1, column 4: control characters are not allowed"),
        ("a: b\n]", "line 2, column 1: did not find expected key"),
        ("{a: b}\n]", "line 2, column 1: did not find expected <document start>"),
        ("%YAML 9.9\n---\na", "line 1, column 1: found incompatible YAML document"),
        ("a: \"\\ud83d\\ude00\"", "line 1, column 7: found invalid Unicode character escape code"),
    ])
    func `an error has a place and libyaml's words`(_ text: String, _ expected: String) {
        let error = #expect(throws: SyntaxError.self) { try Node.only(in: Array(text.utf8)) }
        #expect(error?.description == expected)
    }

    @Test func `encodings are read rightly or refused clearly`() throws {
        let marked = try #require(try Node.first(in: Array("\u{FEFF}ä: b".utf8)))
        #expect(marked["ä"]?.mark.bytes == 7..<8 && marked["ä"]?.mark.column == 4)
        for encoding in [String.Encoding.utf16LittleEndian, .utf16BigEndian] {
            let bytes = Array(try #require("\u{FEFF}a: b".data(using: encoding)))
            #expect(problem(bytes) == "line 1, column 1: the text is UTF-16, and only UTF-8 is read")
            #expect(problem(Array(bytes.dropFirst(2)))?.hasSuffix("control characters are not allowed") == true)
        }
        #expect(problem(Array("\u{FEFF}ä\nä".utf8) + [0xFF]) == "line 2, column 2: invalid leading UTF-8 octet")
        for (bytes, words) in [
            ([0xFF], "invalid leading UTF-8 octet"), ([0xC3], "incomplete UTF-8 octet sequence"),
            ([0xC3, 0x28], "invalid trailing UTF-8 octet"), ([0xED, 0xA0, 0x80], "invalid Unicode character"),
            ([0xF4, 0x90, 0x80, 0x80], "invalid Unicode character"),
            ([0xC0, 0x80], "invalid length of a UTF-8 sequence"),
        ] as [([UInt8], String)] {
            // libyaml points at the octet within the character.
            let found = problem([0x61] + bytes)
            #expect(found == "line 1, column 2: \(words)" || found == "line 1, column 3: \(words)")
        }
    }

    @Test func `canonically equivalent keys are two keys`() throws {
        #expect(try read("\u{E9}: 1\ne\u{301}: 2\n").mapping?.count == 2)
    }

    /// Keys of kubeconfigs must not be told, whatever is wrong with the text around them.
    @Test func `no error tells of the content`() throws {
        var generator = SeededGenerator(seed: 11)
        let secret = "Q2FuYXJ5"
        let base = Array("users:\n- user: {key: \(secret), other: [\(secret)]}\n  name: \"\(secret)\"\n".utf8)
        var problemCount = 0
        for _ in 0..<5000 {
            var bytes = base
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] =
                    Array("&*!%{}[]:,'\"\\\n\t-#\u{1}".utf8)
                    .randomElement(using: &generator) ?? 0
            }
            guard let text = problem(bytes) else { continue }
            problemCount += 1
            #expect(!text.contains("Q2Fu") && !text.contains("YXJ5") && !text.contains("Fu"))
        }
        #expect(problemCount > 1000)
    }
}
