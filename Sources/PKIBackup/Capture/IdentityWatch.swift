import HostIO
import NodeFiles
import SealedArchive

#if canImport(Glibc)
    import Glibc
#endif

/// Sees private age keys in what is captured: with one of an archive's own keys sealed in it, nobody has to keep that key, and
/// a node that has it can read what it stores.
final class IdentityWatch {
    /// What every native identity begins with (`age-keygen`; the C2SP specification of age, "The X25519 recipient type", and
    /// in the same form the hybrid one).
    private static let mark = Array("AGE-SECRET-KEY-".utf8)

    private(set) var findings: [Finding] = []

    /// Looks at the beginning of a file.
    func look(at path: [UInt8], _ beginning: UnsafeRawBufferPointer) {
        guard Self.hasMark(beginning) else { return }
        findings.append(
            Finding(
                .error, code: "identity-captured", subject: display(path),
                message: "holds a private age key, which is in this backup now, and was on this node in the clear",
                advice: "keep private keys off the node, and make new ones if backups are sealed for this one"))
    }

    private static func hasMark(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var rest = bytes
        while rest.count >= mark.count, let base = rest.baseAddress,
            let found = memchr(base, CInt(mark[0]), rest.count - mark.count + 1)
        {
            if memcmp(found, mark, mark.count) == 0 { return true }
            rest = UnsafeRawBufferPointer(rebasing: rest[(UnsafeRawPointer(found) - base + 1)...])
        }
        return false
    }
}
