import Protobuf

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
