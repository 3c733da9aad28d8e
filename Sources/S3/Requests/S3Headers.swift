import HostIO

/// Fields of the header of a request or a response; names don't depend on case (RFC 9110, section 5.1).
///
/// Values may hold a session token or a signature, so printing shows the names only.
public struct S3Headers: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    /// One field.
    public struct Field: Sendable, Equatable {
        /// The name as it was written.
        public var name: String
        /// The value without blanks around it.
        public var value: String

        /// A field from its parts.
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// The fields in order.
    public private(set) var fields: [Field]

    /// Fields in order.
    public init(_ fields: [Field] = []) { self.fields = fields }

    /// Fields in the order that they are written in.
    public init(dictionaryLiteral elements: (String, String)...) { fields = elements.map { Field($0.0, $0.1) } }

    /// The value of the first field of a name; setting replaces all of that name, or removes them.
    public subscript(name: String) -> String? {
        get { fields.first { $0.name.isSameIgnoringASCIICase(name) }?.value }
        set {
            fields.removeAll { $0.name.isSameIgnoringASCIICase(name) }
            if let newValue { fields.append(Field(name, newValue)) }
        }
    }
}

extension S3Headers: CustomStringConvertible, CustomReflectable {
    /// The names.
    public var description: String { "header fields " + fields.map { printable($0.name) }.joined(separator: ", ") }
    /// Shows no value.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension String {
    func isSameIgnoringASCIICase(_ other: String) -> Bool {
        utf8.count == other.utf8.count && zip(utf8, other.utf8).allSatisfy { lowerCase($0) == lowerCase($1) }
    }
}

private func lowerCase(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
