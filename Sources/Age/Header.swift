internal import Crypto
internal import FoundationEssentials
public import HostIO

/// The header of an age file (C2SP age.md, "Header"): version line, recipient stanzas, MAC.
///
/// ```
/// "age-encryption.org/v1" LF
/// one or more stanzas
/// "--- " MAC in 43 characters of base64 LF
/// ```
/// The bytes are kept as they were read: parsing accepts only the one spelling that ``serialized`` would write.
public struct Header: Sendable, Equatable {
    /// The most bytes in a header, as in age 1.3.2.
    public static let byteCountLimit = 2 << 20
    /// The most stanzas in a header, as in age 1.3.2.
    public static let stanzaCountLimit = 1024
    static let versionLine = Array("age-encryption.org/v1\n".utf8)
    static let macPrefix = Array("---".utf8)
    static let macByteCount = 32

    /// The stanzas, in order.
    public let stanzas: [Stanza]
    /// HMAC-SHA-256 over everything up to and including `---`.
    public let mac: [UInt8]
    /// The whole header.
    ///
    /// The payload, which begins with its nonce, comes right after it in a file.
    public let bytes: [UInt8]

    /// The length of the header, which is the offset of the payload in its file.
    public var byteCount: Int { bytes.count }

    init(stanzas: [Stanza], mac: [UInt8], bytes: [UInt8]) {
        self.stanzas = stanzas
        self.mac = mac
        self.bytes = bytes
    }

    /// Writes a header that gives `fileKey` to each of `recipients`.
    ///
    /// With the file key of an existing file this is a rewrap: the new header can take the place of the old one, and
    /// the payload stays as it is.
    ///
    /// - Throws: ``AgeError`` of kind `recipients` if there are none, too many, or ones that must not be mixed.
    public init(recipients: [any Recipient], fileKey: FileKey) throws {
        try checkTogether(recipients)
        try self.init(stanzas: recipients.flatMap { try $0.wrap(fileKey) }, fileKey: fileKey)
    }

    package init(stanzas: [Stanza], fileKey: FileKey) throws(AgeError) {
        guard !stanzas.isEmpty else { throw AgeError(.recipients, "a header needs at least one stanza") }
        let signed = Self.versionLine + stanzas.flatMap(\.serialized) + Self.macPrefix
        let mac = Array(HMAC<SHA256>.authenticationCode(for: signed, using: fileKey.headerKey))
        let bytes = signed + [UInt8(ascii: " ")] + Base64.encode(mac) + [newline]
        guard stanzas.count <= Self.stanzaCountLimit, bytes.count <= Self.byteCountLimit else {
            throw AgeError(
                .recipients,
                "\(counted(stanzas.count, "stanza")) in \(bytes.count) bytes are more than a header may have",
                hint: "use fewer recipients, at most \(Self.stanzaCountLimit)")
        }
        self.init(stanzas: stanzas, mac: mac, bytes: bytes)
    }

    /// The header as it is written anew from its parts; equal to ``bytes``.
    public var serialized: [UInt8] {
        Self.versionLine + stanzas.flatMap(\.serialized) + Self.macPrefix + [UInt8(ascii: " ")]
            + Base64.encode(mac) + [newline]
    }

    /// Whether the header is the one that was made with this file key; takes the same time for any MAC.
    public func isAuthentic(fileKey: FileKey) -> Bool {
        // The MAC line without its dashes: a space, the MAC and the end of the line.
        let signed = bytes.dropLast(Self.macLineTailByteCount)
        return HMAC<SHA256>.isValidAuthenticationCode(mac, authenticating: signed, using: fileKey.headerKey)
    }

    private static let macLineTailByteCount = 1 + 43 + 1
}

extension Header {
    /// Reads the header at the start of a file.
    ///
    /// - Throws: ``AgeError`` of kind `header`, or the source's error.
    public static func read(from source: any RandomAccessBytes) throws -> Header {
        var parser = HeaderParser(name: source.name)
        var offset = 0
        // One recipient's header fits the first read; the limit on headers bounds the rest.
        var readByteCount = 4096
        while parser.header == nil {
            let bytes = try source.bytes(at: offset, count: readByteCount)
            if bytes.isEmpty { break }
            offset += try bytes.withBytes { (bytes) throws(AgeError) in try parser.parse(bytes) }
            readByteCount = 65536
        }
        return try parser.finish()
    }
}
