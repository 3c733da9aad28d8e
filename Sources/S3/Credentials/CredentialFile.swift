public import HostIO
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// A file that may hold credentials, in memory.
public struct S3CredentialFile: Sendable {
    /// The path, for messages.
    public let path: String
    let bytes: SecretBytes
    /// The permission bits; nil for text that comes from elsewhere.
    let mode: UInt16?

    /// More is no file of credentials.
    static let maximumByteCount = 1 << 20

    /// Reads a file; who else may read it is judged only if a secret is in it.
    ///
    /// - Throws: ``Failure``, for a file of more than 1 MiB and for one that is no UTF-8 too.
    public init(path: String) throws(Failure) {
        do {
            let descriptor = try openForReading(path)
            defer { try? descriptor.close() }
            var status = stat()
            try retryingInterrupts("look at", path) { fstat(descriptor.rawValue, &status) }
            guard status.st_mode & S_IFMT != S_IFDIR else {
                throw Failure(.usage, "\(quoted(path)) is a directory", hint: "name the file in it")
            }
            let block = ByteBlock(capacity: Self.maximumByteCount + 1)
            defer { block.wipe() }
            var count = 0
            try block.fill { buffer in
                while count < buffer.count {
                    let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
                    let read = try readSome(descriptor, name: path, into: rest)
                    if read == 0 { break }
                    count += read
                }
                return count
            }
            guard count <= Self.maximumByteCount else {
                throw Failure(
                    .usage, "\(quoted(path)) has more than \(Self.maximumByteCount) bytes, too many for credentials")
            }
            let content = block.withUnsafeBytes { SecretBytes(copying: $0) }
            self.init(path: path, bytes: try Self.utf8(content, path: path), mode: UInt16(status.st_mode & 0o7777))
        } catch {
            throw Failure(wrapping: error)
        }
    }

    /// Text that was read by somebody else.
    init(path: String, bytes: SecretBytes, mode: UInt16?) {
        self.path = path
        self.bytes = bytes
        self.mode = mode
    }

    private static func utf8(_ content: SecretBytes, path: String) throws -> SecretBytes {
        var text = try content.withBytes { try convertedToUTF8($0, name: path) }
        defer { text?.wipe() }
        return text?.withUnsafeBytes { SecretBytes(copying: $0) } ?? content
    }

    /// Refuses a file with a secret that others may read, or that others than its owner may change.
    ///
    /// A group may read it: systemd lends credentials to a service's user by an access list, whose mask stands there.
    func checkMode() throws(Failure) {
        guard let mode, mode & 0o027 != 0 else { return }
        let readers = mode & 0o004 != 0 ? "everybody on this host may read" : "others than its owner may change"
        let digits = String(mode & 0o777, radix: 8)
        throw Failure(
            .untrusted, "\(quoted(path)) has a secret that \(readers): its mode is 0\(digits)",
            hint: "`chmod 600` it, and change the secret if somebody may have seen it")
    }

    /// The first line, such as a token, without what ends it.
    var firstLine: String {
        bytes.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0x0A && $0 != 0x0D }, as: UTF8.self) }
    }
}

extension S3CredentialFile: CustomStringConvertible, CustomReflectable {
    /// The path.
    public var description: String { quoted(path) }
    /// Shows nothing of the bytes.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
