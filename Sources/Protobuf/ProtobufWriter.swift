/// Builds a protobuf message in the order in which fields are added.
public struct ProtobufWriter {
    @usableFromInline var storage: [UInt8] = []

    /// The message so far.
    @inlinable
    public var bytes: [UInt8] { storage }

    /// A writer of an empty message.
    @inlinable
    public init() {}

    /// Adds a number in as many bytes as it needs, seven bits in each.
    @inlinable
    public mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            storage.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        storage.append(UInt8(rest))
    }

    /// Adds an integer field, also when it is 0, as gogo/protobuf does for proto2.
    @inlinable
    public mutating func field(_ number: UInt64, _ value: UInt64) {
        varint(number << 3)
        varint(value)
    }

    /// Adds a field of bytes, text or a message.
    @inlinable
    public mutating func field(_ number: UInt64, _ value: some Collection<UInt8>) {
        varint(number << 3 | 2)
        varint(UInt64(value.count))
        storage.append(contentsOf: value)
    }

    /// Adds bytes as they are, such as a field that was read with its tag.
    @inlinable
    public mutating func append(_ more: UnsafeRawBufferPointer) { storage.append(contentsOf: more) }
}
