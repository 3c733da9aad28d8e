/// The name of an entry of a directory: one path component, as the bytes that Linux takes it for.
public struct EntryName: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The name's bytes, without a zero byte at the end.
    public let bytes: [UInt8]

    /// A name; nil for what can't be one: nothing, `.`, `..`, or bytes with a slash or a zero byte in them.
    public init?(_ bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        guard !bytes.isEmpty, bytes != [0x2E], bytes != [0x2E, 0x2E], !bytes.contains(0), !bytes.contains(0x2F) else {
            return nil
        }
        self.bytes = bytes
    }

    /// The name for messages, with bytes that are not UTF-8 replaced.
    public var description: String { String(decoding: bytes, as: UTF8.self) }

    /// Orders bytewise.
    public static func < (left: Self, right: Self) -> Bool { left.bytes.lexicographicallyPrecedes(right.bytes) }

    /// Lends the name as a C string.
    public func withCString<Result>(_ body: (UnsafePointer<CChar>) throws -> Result) rethrows -> Result {
        try HostIO.withCString(bytes, body)
    }

    /// The components of a relative path; nil if one of them can't be a name, so that `..` never gets through.
    public static func components(of path: some Collection<UInt8>) -> [EntryName]? {
        var names: [EntryName] = []
        for part in path.split(separator: 0x2F, omittingEmptySubsequences: true) where Array(part) != [0x2E] {
            guard let name = EntryName(part) else { return nil }
            names.append(name)
        }
        return path.first == 0x2F ? nil : names
    }
}

/// Lends bytes, which hold no zero byte, as a C string.
public func withCString<Result>(
    _ bytes: [UInt8], _ body: (UnsafePointer<CChar>) throws -> Result
) rethrows -> Result {
    try withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytes.count + 1) { buffer in
        guard let base = buffer.baseAddress else { preconditionFailure("a C string has at least its end") }
        UnsafeMutableRawBufferPointer(buffer).copyBytes(from: bytes)
        base[bytes.count] = 0
        return try body(base)
    }
}
