import Foundation

/// Reads Swift sources just far enough to see their imports and how long their functions are.
enum SourceScan {
    /// The modules that a source imports, whatever stands before `import` or behind it.
    static func imports(in source: String) -> [String] {
        lines(of: source).compactMap { line in
            var words = line.split(separator: " ")
            while let first = words.first, first.hasPrefix("@") || modifiers.contains(String(first)) {
                words.removeFirst()
            }
            guard words.first == "import", words.count > 1 else { return nil }
            let name = words.count > 2 && kinds.contains(String(words[1])) ? words[2] : words[1]
            return name.split(whereSeparator: { ".;/".contains($0) }).first.map(String.init)
        }
    }

    /// Functions, initializers and accessors of more than `limit` lines, as `name: count`.
    static func functions(in source: String, longerThan limit: Int) -> [String] {
        var open: [(name: String, line: Int, depth: Int)] = []
        var found: [String] = []
        var pending: String?
        var depth = 0
        var parenthesisDepth = 0
        for (index, line) in lines(of: source).enumerated() {
            if let name = declaredFunction(in: line) {
                pending = name
            } else if parenthesisDepth == 0, !signatureStarts.contains(where: line.hasPrefix) {
                // A requirement of a protocol has no body.
                pending = nil
            }
            parenthesisDepth += line.count { $0 == "(" } - line.count { $0 == ")" }
            for character in line {
                if character == "{" {
                    if let name = pending { open.append((name, index, depth)) }
                    pending = nil
                    depth += 1
                } else if character == "}" {
                    depth -= 1
                    if let last = open.last, last.depth == depth {
                        open.removeLast()
                        let count = index - last.line + 1
                        if count > limit { found.append("\(last.name): \(count)") }
                    }
                }
            }
        }
        return found
    }

    /// Assignments to properties within loops of initialisers, which `docs/compiler-faults.md` tells of.
    static func assignmentsInLoops(ofInitializersIn source: String) -> [String] {
        var found: [String] = []
        var depth = 0
        var initializer: (depth: Int, variables: Set<String>)?
        var loops: [Int] = []
        var isSignature = false
        for line in lines(of: source) {
            if initializer == nil, declaredFunction(in: line)?.hasPrefix("init") == true {
                initializer = (depth, [])
                isSignature = true
            }
            if var current = initializer {
                current.variables.formUnion(declaredVariables(in: line))
                initializer = current
                let names = assignedNames(in: line)
                if !loops.isEmpty, !current.variables.isSuperset(of: names) { found.append(line) }
                if loopStarts.contains(where: line.hasPrefix) || line.contains("forEach") { loops.append(depth) }
            }
            for character in line where character == "{" || character == "}" {
                depth += character == "{" ? 1 : -1
                if character == "{" { isSignature = false }
                while let last = loops.last, character == "}", depth <= last { loops.removeLast() }
            }
            if let current = initializer, !isSignature, depth <= current.depth {
                initializer = nil
                loops = []
            }
        }
        return found
    }

    private static let loopStarts = ["while ", "for ", "repeat "]

    /// The names of `name = …`, `self.name = …`, `name[…] += …` and `name.part = …`, wherever they stand in a line.
    private static func assignedNames(in line: String) -> [String] {
        line.matches(of: #/(?:^|[\s{:;])(?:self\.)?(\w+)(?:\[[^\]]*\]|\.\w+)* [-+|&]?= /#).map { String($0.1) }
    }

    private static func declaredVariables(in line: String) -> [String] {
        line.matches(of: #/(?:let|var|for) \(?(\w+)(?:, (\w+))?/#)
            .flatMap { [String($0.1)] + ($0.2.map { [String($0)] } ?? []) }
    }

    private static let modifiers: Set<String> = [
        "public", "package", "internal", "fileprivate", "private", "static", "final", "mutating", "override",
        "nonmutating", "class", "convenience", "required", "nonisolated", "borrowing", "consuming",
    ]
    private static let kinds: Set<String> = ["struct", "class", "enum", "protocol", "typealias", "func", "let", "var"]

    /// How lines begin that go on with a signature behind its parentheses.
    private static let signatureStarts = ["{", "->", "throws", "async", "where", ")"]

    private static func declaredFunction(in line: String) -> String? {
        let words = line.split(separator: " ").drop { $0.hasPrefix("@") || modifiers.contains(String($0)) }
        guard let first = words.first else { return nil }
        if first == "func" { return words.dropFirst().first.map(String.init) }
        return ["init(", "init?(", "init<", "deinit"].contains { first.hasPrefix($0) } ? String(first) : nil
    }

    /// The lines without indentation, comments and what stands in quotes, so that braces in them don't count.
    private static func lines(of source: String) -> [String] {
        source.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            var result = ""
            var isQuoted = false
            var isEscaped = false
            for character in line.drop(while: { $0 == " " }) {
                if isQuoted {
                    if character == "\"" && !isEscaped { isQuoted = false }
                    isEscaped = character == "\\" && !isEscaped
                    continue
                }
                if character == "\"" {
                    isQuoted = true
                    continue
                }
                if character == "/", result.hasSuffix("/") { return String(result.dropLast()) }
                result.append(character)
            }
            return result
        }
    }
}

/// A source file of the product.
struct SourceFile {
    var module: String
    var name: String
    var text: String

    static let repository = URL(filePath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Every Swift file below `Sources`.
    static func all() throws -> [SourceFile] {
        let sources = repository.appending(path: "Sources")
        return try FileManager.default.contentsOfDirectory(atPath: sources.path).sorted().flatMap { module in
            let directory = sources.appending(path: module).path
            return try (FileManager.default.subpathsOfDirectory(atPath: directory)).sorted()
                .filter { $0.hasSuffix(".swift") }
                .map { SourceFile(module: module, name: "\(module)/\($0)", text: try text("\(directory)/\($0)")) }
        }
    }

    private static func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }
}
