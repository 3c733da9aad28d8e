/// The fields of a `mvccpb.KeyValue` that are looked at, lent from the row's value.
struct KeyValueRow {
    let key: UnsafeRawBufferPointer
    let createRevision: Int64
    let modRevision: Int64
    let version: Int64
    let value: UnsafeRawBufferPointer
    let lease: Int64

    /// Reads the pb fields 1 to 6; nil if the bytes are not such a message.
    ///
    /// The fields are gathered in local variables because Swift 6.3.1 with `-O` drops assignments to properties of
    /// `self` in later turns of a loop of an initialiser (docs/compiler-faults.md).
    @inline(__always)
    init?(_ bytes: UnsafeRawBufferPointer) {
        var key = UnsafeRawBufferPointer(start: nil, count: 0)
        var value = key
        var numbers: (create: UInt64, mod: UInt64, version: UInt64, lease: UInt64) = (0, 0, 0, 0)
        var reader = ProtobufReader(bytes)
        while !reader.isAtEnd {
            guard let tag = reader.varint() else { return nil }
            switch tag {
            case 0x0A, 0x2A:
                guard let field = reader.lengthDelimited() else { return nil }
                if tag == 0x0A { key = field } else { value = field }
            case 0x10, 0x18, 0x20, 0x30:
                guard let number = reader.varint() else { return nil }
                switch tag {
                case 0x10: numbers.create = number
                case 0x18: numbers.mod = number
                case 0x20: numbers.version = number
                default: numbers.lease = number
                }
            default:
                guard reader.skip(tag) else { return nil }
            }
        }
        self.key = key
        self.value = value
        createRevision = Int64(bitPattern: numbers.create)
        modRevision = Int64(bitPattern: numbers.mod)
        version = Int64(bitPattern: numbers.version)
        lease = Int64(bitPattern: numbers.lease)
    }
}

/// A cursor over a protobuf message; every read is bounds-checked and nil says that the message is malformed.
struct ProtobufReader {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { offset >= bytes.count }

    @inline(__always)
    mutating func varint() -> UInt64? {
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

    @inline(__always)
    mutating func lengthDelimited() -> UnsafeRawBufferPointer? {
        guard let length = varint(), let count = Int(exactly: length), count <= bytes.count - offset else { return nil }
        defer { offset += count }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)])
    }

    /// Skips the field whose tag was just read.
    mutating func skip(_ tag: UInt64) -> Bool {
        guard tag >> 3 != 0 else { return false }
        switch tag & 7 {
        case 0: return varint() != nil
        case 1: return skip(count: 8)
        case 2: return lengthDelimited() != nil
        case 5: return skip(count: 4)
        default: return false
        }
    }

    private mutating func skip(count: Int) -> Bool {
        guard count <= bytes.count - offset else { return false }
        offset += count
        return true
    }
}

/// Builds a protobuf message in the order in which fields are added.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// Adds an integer field, also when it is 0, as gogo/protobuf does for proto2.
    mutating func field(_ number: UInt64, _ value: UInt64) {
        varint(number << 3)
        varint(value)
    }

    mutating func append(_ more: UnsafeRawBufferPointer) { bytes.append(contentsOf: more) }

    mutating func field(_ number: UInt64, _ value: [UInt8]) {
        varint(number << 3 | 2)
        varint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }
}
