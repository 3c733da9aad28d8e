public import HostIO

/// An age file in a source that can be sought, opened with an identity.
public struct OpenedFile: Sendable {
    /// The file's header.
    public let header: Header
    /// The file key, for instance to write another header for it.
    public let fileKey: FileKey
    /// The plaintext.
    public let payload: PayloadReader

    /// Reads the header, finds the file key, and checks that the payload is complete.
    ///
    /// - Throws: ``AgeError`` of any kind that a file can have, or the source's error.
    public init(_ source: any RandomAccessBytes, identities: [any Identity]) throws {
        header = try Header.read(from: source)
        // The stanzas are tried only then, for a file without a nonce is malformed whatever its stanzas are.
        guard source.byteCount >= header.byteCount + PayloadFormat.nonceByteCount else {
            throw PayloadFailure.noNonce(source.name)
        }
        fileKey = try header.unlock(with: identities, name: source.name)
        payload = try PayloadReader(source: source, payloadOffset: header.byteCount, fileKey: fileKey)
    }
}

extension Header {
    /// The file key, by the first identity that opens a stanza, once the header's MAC was checked with it.
    ///
    /// - Parameter name: what errors call the file.
    /// - Throws: ``AgeError``: `header` if the stanzas break a rule, `noMatch` if no identity opens one, `headerMAC` if
    ///   the header was changed.
    public func unlock(with identities: [any Identity], name: String) throws -> FileKey {
        try ScryptIdentity.checkAlone(stanzas)
        for identity in identities {
            guard let fileKey = try unwrap(with: identity, name: name) else { continue }
            guard isAuthentic(fileKey: fileKey) else {
                throw AgeError(
                    .headerMAC, "the age header of \(quoted(name)) was changed: its MAC does not fit",
                    hint: "do not trust the file: get it again from where it came")
            }
            return fileKey
        }
        throw noMatch(identities, name: name)
    }

    /// Says of which file a malformed stanza is.
    private func unwrap(with identity: any Identity, name: String) throws -> FileKey? {
        do {
            return try identity.unwrap(stanzas)
        } catch var error as AgeError where error.kind == .header {
            error.message = "\(quoted(name)): \(error.message)"
            throw error
        }
    }

    private func noMatch(_ identities: [any Identity], name: String) -> AgeError {
        let isPassphraseFile = stanzas.contains { $0.type == ScryptRecipient.stanzaType }
        if isPassphraseFile, identities.contains(where: { $0 is ScryptIdentity }) {
            return AgeError(.noMatch, "the passphrase does not open \(quoted(name))", hint: "type the passphrase again")
        }
        let types = Set(stanzas.map(\.type)).sorted().prefix(5).map(Self.shortened).joined(separator: ", ")
        let message =
            identities.isEmpty
            ? "there is no identity to open \(quoted(name)) with"
            : "none of \(counted(identities.count, "identity")) opens \(quoted(name))"
        let remedy = isPassphraseFile ? "give its passphrase" : "give the identity of one of its recipients"
        return AgeError(
            .noMatch, message, hint: "its header has \(counted(stanzas.count, "stanza")) of type \(types): \(remedy)")
    }

    /// Types come from an untrusted file, and may be long.
    private static func shortened(_ type: String) -> String { type.count <= 32 ? type : type.prefix(32) + "…" }
}
