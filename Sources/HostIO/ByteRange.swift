/// A part of some random-access bytes.
public struct ByteRange: RandomAccessBytes {
    /// A name for messages.
    public let name: String
    /// The number of bytes.
    public let byteCount: Int
    private let base: any RandomAccessBytes
    private let offset: Int

    /// The `byteCount` bytes of `base` from `offset` on, which must be within it.
    public init(of base: any RandomAccessBytes, offset: Int, byteCount: Int, name: String? = nil) {
        precondition(offset >= 0 && byteCount >= 0 && offset <= base.byteCount - byteCount, "a range outside its bytes")
        self.base = base
        self.offset = offset
        self.byteCount = byteCount
        self.name = name ?? base.name
    }

    /// As for the whole.
    public var isCheapAtRandom: Bool { base.isCheapAtRandom }

    /// Reads from the part.
    public func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = max(0, min(buffer.count, byteCount - offset))
        return try base.read(at: self.offset + offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
    }
}
