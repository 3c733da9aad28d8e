import HostIO

/// Where the manifest is in the uncompressed tar; a skippable frame just before the seek table.
///
/// ```
/// u32le 0x184D2A5D | u32le size of what follows: 64, more in what later programs write
/// "esnapmf" | u8 version, '1' | u64le offset of the manifest's bytes in the tar | u64le their count
/// 32 bytes SHA-256 of them | u64le features that a reader must know, a bit each
/// ```
/// What follows the features is passed over. Where the frame ends before them, none is required.
struct ManifestLocator: Equatable {
    static let skippableMagic: UInt32 = 0x184D_2A5D
    static let tag = Array("esnapmf".utf8)
    static let encodedSize = SkippableFrame.overhead + 64
    /// The largest frame that is read as a locator.
    static let maximumEncodedSize = 4096
    /// The largest manifest that is written or read, into memory as a whole: some 300,000 entries.
    static let maximumManifestSize = 128 << 20

    var offset: Int
    var byteCount: Int
    var sha256: [UInt8]
    /// A bit for each feature that a reader must know.
    var requiredFeatures: UInt64 = 0

    func encode() -> [UInt8] {
        var content = Self.tag + [UInt8(ascii: "0") + UInt8(FormatRules.version)]
        appendLittleEndian(UInt64(offset), to: &content)
        appendLittleEndian(UInt64(byteCount), to: &content)
        content += sha256
        appendLittleEndian(requiredFeatures, to: &content)
        return SkippableFrame.encode(magic: Self.skippableMagic, content: content)
    }
}

extension ManifestLocator {
    /// Reads a locator from its whole skippable frame; nil if the bytes are not one.
    ///
    /// - Parameter name: names the archive in errors.
    /// - Throws: ``Failure`` with the code `failed` for one of a later version, or one that requires what this code does
    ///   not know; `integrity` for a manifest that is too large.
    init?(_ bytes: [UInt8], name: String) throws(Failure) {
        guard let content = SkippableFrame.decode(magic: Self.skippableMagic, bytes) else { return nil }
        var reader = LittleEndianReader(content)
        guard reader.read(count: Self.tag.count).map(Array.init) == Self.tag, let digit = reader.read(UInt8.self),
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit)
        else { return nil }
        let subject = "the manifest locator of \(quoted(name))"
        try FormatRules(version: Int(digit - UInt8(ascii: "0")), requiredFeatures: []).check(subject)
        guard let offset = reader.read(UInt64.self), let count = reader.read(UInt64.self),
            let sha256 = reader.read(count: 32), let features = reader.isAtEnd ? 0 : reader.read(UInt64.self),
            offset <= UInt64(Int.max), count <= UInt64(Int.max)
        else { return nil }
        let required = (0..<64).filter { features >> UInt64($0) & 1 == 1 }.map { "locator bit \($0)" }
        try FormatRules(version: FormatRules.version, requiredFeatures: required).check(subject)
        try Self.checkManifestSize(Int(count), code: .integrity, name: name)
        self.init(offset: Int(offset), byteCount: Int(count), sha256: Array(sha256), requiredFeatures: features)
    }

    /// - Throws: ``Failure`` with that code for a manifest that no reader takes.
    static func checkManifestSize(
        _ byteCount: Int, limit: Int = maximumManifestSize, code: Failure.Code, name: String
    ) throws(Failure) {
        guard byteCount > limit else { return }
        throw Failure(
            code, "the manifest of \(quoted(name)) has \(byteCount) bytes, at most \(limit) are read",
            hint: code == .integrity
                ? "it was not made by etcd-snap; `etcd-snap unseal` opens any age file"
                : "capture fewer files: see `exclude` and `include` in the configuration")
    }
}
