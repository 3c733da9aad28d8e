internal import HostIO

/// What the strings of native recipients and identities have in common.
enum KeyText {
    enum Role {
        case recipient, identity

        var noun: String { self == .recipient ? "recipient" : "identity" }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { [UInt8(ascii: " "), UInt8(ascii: "\t")].contains(byte) }

    /// The payload of a Bech32 string with a known human-readable part, in the one case that age accepts.
    ///
    /// Errors never hold the text, for it may be a secret key in the wrong place.
    static func decode(
        _ text: some Collection<UInt8>, as role: Role, part: String, count: Int
    ) throws(AgeError) -> [UInt8] {
        if let first = text.first, isBlank(first) || text.dropFirst(text.count - 1).first.map(isBlank) == true {
            throw AgeError(
                .key, "the \(role.noun) has blanks \(isBlank(first) ? "before" : "behind") it",
                hint: "remove the blanks: nothing else may be in its line, for age too")
        }
        guard text.starts(with: part.utf8) else {
            throw AgeError(
                .key, "the \(role.noun) does not begin with \(part)1", hint: "copy the whole line again from its source"
            )
        }
        var payload: [UInt8]
        let decodedPart: String
        do {
            (decodedPart, payload) = try Bech32.decode(text)
        } catch {
            throw AgeError(
                .key, "the \(role.noun) is malformed: \(error.rawValue)",
                hint: "copy the whole line again from its source")
        }
        guard decodedPart == part.lowercased(), payload.count == count else {
            wipe(&payload)
            throw AgeError(
                .key, "the \(role.noun) is not \(part)1 followed by \(count) bytes",
                hint: "copy the whole line again from its source")
        }
        return payload
    }
}
