import Protobuf

/// The fields of a message that are read, by number.
struct MessageSchema: Sendable {
    /// What a field is, with its name in JSON.
    enum Field: Sendable {
        case string(String)
        case strings(String)
        case integer(String)
        case boolean(String)
        case stringMap(String)
        /// A map to `resource.Quantity`, whose field 1 is text.
        case quantityMap(String)
        case message(String, MessageSchema)
        case messages(String, MessageSchema)
        /// A message whose fields stand in the parent in JSON.
        case inline(MessageSchema)
    }

    /// The most elements of a list, and entries of a map, that an object may have to be readable.
    ///
    /// Real ones have dozens. An empty element takes two bytes of a message and a hundred once it is decoded.
    static let elementLimit = 4096

    private let fields: [UInt64: Field]

    init(_ fields: [UInt64: Field]) { self.fields = fields }

    /// Decodes a message; nil if it is malformed, or if a list or map has more than ``elementLimit`` elements.
    ///
    /// It goes no deeper than the schema.
    func decode(_ bytes: UnsafeRawBufferPointer) -> ObjectValue? {
        decodeFields(bytes).map(ObjectValue.object)
    }

    private func decodeFields(_ bytes: UnsafeRawBufferPointer) -> [String: ObjectValue]? {
        var object: [String: ObjectValue] = [:]
        let isWellFormed = ProtobufReader.forEachField(in: bytes) { encoded in
            guard let field = fields[encoded.number] else { return true }
            return Self.add(field, encoded.payload, to: &object)
        }
        return isWellFormed ? object : nil
    }

    private static func add(
        _ field: Field, _ payload: ProtobufReader.Payload, to object: inout [String: ObjectValue]
    ) -> Bool {
        switch (field, payload) {
        case (.string(let name), .bytes(let bytes)): object[name] = text(bytes)
        case (.strings(let name), .bytes(let bytes)): return append(text(bytes), name, &object)
        case (.integer(let name), .varint(let value)): object[name] = .integer(Int64(bitPattern: value))
        case (.boolean(let name), .varint(let value)): object[name] = .boolean(value != 0)
        case (.stringMap(let name), .bytes(let bytes)):
            return addEntry(bytes, name, to: &object) { text($0) }
        case (.quantityMap(let name), .bytes(let bytes)):
            return addEntry(bytes, name, to: &object) { MessageSchema.quantity.decode($0)?["string"] ?? .null }
        case (.message(let name, let schema), .bytes(let bytes)):
            guard let value = schema.decode(bytes) else { return false }
            object[name] = value
        case (.messages(let name, let schema), .bytes(let bytes)):
            guard let value = schema.decode(bytes) else { return false }
            return append(value, name, &object)
        case (.inline(let schema), .bytes(let bytes)):
            guard let fields = schema.decodeFields(bytes) else { return false }
            object.merge(fields) { $1 }
        default: return false
        }
        return true
    }

    private static let quantity = MessageSchema([1: .string("string")])

    private static func text(_ bytes: UnsafeRawBufferPointer) -> ObjectValue {
        .string(String(decoding: bytes, as: UTF8.self))
    }

    /// Appends to a list; false if it is full.
    private static func append(_ value: ObjectValue, _ name: String, _ object: inout [String: ObjectValue]) -> Bool {
        object[name, default: .list([])].append(value)
        return (object[name]?.count ?? 0) <= elementLimit
    }

    /// Adds an entry of a map: a message of key (1) and value (2); false if it is malformed or the map is full.
    private static func addEntry(
        _ bytes: UnsafeRawBufferPointer, _ name: String, to object: inout [String: ObjectValue],
        _ decode: (UnsafeRawBufferPointer) -> ObjectValue
    ) -> Bool {
        var key = ""
        var value = ObjectValue.string("")
        let isWellFormed = ProtobufReader.forEachField(in: bytes) { field in
            guard case .bytes(let payload) = field.payload else { return true }
            if field.number == 1 { key = String(decoding: payload, as: UTF8.self) }
            if field.number == 2 { value = decode(payload) }
            return true
        }
        guard isWellFormed else { return false }
        object[name, default: .object([:])].set(value, for: key)
        return (object[name]?.count ?? 0) <= elementLimit
    }

    /// The message with only the fields of the schema; nil if it is malformed.
    func project(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        var result = ProtobufWriter()
        let isWellFormed = ProtobufReader.forEachField(in: bytes) { encoded in
            switch (fields[encoded.number], encoded.payload) {
            case (nil, _): return true
            case (.message(_, let schema), .bytes(let payload)), (.messages(_, let schema), .bytes(let payload)),
                (.inline(let schema), .bytes(let payload)):
                guard let projected = schema.project(payload) else { return false }
                result.field(encoded.number, projected)
            default: result.append(encoded.encoded)
            }
            return true
        }
        return isWellFormed ? result.bytes : nil
    }
}
