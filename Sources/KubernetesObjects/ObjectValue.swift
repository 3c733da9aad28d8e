import FoundationEssentials

/// A part of a stored object, under the names that the Kubernetes API has for its fields.
///
/// Objects in protobuf and in JSON both become this, so that each kind is read in one way.
enum ObjectValue: Sendable, Hashable {
    case string(String)
    case integer(Int64)
    case boolean(Bool)
    case list([ObjectValue])
    case object([String: ObjectValue])
    case null

    /// The field of an object; nil for anything else.
    subscript(_ name: String) -> ObjectValue? {
        guard case .object(let fields) = self else { return nil }
        return fields[name]
    }

    /// Text that is not empty: protobuf writes absent strings as empty ones, and quantities may be JSON numbers.
    var text: String? {
        switch self {
        case .string(let text): text.isEmpty ? nil : text
        case .integer(let number): String(number)
        case .boolean(let flag): flag ? "true" : "false"
        default: nil
        }
    }

    var isTrue: Bool { self == .boolean(true) }

    var list: [ObjectValue] {
        if case .list(let elements) = self { elements } else { [] }
    }

    var texts: [String] { list.compactMap(\.text) }

    /// Appends to a list in place; anything else becomes a list first.
    mutating func append(_ element: ObjectValue) {
        var elements = list
        // Now the elements are held once, so that appending does not copy them.
        self = .null
        elements.append(element)
        self = .list(elements)
    }

    /// Sets a field of an object in place; anything else becomes an object first.
    mutating func set(_ value: ObjectValue, for name: String) {
        var fields: [String: ObjectValue] = [:]
        if case .object(let known) = self { fields = known }
        self = .null
        fields[name] = value
        self = .object(fields)
    }

    /// The elements of a list or the fields of an object.
    var count: Int {
        switch self {
        case .list(let elements): elements.count
        case .object(let fields): fields.count
        default: 0
        }
    }

    /// The fields of an object that are text.
    var textFields: [String: String] {
        guard case .object(let fields) = self else { return [:] }
        return fields.compactMapValues(\.text)
    }
}

extension ObjectValue: Decodable {
    private static let maximumDepth = 64

    /// Reads JSON; nil if it is malformed or deeper than any object of Kubernetes.
    init?(json: UnsafeRawBufferPointer) {
        guard Self.isShallow(json), let value = try? JSONDecoder().decode(Self.self, from: Data(json)) else {
            return nil
        }
        self = value
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let text = try? container.decode(String.self) {
            self = .string(text)
        } else if let flag = try? container.decode(Bool.self) {
            self = .boolean(flag)
        } else if let number = try? container.decode(Int64.self) {
            self = .integer(number)
        } else if let number = try? container.decode(Double.self) {
            self = .string("\(number)")
        } else if let elements = try? container.decode([ObjectValue].self) {
            self = .list(elements)
        } else {
            self = .object(try container.decode([String: ObjectValue].self))
        }
    }

    /// Decoding recurses, so brackets are counted before.
    private static func isShallow(_ json: UnsafeRawBufferPointer) -> Bool {
        var depth = 0
        var isInString = false
        var isEscaped = false
        for byte in json {
            guard !isEscaped else {
                isEscaped = false
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isInString.toggle()
            case UInt8(ascii: "\\") where isInString: isEscaped = true
            case _ where isInString: break
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            default: break
            }
            if depth > maximumDepth { return false }
        }
        return true
    }
}
