import HostIO

#if canImport(Glibc)
    import Glibc
#endif

/// Secret bytes that are wiped when the last reference goes and that print as their number only.
public final class SecretBytes: @unchecked Sendable, CustomStringConvertible, CustomReflectable {
    // `@unchecked Sendable`: the buffer is private, filled in `init` and then only read, until `deinit` wipes it.
    private let buffer: UnsafeMutableRawBufferPointer

    /// A copy of the bytes.
    init(_ bytes: some Collection<UInt8>) {
        buffer = .allocate(byteCount: bytes.count, alignment: 1)
        buffer.copyBytes(from: bytes)
    }

    deinit {
        if let start = buffer.baseAddress { explicit_bzero(start, buffer.count) }
        buffer.deallocate()
    }

    /// Gives `body` an array that is wiped afterwards; `body` must keep no slice of it.
    func withBytes<Result>(_ body: (borrowing [UInt8]) throws -> Result) rethrows -> Result {
        var bytes = Array(buffer)
        defer { bytes.wipe() }
        return try body(bytes)
    }

    /// The number of bytes.
    public var description: String { "\(buffer.count) secret bytes" }
    /// Shows nothing of the bytes.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension [UInt8] {
    /// Overwrites the bytes with zeros; a copy that is still referred to elsewhere stays.
    mutating func wipe() { HostIO.wipe(&self) }
}
