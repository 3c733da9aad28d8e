internal import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Secret bytes in pages of their own that are wiped before they are given back, and that no printing shows.
///
/// The pages are locked, so that they are never swapped out, and left out of core dumps; where the limit on locked memory
/// (`RLIMIT_MEMLOCK`) forbids the first, they are ordinary memory.
///
/// `@unchecked Sendable`: the bytes are written only by the closure given to the initialiser, before any other
/// reference exists, and are only lent for reading after that.
public final class SecretBytes: @unchecked Sendable {
    private let pages: UnsafeMutableRawBufferPointer
    /// The number of bytes.
    public let count: Int

    /// Makes `count` zero bytes and has `body` fill them.
    public init<E: Error>(count: Int, filledBy body: (UnsafeMutableRawBufferPointer) throws(E) -> Void) throws(E) {
        self.count = count
        let pageByteCount = Int(sysconf(CInt(_SC_PAGESIZE)))
        let byteCount = max(1, (count + pageByteCount - 1) / pageByteCount) * pageByteCount
        guard let start = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            start != MAP_FAILED
        else { fatalError("no memory for \(byteCount) secret bytes") }
        pages = UnsafeMutableRawBufferPointer(start: start, count: byteCount)
        lockInMemory(pages)
        // From here on a throw runs deinit.
        try body(UnsafeMutableRawBufferPointer(rebasing: pages[..<count]))
    }

    /// Copies bytes; the original is the caller's to wipe.
    public convenience init(copying bytes: UnsafeRawBufferPointer) {
        self.init(count: bytes.count) { $0.copyMemory(from: bytes) }
    }

    deinit {
        wipe(pages)
        munmap(pages.baseAddress, pages.count)
    }

    /// Lends the bytes.
    public func withUnsafeBytes<Result, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> Result
    ) throws(E) -> Result {
        try body(UnsafeRawBufferPointer(rebasing: pages[..<count]))
    }

    /// Gives `body` an array that is wiped afterwards; `body` must keep no slice of it.
    public func withBytes<Result>(_ body: (borrowing [UInt8]) throws -> Result) rethrows -> Result {
        var bytes = withUnsafeBytes { Array($0) }
        defer { wipe(&bytes) }
        return try body(bytes)
    }
}

extension SecretBytes: CustomStringConvertible, CustomReflectable {
    /// The number of bytes.
    public var description: String { "\(count) secret bytes" }
    /// Shows nothing of the bytes.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Fills memory with zeros even if it is not read again.
public func wipe(_ bytes: UnsafeMutableRawBufferPointer) {
    if let start = bytes.baseAddress { explicit_bzero(start, bytes.count) }
}

/// Fills an array with zeros in place, so that the compiler can't leave it out; a copy elsewhere is not touched.
public func wipe(_ bytes: inout [UInt8]) { bytes.withUnsafeMutableBytes { wipe($0) } }

extension [UInt8] {
    /// Overwrites the bytes with zeros; a copy that is still referred to elsewhere stays.
    public mutating func wipe() { HostIO.wipe(&self) }
}

/// Keeps memory that may hold keys out of swap space and core dumps, as far as this process may.
func lockInMemory(_ bytes: UnsafeMutableRawBufferPointer) {
    _ = mlock(bytes.baseAddress, bytes.count)
    clinux_exclude_from_dumps(bytes.baseAddress, bytes.count)
}

/// Ends what ``lockInMemory(_:)`` did to memory that goes back to the allocator.
func unlockMemory(_ bytes: UnsafeMutableRawBufferPointer) {
    munlock(bytes.baseAddress, bytes.count)
    clinux_include_in_dumps(bytes.baseAddress, bytes.count)
}

/// Keeps the memory of this process from others; to be called first of all.
///
/// A trap or an abort writes no core (`RLIMIT_CORE` 0, which children inherit), and neither a crash handler of the
/// system's nor a process of the same user may read it (`PR_SET_DUMPABLE`, prctl(2)).
///
/// - Returns: false if the kernel refused; then the memory is as open as that of any program.
@discardableResult
public func closeMemoryToOthers() -> Bool {
    var none = rlimit(rlim_cur: 0, rlim_max: 0)
    var limit = rlimit()
    let isLimited = getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit) == 0 && limit.rlim_cur == 0
    let isClosed = clinux_close_memory() == 0
    return (isLimited || setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none) == 0) && isClosed
}
