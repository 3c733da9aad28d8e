/// A field of a message's head: its name and its value (RFC 9110, section 5).
public struct HTTPField: Hashable, Sendable {
    /// The name, in any case.
    public var name: String
    /// The value, without blanks around it.
    public var value: String

    /// A field of a name and a value.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    /// Whether a name is this field's: names have no case.
    public func isNamed(_ name: String) -> Bool { Self.isEqual(self.name, name) }

    /// Whether two names are the same but for the case of their letters.
    static func isEqual(_ left: String, _ right: String) -> Bool {
        left.utf8.elementsEqual(right.utf8) { lowercased($0) == lowercased($1) }
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }

    /// What makes this no field that may be sent; nil for nothing.
    ///
    /// A line end in it would begin another field. The value is never named: it may be a secret.
    var problem: String? {
        guard Self.isToken(name) else { return "\(Self.shown(name)) is no name of a field" }
        for scalar in value.unicodeScalars where scalar.value < 0x20 && scalar != "\t" || scalar.value == 0x7F {
            let number = String(scalar.value, radix: 16, uppercase: true)
            return "the value of the field \(Self.shown(name)) has a control character (\(number) in hexadecimal)"
        }
        if value.first == " " || value.last == " " || value.first == "\t" || value.last == "\t" {
            return "the value of the field \(Self.shown(name)) has blanks around it"
        }
        return nil
    }

    /// Whether a text is a token (RFC 9110, section 5.6.2).
    static func isToken(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }

    /// The name for people; what is no name may be anything.
    private static func shown(_ name: String) -> String { isToken(name) ? name : "a text of \(name.utf8.count) bytes" }
}

extension [HTTPField] {
    /// The value of the first field of a name, whatever its case.
    public subscript(_ name: String) -> String? { first { $0.isNamed(name) }?.value }

    /// The values of all fields of a name, in order.
    public func values(of name: String) -> [String] { filter { $0.isNamed(name) }.map(\.value) }
}
