internal import HostIO

/// A setting found in words, with the place of its value.
struct FoundSetting {
    /// The flag with its dashes, or the variable.
    var name: String
    var kind: SettingKind
    /// The word that has the value.
    var word: Int
    /// The value in the text that the word was read from; nil if it is not written in one piece.
    var source: Range<Int>?
    var value: String
}

/// Flags and variables of a command's words: `--name=value`, `--name value`, `NAME=value`, and commands in one word.
enum SettingWords {
    /// How many shells start each other in one command.
    private static let deepest = 4

    /// Every setting of a table, each time that it is given.
    static func settings(
        in words: [MappedText], _ table: [String: SettingKind] = SettingTable.flags, depth: Int = 0
    ) -> [FoundSetting] {
        var found: [FoundSetting] = []
        for (index, word) in words.enumerated() {
            if depth < deepest, isCommand(word) {
                found += nested(word, index, table, depth)
            } else if let (name, valueStart) = flag(word) {
                guard let kind = table[name.drop { $0 == "-" }.split(separator: "_").joined(separator: "-")] else {
                    continue
                }
                if let start = valueStart {
                    found.append(setting(name, kind, index, word[start..<word.bytes.count]))
                } else if index + 1 < words.count, words[index + 1].bytes.first != UInt8(ascii: "-") {
                    found.append(setting(name, kind, index + 1, words[index + 1]))
                }
            } else if let (name, valueStart) = variable(word) {
                found += variableSettings(name, word[valueStart..<word.bytes.count], index, table, depth: depth)
            }
        }
        return found
    }

    /// What a variable holds: one setting, or flags.
    static func variableSettings(
        _ name: String, _ value: MappedText, _ index: Int, _ table: [String: SettingKind] = SettingTable.flags,
        depth: Int = 0
    ) -> [FoundSetting] {
        guard depth < deepest else { return [] }
        if let kind = SettingTable.variable(name) { return [setting(name, kind, index, value)] }
        return settings(in: value.words(), table, depth: depth + 1).map { nested in
            var nested = nested
            nested.word = index
            return nested
        }
    }

    private static func setting(_ name: String, _ kind: SettingKind, _ word: Int, _ value: MappedText) -> FoundSetting {
        FoundSetting(
            name: name, kind: kind, word: word, source: value.source(of: 0..<value.bytes.count), value: value.text)
    }

    /// Whether a word is a shell's whole command; what begins like a variable is that, and its value may have flags,
    /// unless the program follows that the variable is for.
    private static func isCommand(_ word: MappedText) -> Bool {
        if let (name, _) = variable(word) {
            guard SettingTable.variable(name) != nil else { return false }
            return word.words().contains { SettingTable.programs.contains(lastName($0.text)) }
        }
        return zip(word.bytes, word.bytes.dropFirst()).contains { ($0 == 0x20 || $0 == 0x0A) && $1 != 0x20 }
    }

    private static func nested(
        _ word: MappedText, _ index: Int, _ table: [String: SettingKind], _ depth: Int
    )
        -> [FoundSetting]
    {
        settings(in: word.words(hasComments: true), table, depth: depth + 1).map { setting in
            var setting = setting
            setting.word = index
            return setting
        }
    }

    /// The name of a flag with its dashes, and where its value begins in the word.
    private static func flag(_ word: MappedText) -> (name: String, valueStart: Int?)? {
        let dashes = word.bytes.prefix { $0 == UInt8(ascii: "-") }.count
        guard (1...2).contains(dashes) else { return nil }
        let name = word.bytes.prefix { $0 != UInt8(ascii: "=") }
        guard name.count > dashes, !name.contains(0x20) else { return nil }
        return (String(decoding: name, as: UTF8.self), name.count < word.bytes.count ? name.count + 1 : nil)
    }

    private static func variable(_ word: MappedText) -> (name: String, valueStart: Int)? {
        let name = word.bytes.prefix { $0 == 0x5F || (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) }
        guard !name.isEmpty, name.count < word.bytes.count, word.bytes[name.count] == UInt8(ascii: "=") else {
            return nil
        }
        return (String(decoding: name, as: UTF8.self), name.count + 1)
    }
}
