import HostIO
import Operations
import SystemPackage

extension RebuildUndo {
    /// The command that takes a rebuild back.
    static func command(_ root: String) -> String { "etcd-snap rebuild undo --yes" + rootOption(root) }

    /// What a command for a root needs besides.
    static func rootOption(_ root: String) -> String {
        guard absolutePath(root).string != "/" else { return "" }
        return " --root " + shellWord(root)
    }
}

/// A text as one word of a shell's command.
func shellWord(_ text: String) -> String {
    let isPlain = text.utf8.allSatisfy { byte in
        Character(UnicodeScalar(byte)).isLetter && byte < 0x80
            || Character(UnicodeScalar(byte)).isNumber && byte < 0x80
            || Array("/._-+:@%,=".utf8).contains(byte)
    }
    return isPlain && !text.isEmpty ? text : "'\(text.replacing("'", with: "'\\''"))'"
}
