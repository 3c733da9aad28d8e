/// A shell script as far as it tells what programs it starts, and with what variables.
struct ShellScript {
    /// The commands, each with its words; assignments are not among them.
    private(set) var commands: [[String]]
    /// The variables as they are at the end, those known from the beginning included.
    private(set) var variables: [String: String]
    /// The files that are read into it with `.` or `source`.
    private(set) var sourcedPaths: [String]

    private static let depthLimit = 4
    /// Words that may stand before a command (POSIX.1-2017, Shell Command Language, 2.4).
    private static let keywords: Set<String> = ["if", "then", "elif", "else", "do", "while", "until", "!", "{", "time"]

    /// Reads a script.
    ///
    /// - Parameters:
    ///   - variables: those that it starts with.
    ///   - read: the bytes of a file that it reads in; nil if there is none.
    init(
        _ text: String, variables: [String: String] = [:], depth: Int = 0, read: (String) -> [UInt8]? = { _ in nil }
    ) {
        var commands: [[String]] = []
        var sourcedPaths: [String] = []
        self.variables = ShellWords.read(text, variables) { words, variables in
            let command = Self.withoutAssignments(words, &variables)
            guard let first = command.first else { return }
            guard first == "." || first == "source", command.count > 1, command[1].hasPrefix("/") else {
                commands.append(command)
                return
            }
            sourcedPaths.append(command[1])
            guard depth < Self.depthLimit, let bytes = read(command[1]) else { return }
            let script = ShellScript(
                String(decoding: bytes, as: UTF8.self), variables: variables, depth: depth + 1, read: read)
            variables = script.variables
            sourcedPaths += script.sourcedPaths
            commands += script.commands
        }
        self.commands = commands
        self.sourcedPaths = sourcedPaths
    }

    /// Makes the assignments that stand before a command, and those of `export`; they are taken for good.
    private static func withoutAssignments(_ words: [String], _ variables: inout [String: String]) -> [String] {
        var words = words.drop { keywords.contains($0) }
        let isExport = ["export", "readonly", "local", "declare"].contains(words.first)
        if isExport { words = words.dropFirst().drop { $0.hasPrefix("-") } }
        while let word = words.first, let (name, value) = assignment(word) {
            variables[name] = value
            words = words.dropFirst()
        }
        return isExport ? [] : Array(words)
    }

    /// The name and the value of a word that assigns a variable; nil if it is none.
    static func assignment(_ word: String) -> (String, String)? {
        guard let equals = word.firstIndex(of: "="), equals != word.startIndex else { return nil }
        let name = word[..<equals]
        guard name.utf8.allSatisfy({ $0 == 0x5F || (0x30...0x39).contains($0) || (0x61...0x7A).contains($0 | 0x20) }),
            name.first?.isNumber == false
        else { return nil }
        return (String(name), String(word[word.index(after: equals)...]))
    }
}
