internal import HostIO

/// One recipient stanza of a header: a way to the file key for whoever holds the identity it is for.
///
/// ```
/// "-> " type *( SP argument ) LF   body in base64, 64 columns, the last line shorter than 64 (maybe empty) LF
/// ```
public struct Stanza: Sendable, Equatable {
    /// The first argument, such as `X25519`.
    ///
    /// Types that nobody knows are ignored when a file is opened.
    public let type: String
    /// The arguments after the type.
    public let arguments: [String]
    /// The decoded body.
    public let body: [UInt8]

    /// The most arguments after the type, as in age 1.3.2.
    public static let argumentCountLimit = 128
    static let prefix = Array("-> ".utf8)
    static let columnCount = 64

    /// A stanza made by a recipient.
    ///
    /// - Precondition: the type and each argument are one or more characters from 0x21 to 0x7E, and there are not too
    ///   many arguments.
    public init(type: String, arguments: [String], body: [UInt8]) {
        precondition(
            ([type] + arguments).allSatisfy { Self.isArgument($0.utf8) }, "a stanza has an argument that is not legal")
        precondition(arguments.count <= Self.argumentCountLimit, "a stanza has too many arguments")
        self.type = type
        self.arguments = arguments
        self.body = body
    }

    static func isArgument(_ bytes: some Collection<UInt8>) -> Bool {
        !bytes.isEmpty && bytes.allSatisfy { (0x21...0x7E).contains($0) }
    }

    /// The stanza as it stands in a header.
    var serialized: [UInt8] {
        var text = Self.prefix + Array(([type] + arguments).joined(separator: " ").utf8) + [newline]
        var rest = Base64.encode(body)[...]
        while rest.count >= Self.columnCount {
            text += rest.prefix(Self.columnCount) + [newline]
            rest = rest.dropFirst(Self.columnCount)
        }
        return text + rest + [newline]
    }
}

let newline = UInt8(ascii: "\n")
