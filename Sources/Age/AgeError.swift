public import HostIO

/// What is wrong with an age file, a key or a list of recipients.
public struct AgeError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kinds of failure that callers tell apart.
    public enum Kind: Sendable, CaseIterable {
        /// The header is not in the form that the format demands, or is cut short.
        case header
        /// The header was changed: its MAC does not fit the file key.
        case headerMAC
        /// No identity opens the file.
        case noMatch
        /// The payload is damaged, cut short, or followed by other bytes.
        case payload
        /// The armor around a file is not in the form that the format demands.
        case armor
        /// A recipient, an identity or a file of them is malformed or not supported.
        case key
        /// The recipients can't be used, or can't be used together.
        case recipients
        /// The cryptographic library refused an operation.
        case library
    }

    /// Where in the input the failure was found.
    public enum Location: Sendable, Equatable {
        /// An offset in bytes from the start of the header.
        case headerOffset(Int)
        /// The index of a chunk of the payload, from 0.
        case chunk(Int)
        /// The number of a line, from 1.
        case line(Int)
    }

    /// The kind of failure.
    public var kind: Kind
    /// One lower-case sentence that names the object and the numbers; never the text of a key.
    public var message: String
    /// Where it was found, if that is known.
    public var location: Location?
    /// What to do next, when there is something sensible to say.
    public var hint: String?

    /// Creates an error from its parts.
    public init(_ kind: Kind, _ message: String, at location: Location? = nil, hint: String? = nil) {
        self.kind = kind
        self.message = message
        self.location = location
        self.hint = hint
    }

    /// The message alone.
    public var description: String { message }

    static func library(_ operation: String) -> AgeError {
        AgeError(
            .library, "libcrypto could not \(operation)", hint: "check the free memory and the OpenSSL installation")
    }
}

extension AgeError: FailureConvertible {
    /// The failure with the exit code that fits the kind.
    public var failure: Failure {
        let code: Failure.Code =
            switch kind {
            case .header, .payload, .armor: .integrity
            case .headerMAC, .noMatch: .untrusted
            case .key, .recipients: .usage
            case .library: .failed
            }
        return Failure(code, message, hint: hint)
    }
}

/// `1 stanza`, `2 stanzas`.
func counted(_ count: Int, _ noun: String) -> String {
    if count == 1 { return "1 \(noun)" }
    return noun.hasSuffix("y") ? "\(count) \(noun.dropLast())ies" : "\(count) \(noun)s"
}
