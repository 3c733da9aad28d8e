import HostIO
import Operations
import SystemPackage

extension RebuildUndo {
    /// The command that takes a rebuild back.
    static func command(_ root: String) -> String { "etcd-snap rebuild undo --yes" + rootOption(root) }

    /// What a command for a root needs besides.
    static func rootOption(_ root: String) -> String {
        guard absolutePath(root).string != "/" else { return "" }
        let isPlain = root.utf8.allSatisfy { byte in
            Character(UnicodeScalar(byte)).isLetter && byte < 0x80
                || Character(UnicodeScalar(byte)).isNumber && byte < 0x80
                || Array("/._-+:@%,=".utf8).contains(byte)
        }
        return " --root " + (isPlain ? root : "'\(root.replacing("'", with: "'\\''"))'")
    }
}
