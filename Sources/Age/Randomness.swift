import HostIO

extension SecretBytes {
    /// Makes `count` random bytes.
    convenience init(randomCount count: Int) {
        self.init(count: count) { fillWithRandomBytes($0) }
    }
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
