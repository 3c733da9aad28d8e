import Crypto
import HostIO
import SystemPackage

extension OpenDirectory {
    /// SHA-256 of a file's content in hexadecimal; the file is read piece by piece.
    ///
    /// - Throws: ``SystemCallError`` if it can't be opened or read.
    public func sha256(of name: EntryName) throws -> String {
        let descriptor = try openFile(name)
        defer { try? descriptor.close() }
        let buffer = ByteBlock(capacity: 1 << 20)
        var hash = SHA256()
        repeat {
            try buffer.fill { try readSome(descriptor, name: path(of: name), into: $0) }
            buffer.withUnsafeBytes { hash.update(bufferPointer: $0) }
        } while buffer.count > 0
        return hash.finalize().hexadecimal
    }
}
