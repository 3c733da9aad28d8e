import Testing

@testable import NodeFiles
@testable import PKIBackup

@Suite(.timeLimit(.minutes(45))) struct VariableExpansionTests {
    private let environment = ["A": "one", "B": "$(A)", "C": "", "LONG": String(repeating: "x", count: 40_000)]

    @Test(arguments: [
        ("$(A)", "one"), ("--a=$(A),$(A)", "--a=one,one"), ("$(B)", "$(A)"), ("$$(A)", "$(A)"), ("$$$(A)", "$one"),
        ("$(D)", "$(D)"), ("$(C)x", "x"), ("$(A", "$(A"), ("$", "$"), ("a$", "a$"), ("$A", "$A"), ("$$", "$"), ("", ""),
        ("$(A$(A)", "$(A$(A)"), ("$()", "$()"), ("é$(A)é", "éoneé"),
    ])
    func wordsAreExpandedOnceFromTheLeft(word: String, expected: String) {
        var expansion = VariableExpansion()
        #expect(expansion.expand(word, environment) == expected)
    }

    @Test func whatBecomesTooLargeStaysAsItIs() {
        var expansion = VariableExpansion()
        #expect(expansion.expand("$(LONG)", environment).utf8.count == 40_000)
        #expect(expansion.expand("$(LONG)$(LONG)", environment) == "$(LONG)$(LONG)")
        // All words together have a limit too.
        var byteCount = 0
        for _ in 0..<10_000 { byteCount += expansion.expand("$(LONG)", environment).utf8.count }
        #expect(byteCount < 5 << 20)
        let word = String(repeating: "$(", count: 2 << 20)
        #expect(expansion.expand(word, environment) == word)
    }

    @Test func aVariableHasThoseBeforeIt() throws {
        let text = """
            kind: Pod
            spec: {containers: [{name: etcd, command: [etcd, --data-dir=$(DATA), "--name=$$(DATA)", --x=$(LATER)], env: [
              {name: ROOT, value: /srv}, {name: DATA, value: $(ROOT)/etcd}, {name: EARLY, value: $(LATER)},
              {name: LATER, value: $(EARLY)}]}]}
            """
        let flags = try #require(try PodManifest(parsing: Array(text.utf8), path: "/p")).components[0].flags
        #expect(flags["data-dir"] == ["/srv/etcd"] && flags["name"] == ["$(DATA)"] && flags["x"] == ["$(LATER)"])
    }

    /// Variables that each name the one before twice would be as many bytes as no machine has.
    @Test func growthByVariablesOfVariablesEnds() throws {
        var variables = ["{name: V0, value: xxxxxxxxxx}"]
        for index in 1..<60 { variables.append("{name: V\(index), value: $(V\(index - 1))$(V\(index - 1))}") }
        let text =
            "kind: Pod\nspec: {containers: [{name: etcd, command: [etcd, --a=$(V59)], env: [\(variables.joined(separator: ", "))]}]}"
        let pod = try #require(try PodManifest(parsing: Array(text.utf8), path: "/p"))
        #expect(pod.components[0].environment.values.map(\.utf8.count).reduce(0, +) < 1 << 20)
    }
}
