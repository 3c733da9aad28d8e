internal import CLinux
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Writes to a file from beginning to end past the page cache (`O_DIRECT`, open(2)).
///
/// A large file that nobody reads soon would push what a host's workload reads out of its memory, and each page of it
/// costs a copy and the kernel's writeback. Not safe for use by two threads.
final class DirectWriter {
    private static let blockByteCount = 1 << 20
    /// What memory, offset and length are multiples of: at least the block size of every common device.
    private static let alignment = 4096

    private let descriptor: FileDescriptor
    private let path: String
    private let block: UnsafeMutableRawBufferPointer
    private var heldByteCount = 0
    /// Whether the page cache is passed by; false once the device has refused that.
    private(set) var isDirect = true

    /// A writer at the beginning of an open file; nil if its file system always uses the page cache.
    init?(_ descriptor: FileDescriptor, path: String) {
        guard setDirect(descriptor, true) else { return nil }
        self.descriptor = descriptor
        self.path = path
        block = .allocate(byteCount: Self.blockByteCount, alignment: Self.alignment)
    }

    deinit { block.deallocate() }

    /// Takes the next bytes and writes whole blocks.
    func write(_ bytes: UnsafeRawBufferPointer) throws(SystemCallError) {
        var rest = bytes
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest.prefix(block.count - heldByteCount))
            UnsafeMutableRawBufferPointer(rebasing: block[heldByteCount...]).copyMemory(from: part)
            heldByteCount += part.count
            rest = UnsafeRawBufferPointer(rebasing: rest[part.count...])
            if heldByteCount == block.count { try writeHeld() }
        }
    }

    /// Writes what is held, which is no whole block, and leaves the file to the page cache.
    func finish() throws(SystemCallError) {
        _ = setDirect(descriptor, false)
        try writeHeld()
    }

    private func writeHeld() throws(SystemCallError) {
        var rest = UnsafeRawBufferPointer(rebasing: block[..<heldByteCount])
        heldByteCount = 0
        while !rest.isEmpty {
            do {
                let count = try retryingInterrupts("write to", path) {
                    Glibc.write(descriptor.rawValue, rest.baseAddress, rest.count)
                }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            } catch {
                // The device wants another alignment, or a write was cut short within a block.
                guard error.errno == .invalidArgument, setDirect(descriptor, false) else { throw error }
                isDirect = false
            }
        }
    }
}

/// Turns `O_DIRECT` on or off; false if nothing changed.
private func setDirect(_ descriptor: FileDescriptor, _ isOn: Bool) -> Bool {
    clinux_set_direct(descriptor.rawValue, isOn ? 1 : 0) == 1
}
