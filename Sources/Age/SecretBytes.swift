internal import CCrypto

/// Key material in memory of its own that is wiped before it is freed, and that no printing shows.
///
/// `@unchecked Sendable`: the bytes are written only by the closure given to the initialiser, before any other
/// reference exists, and are only lent for reading after that.
final class SecretBytes: @unchecked Sendable {
    private let storage: UnsafeMutableRawBufferPointer

    /// Makes `count` zero bytes and has `body` fill them.
    init<E: Error>(count: Int, filledBy body: (UnsafeMutableRawBufferPointer) throws(E) -> Void) throws(E) {
        let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        storage.initializeMemory(as: UInt8.self, repeating: 0)
        self.storage = storage
        // From here on a throw runs deinit.
        try body(storage)
    }

    /// Copies bytes; the original is the caller's to wipe.
    convenience init(copying bytes: UnsafeRawBufferPointer) {
        self.init(count: bytes.count) { $0.copyMemory(from: bytes) }
    }

    /// Makes `count` random bytes.
    convenience init(randomCount count: Int) {
        self.init(count: count) { fillWithRandomBytes($0) }
    }

    deinit {
        wipe(storage)
        storage.deallocate()
    }

    var count: Int { storage.count }

    func withUnsafeBytes<Result, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> Result
    ) throws(E) -> Result {
        try body(UnsafeRawBufferPointer(storage))
    }
}

extension SecretBytes: CustomStringConvertible, CustomReflectable {
    var description: String { "\(count) secret bytes" }
    var customMirror: Mirror { Mirror(self, children: []) }
}

/// Fills memory with zeros even if it is not read again.
func wipe(_ bytes: UnsafeMutableRawBufferPointer) {
    ccrypto_wipe(bytes.baseAddress, bytes.count)
}

/// Fills memory from the system's cryptographic generator, `getrandom(2)` on Linux.
func fillWithRandomBytes(_ buffer: UnsafeMutableRawBufferPointer) {
    var generator = SystemRandomNumberGenerator()
    var index = 0
    while index < buffer.count {
        withUnsafeBytes(of: generator.next() as UInt64) { word in
            let count = min(word.count, buffer.count - index)
            buffer[index..<index + count].copyBytes(from: word.prefix(count))
            index += count
        }
    }
}

/// Random bytes that are not secret: nonces and salts.
func randomBytes(count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    bytes.withUnsafeMutableBytes { fillWithRandomBytes($0) }
    return bytes
}
