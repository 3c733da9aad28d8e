internal import HostIO

/// Whom a file is encrypted for.
public protocol Recipient: Sendable, CustomStringConvertible {
    /// The recipient as it is written in a file of recipients, such as `age1…`; for a passphrase, the word `scrypt`.
    var string: String { get }
    /// What all recipients of one file must have in common (C2SP age-plugin.md, "labels"): empty for classic keys,
    /// `postquantum` for those that resist quantum computers.
    var labels: Set<String> { get }
    /// The type of the one stanza that ``wrap(_:)`` writes.
    var stanzaType: String { get }
    /// A short name of the public key that stays the same for ever; nil if there is no public key.
    var fingerprint: String? { get }
    /// The stanzas that give `fileKey` to this recipient.
    ///
    /// - Throws: ``AgeError`` of kind `recipients` if the key can't be used, or `library`.
    func wrap(_ fileKey: FileKey) throws -> [Stanza]
}

extension Recipient {
    /// The recipient as it is written, which is public.
    public var description: String { string }
}

/// What opens a file.
public protocol Identity: Sendable {
    /// The file key from the first of `stanzas` that is for this identity, or nil if none is.
    ///
    /// - Throws: ``AgeError`` of kind `header` if a stanza of this identity's type is malformed, which is fatal even
    ///   if another stanza would do.
    func unwrap(_ stanzas: [Stanza]) throws -> FileKey?
}

/// An identity with a public half, that is not a passphrase.
public protocol KeyIdentity: Identity, CustomStringConvertible, CustomReflectable {
    /// The type of the public half.
    associatedtype PublicRecipient: Recipient
    /// The public half.
    var recipient: PublicRecipient { get }
    /// The identity as it is written in a file of identities, in upper case. It is secret: wipe it after use.
    func encoded() -> [UInt8]
}

extension KeyIdentity {
    /// Names the public half, and says nothing about the identity.
    public var description: String { "identity of \(recipient.string)" }
    /// Shows nothing of the identity.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// `SHA256:` and the SHA-256 of a recipient's key (the bytes that its Bech32 string holds) in base64 without padding,
/// in the style of `ssh-keygen -l`.
func fingerprint(ofKey key: [UInt8]) -> String {
    "SHA256:" + String(ascii: Base64.encode(SHA256Hasher.digest(of: key)))
}

/// The rule for recipients of one file: at least one, and all with the same labels.
///
/// A passphrase has a label that nobody else has, so it is alone.
///
/// - Throws: ``AgeError`` of kind `recipients`.
func checkTogether(_ recipients: [any Recipient]) throws(AgeError) {
    guard let first = recipients.first else {
        throw AgeError(
            .recipients, "there is no recipient to encrypt for", hint: "name at least one recipient, such as age1…")
    }
    guard let other = recipients.first(where: { $0.labels != first.labels }) else { return }
    let types = Set([first.stanzaType, other.stanzaType])
    if types.contains(ScryptRecipient.stanzaType) {
        throw AgeError(
            .recipients, "a passphrase can't be used together with another recipient",
            hint: "encrypt for keys, or for one passphrase alone")
    }
    throw AgeError(
        .recipients,
        "recipients of type \(types.sorted().joined(separator: " and ")) can't be mixed in one file",
        hint: "a file is only as safe from quantum computers as its weakest recipient: "
            + "use post-quantum recipients (age1pq1…) for all, or for none")
}
