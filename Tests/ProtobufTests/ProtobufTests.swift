import Foundation
import Protobuf
import TestSupport
import Testing

@Suite struct ProtobufReaderTests {
    /// The fields of a message as text, nil if it is malformed.
    private func fields(_ message: [UInt8]) -> [String]? {
        message.withUnsafeBytes { bytes in
            var found: [String] = []
            let isWellFormed = ProtobufReader.forEachField(in: bytes) { field in
                switch field.payload {
                case .varint(let value): found.append("\(field.number) = \(value)")
                case .bytes(let bytes): found.append("\(field.number): \(Array(bytes))")
                case .fixed: found.append("\(field.number) fixed")
                }
                return true
            }
            return isWellFormed ? found : nil
        }
    }

    @Test func readsEachWireType() {
        #expect(fields([]) == [])
        // The examples of protobuf.dev, "Encoding": 150 in field 1, "testing" in field 2.
        #expect(fields([0x08, 0x96, 0x01]) == ["1 = 150"])
        #expect(fields([0x12, 0x07] + Array("testing".utf8)) == ["2: \(Array("testing".utf8))"])
        #expect(fields([0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4, 0x1A, 0]) == ["1 fixed", "2 fixed", "3: []"])
        let largest = [UInt8](repeating: 0xFF, count: 9) + [0x01]
        #expect(fields([0x08] + largest) == ["1 = \(UInt64.max)"])
    }

    @Test(
        arguments: [
            [0x08], [0x08, 0x80], [0x12, 0x02, 0x41], [0x12], [0x09, 1, 2, 3, 4, 5, 6, 7], [0x15, 1, 2, 3],
            [0x00, 0x01], [0x02, 0x00], [0x0B], [0x0C], [0x0E], [0x0F],
            [0x08] + [UInt8](repeating: 0x80, count: 10) + [0x01], [0x12] + [UInt8](repeating: 0xFF, count: 9) + [0x01],
            [0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        ] as [[UInt8]])
    func malformedMessagesAreToldFromOthers(_ message: [UInt8]) {
        #expect(fields(message) == nil)
        #expect(fields([0x08, 0x01] + message) == nil)
        message.withUnsafeBytes { bytes in
            var reader = ProtobufReader(bytes)
            guard let tag = reader.varint() else { return }
            let isSkipped = reader.skip(tag)
            #expect(!isSkipped)
        }
    }

    /// What is written reads back, and a cut anywhere but between fields is noticed.
    @Test func readsWhatIsWritten() {
        var writer = ProtobufWriter()
        var ends: Set<Int> = [0]
        var expected: [String] = []
        for number in [1, 15, 16, 2047, 2048, UInt64(1) << 29 - 1] {
            writer.field(number, number &* 0x9E37_79B9_7F4A_7C15)
            expected.append("\(number) = \(number &* 0x9E37_79B9_7F4A_7C15)")
            ends.insert(writer.bytes.count)
            let content = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: Int(number % 300))
            writer.field(number, content)
            expected.append("\(number): \(content)")
            ends.insert(writer.bytes.count)
        }
        #expect(fields(writer.bytes) == expected)
        for count in 0..<writer.bytes.count {
            #expect((fields(Array(writer.bytes[..<count])) != nil) == ends.contains(count), "\(count) bytes")
        }
    }

    @Test func fieldsCanBeCopiedAsTheyStand() {
        // A number in more bytes than it needs.
        let message: [UInt8] = [0x08, 0x81, 0x00, 0x12, 0x01, 0x41]
        var copy = ProtobufWriter()
        let isWellFormed = message.withUnsafeBytes { bytes in
            ProtobufReader.forEachField(in: bytes) { field in
                copy.append(field.encoded)
                return true
            }
        }
        #expect(isWellFormed && copy.bytes == message)
    }
}
