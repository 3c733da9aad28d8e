/// A cursor over a protobuf message; every read is bounds-checked, and nil says that the message is malformed.
///
/// Inlinable, for the rows of a whole database pass through it.
/// Source: protobuf.dev, "Encoding".
public struct ProtobufReader {
    /// One field with its bytes as they stand in the message.
    public struct Field {
        /// The field's number, never 0.
        public var number: UInt64
        /// What the field holds.
        public var payload: Payload
        /// Tag, length and payload.
        public var encoded: UnsafeRawBufferPointer

        @inlinable
        init(number: UInt64, payload: Payload, encoded: UnsafeRawBufferPointer) {
            self.number = number
            self.payload = payload
            self.encoded = encoded
        }
    }

    /// What a field holds, by its wire type.
    public enum Payload {
        /// An integer or a truth value (wire type 0).
        case varint(UInt64)
        /// Bytes, text or a message (wire type 2).
        case bytes(UnsafeRawBufferPointer)
        /// Four or eight bytes (wire types 5 and 1), which nothing here reads.
        case fixed
    }

    @usableFromInline let bytes: UnsafeRawBufferPointer
    @usableFromInline var offset = 0

    /// A cursor before the first field; the bytes are only lent.
    @inlinable
    public init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Whether nothing is left.
    @inlinable
    public var isAtEnd: Bool { offset >= bytes.count }

    /// Visits all fields in order; false if the message is malformed or `body` says so.
    @inlinable
    public static func forEachField(in bytes: UnsafeRawBufferPointer, _ body: (Field) -> Bool) -> Bool {
        var reader = ProtobufReader(bytes)
        while !reader.isAtEnd {
            guard let field = reader.field(), body(field) else { return false }
        }
        return true
    }

    /// A number, such as a tag (field number * 8 + wire type).
    @inlinable
    @inline(__always)
    public mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < bytes.count, shift < 64 {
            let byte = bytes[offset]
            offset += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }

    /// A length and as many bytes, which are lent from the message's.
    @inlinable
    @inline(__always)
    public mutating func lengthDelimited() -> UnsafeRawBufferPointer? {
        guard let length = varint(), let count = Int(exactly: length) else { return nil }
        return take(count)
    }

    /// Skips the payload of the field whose tag was just read.
    @inlinable
    public mutating func skip(_ tag: UInt64) -> Bool { tag >> 3 != 0 && payload(wireType: tag & 7) != nil }

    /// The next field, tag and payload.
    @inlinable
    public mutating func field() -> Field? {
        let start = offset
        guard let tag = varint(), tag >> 3 != 0, let payload = payload(wireType: tag & 7) else { return nil }
        return Field(
            number: tag >> 3, payload: payload, encoded: UnsafeRawBufferPointer(rebasing: bytes[start..<offset]))
    }

    @inlinable
    mutating func payload(wireType: UInt64) -> Payload? {
        switch wireType {
        case 0: varint().map(Payload.varint)
        case 1: take(8).map { _ in .fixed }
        case 2: lengthDelimited().map(Payload.bytes)
        case 5: take(4).map { _ in .fixed }
        default: nil
        }
    }

    @inlinable
    @inline(__always)
    mutating func take(_ count: Int) -> UnsafeRawBufferPointer? {
        guard count <= bytes.count - offset else { return nil }
        defer { offset += count }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)])
    }
}
