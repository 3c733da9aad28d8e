import Foundation
import TestSupport
import Testing
import YAML

@Suite struct HostileInputTests {
    @Test(arguments: [
        ("deep flow", String(repeating: "[", count: 1 << 20), "levels"),
        ("deep blocks", String(repeating: "- ", count: 1 << 20), "levels"),
        ("deep mappings", String(repeating: "{a: ", count: 1 << 18), "levels"),
        ("deep indentation", (0..<2000).map { String(repeating: " ", count: $0) + "a:\n" }.joined(), "levels"),
        ("laughs", laughs(), "nodes"),
        ("laughs as keys", "x: &a {b: c}\n" + String(repeating: "? *a\n: d\n", count: 5000), "a collection"),
        ("aliases", "x: &a b\ny: [" + String(repeating: "*a, ", count: 5000) + "]", "aliases"),
        ("scalars", "x: [" + String(repeating: "a,", count: 2_000_000) + "]", "nodes"),
        ("block items", String(repeating: "-\n", count: 1_000_000), "nodes"),
        ("pairs", (0..<300_000).map { "k\($0): v\n" }.joined(), "nodes"),
        ("anchors", (0..<300_000).map { "- &k\($0) v\n" }.joined(), "nodes"),
        ("open quote", "a: \"" + String(repeating: "x\n", count: 1_000_000), "unexpected end of stream"),
        ("long key", "? " + String(repeating: "x", count: 4_000_000) + "\n: {", "did not find expected node content"),
        ("directives", String(repeating: "%TAG !a! tag:a\n", count: 100_000), "duplicate %TAG directive"),
    ])
    func `what is made to hurt is refused within seconds`(_ name: String, _ text: String, _ expected: String) {
        let start = ContinuousClock.now
        let found = problem(text)
        #expect(ContinuousClock.now - start < .seconds(120))
        #expect(found?.contains(expected) == true, "\(name): \(found ?? "no error")")
    }

    @Test func `limits hold to the number`() throws {
        let limits = Limits(nodeCount: 8, aliasCount: 2, depth: 3)
        // Root, list, two scalars, two keys, and the list once more through the alias would be nine.
        #expect(problem("a: &x [b, c]\nd: e\n", limits: limits) == nil)
        #expect(
            problem("a: &x [b, c]\nd: *x\n", limits: limits)
                == "line 2, column 4: there are more than the 8 nodes that are read")
        #expect(problem("- &x b\n- *x\n- *x\n", limits: limits) == nil)
        #expect(
            problem("- &x b\n- *x\n- *x\n- *x\n", limits: limits)
                == "line 4, column 3: there are more than the 2 aliases that are read")
        #expect(problem("[[[a]]]", limits: limits) == nil)
        #expect(
            problem("[[[[a]]]]", limits: limits) == "line 1, column 4: there are more than the 3 levels that are read")
        #expect(problem("[[[a]],[[b]],[[c]]]", limits: Limits(depth: 3)) == nil)
    }

    @Test(arguments: realDocuments)
    func `a document cut anywhere is what another reader makes of it`(_ name: String) throws {
        let bytes = try realDocument(name)
        let cut = (0...bytes.count).map { Array(bytes[..<$0]) }
        // We read them all; the other reader is slow.
        for bytes in cut { _ = try? Node.first(in: bytes) }
        try expectAgreement(stride(from: 0, to: cut.count, by: 13).map { cut[$0] } + [bytes])
    }

    @Test(arguments: realDocuments)
    func `a document with changed bytes is what another reader makes of it`(_ name: String) throws {
        var generator = SeededGenerator(seed: 7)
        let bytes = Array(try realDocument(name).prefix(3000))
        let characters = Array("{}[],:-?&*!|>'\"%@`# \n\t\\~0\u{85}".utf8)
        try expectAgreement(
            (0..<300).map { round in
                var changed = bytes
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                if round.isMultiple(of: 2) {
                    changed[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                } else {
                    changed[index] = characters.randomElement(using: &generator) ?? 0
                }
                return changed
            })
    }

    private static func laughs() -> String {
        (1..<12).reduce("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n") { text, level in
            let aliases = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            return text + "a\(level): &a\(level) [\(aliases)]\n"
        }
    }
}
