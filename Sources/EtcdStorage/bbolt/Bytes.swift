/// Borrowed bytes that are only read after a bounds check; loads are little endian and need no alignment.
struct Bytes {
    private let buffer: UnsafeRawBufferPointer

    init(_ buffer: UnsafeRawBufferPointer) { self.buffer = buffer }

    var count: Int { buffer.count }

    var unsafeBytes: UnsafeRawBufferPointer { buffer }

    /// The part of `count` bytes from `offset` on.
    @inline(__always)
    func part(at offset: Int, count: Int) throws(PageDefect) -> Bytes {
        try check(offset, count)
        return Bytes(UnsafeRawBufferPointer(rebasing: buffer[offset..<(offset + count)]))
    }

    @inline(__always)
    func u16(at offset: Int) throws(PageDefect) -> UInt16 { try load(at: offset) }

    @inline(__always)
    func u32(at offset: Int) throws(PageDefect) -> UInt32 { try load(at: offset) }

    @inline(__always)
    func u64(at offset: Int) throws(PageDefect) -> UInt64 { try load(at: offset) }

    @inline(__always)
    func u64BigEndian(at offset: Int) throws(PageDefect) -> UInt64 {
        try check(offset, 8)
        return UInt64(bigEndian: buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inline(__always)
    func byte(at offset: Int) throws(PageDefect) -> UInt8 {
        try check(offset, 1)
        return buffer[offset]
    }

    var array: [UInt8] { [UInt8](buffer) }

    @inline(__always)
    private func load<Value: FixedWidthInteger & BitwiseCopyable>(at offset: Int) throws(PageDefect) -> Value {
        try check(offset, MemoryLayout<Value>.size)
        return Value(littleEndian: buffer.loadUnaligned(fromByteOffset: offset, as: Value.self))
    }

    @inline(__always)
    private func check(_ offset: Int, _ size: Int) throws(PageDefect) {
        guard offset >= 0, size >= 0, offset <= buffer.count, size <= buffer.count - offset else {
            throw PageDefect(
                offset: max(0, min(offset, buffer.count)),
                problem: "\(size) bytes at \(offset) run past the end of the page at \(buffer.count)")
        }
    }
}

/// Compares bytes as bbolt orders keys: bytewise, a prefix before what it begins.
func precedes(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) -> Bool {
    first.lexicographicallyPrecedes(second)
}

/// The integer of the first eight bytes, most significant first.
func u64BigEndian(_ bytes: some Collection<UInt8>) -> UInt64 { bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }

extension Array where Element == UInt8 {
    /// Lends the bytes to `body`; unlike `withUnsafeBytes` it keeps the type of the error.
    @inline(__always)
    func lend<Result, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> Result) throws(E) -> Result {
        try withUnsafeBytes { bytes in Swift.Result { () throws(E) -> Result in try body(bytes) } }.get()
    }
}
