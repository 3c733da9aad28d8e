import CCRC32C
import EtcdStorage
import TestSupport
import Testing

@Suite struct ChecksumTests {
    @Test func knownValues() {
        // RFC 3720 B.4 and the usual check value.
        #expect(CRC32C(Array("123456789".utf8)).value == 0xE306_9283)
        #expect(CRC32C([UInt8](repeating: 0, count: 32)).value == 0x8A91_36AA)
        #expect(CRC32C([UInt8](repeating: 0xFF, count: 32)).value == 0x62A8_AB43)
        #expect(CRC32C([]).value == 0)
        // HashKV of an empty store.
        #expect(CRC32C(Array("key".utf8)).value == 1_084_519_789)
    }

    @Test func acceleratedEqualsPortableAtEveryLengthAndAlignment() {
        var generator = SeededGenerator(seed: 1)
        let bytes = (0..<70_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let lengths = Array(0..<1600) + (0..<200).map { _ in Int.random(in: 0..<69_000, using: &generator) }
        bytes.withUnsafeBytes { buffer in
            for length in lengths {
                let start = length % 9
                let at = buffer.baseAddress.map { $0 + start }
                #expect(crc32c_extend(5, at, length) == crc32c_extend_portable(5, at, length))
            }
        }
    }

    @Test func partsCombineToTheWhole() {
        var generator = SeededGenerator(seed: 2)
        let bytes = (0..<200_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        for _ in 0..<300 {
            let cut = Int.random(in: 0...bytes.count, using: &generator)
            var combined = CRC32C(Array(bytes[..<cut]))
            combined.append(CRC32C(Array(bytes[cut...])))
            #expect(combined == CRC32C(bytes))
        }
    }
}
