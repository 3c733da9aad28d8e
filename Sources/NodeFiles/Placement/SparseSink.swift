import HostIO
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Writes a new file from its beginning, and leaves holes where there are only zeros.
final class SparseSink: ByteSink {
    /// What file systems allocate at once, mostly.
    private static let blockByteCount = 4096

    private let descriptor: FileDescriptor
    private let name: String
    private var offset = 0

    /// A sink into an empty file that a descriptor is open on, which stays the caller's.
    init(_ descriptor: FileDescriptor, name: String) {
        self.descriptor = descriptor
        self.name = name
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var start = 0
        while start < bytes.count {
            let isHole = Self.isZero(block(of: bytes, at: start))
            var end = start
            while end < bytes.count, Self.isZero(block(of: bytes, at: end)) == isHole {
                end += block(of: bytes, at: end).count
            }
            if !isHole { try put(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), at: offset + start) }
            start = end
        }
        offset += bytes.count
    }

    /// Gives the file its length, for it may end in a hole.
    func finish() throws {
        try retryingInterrupts("set the size of", name) { ftruncate(descriptor.rawValue, off_t(offset)) }
    }

    /// The bytes from an index up to the end of the file's block.
    private func block(of bytes: UnsafeRawBufferPointer, at start: Int) -> UnsafeRawBufferPointer {
        let rest = Self.blockByteCount - (offset + start) % Self.blockByteCount
        return UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + rest)])
    }

    private static func isZero(_ block: UnsafeRawBufferPointer) -> Bool {
        guard let base = block.baseAddress, block[0] == 0 else { return false }
        // Each byte is the one before it.
        return memcmp(base, base + 1, block.count - 1) == 0
    }

    private func put(_ bytes: UnsafeRawBufferPointer, at start: Int) throws {
        var done = 0
        while done < bytes.count {
            done += try retryingInterrupts("write to", name) {
                pwrite(
                    descriptor.rawValue, bytes.baseAddress.map { $0 + done }, bytes.count - done, off_t(start + done))
            }
        }
    }
}
