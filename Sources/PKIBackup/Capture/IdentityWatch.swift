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
    /// The same in the encodings of text that are read as a file of identities, see ``TextEncoding``.
    private static let marks = [mark, mark.flatMap { [$0, 0] }, mark.flatMap { [0, $0] }]

    private(set) var findings: [Finding] = []

    private let isDryRun: Bool

    /// - Parameter isDryRun: whether nothing is captured yet.
    init(isDryRun: Bool) { self.isDryRun = isDryRun }

    /// Looks at the beginning of a file; what is compressed or encrypted is not looked into.
    func look(at path: [UInt8], _ beginning: UnsafeRawBufferPointer) {
        guard Self.marks.contains(where: { Self.has($0, beginning) }) else { return }
        let place = isDryRun ? "which a backup takes" : "which is in this backup now"
        findings.append(
            Finding(
                .error, code: "identity-captured", subject: display(path),
                message: "holds a private age key, \(place), and \(isDryRun ? "is" : "was") on this node in the clear",
                advice: "keep private keys off the node, and make new ones if backups are sealed for this one"))
    }

    private static func has(_ mark: [UInt8], _ bytes: UnsafeRawBufferPointer) -> Bool {
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
