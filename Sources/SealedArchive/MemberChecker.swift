import Crypto
import HostIO

/// Checks the members of an archive, as they are read in order, against its manifest.
///
/// Every member must be the one that the manifest lists at that place, with everything that is listed of it: type, size,
/// place in the tar, owner, mode, time, link target and digest; an etcd snapshot must besides carry its own digest in its last 32 bytes,
/// as etcd sent it. The archive's header, the first member, must be the one that the manifest repeats.
public struct MemberChecker {
    private static let trailerSize = 32
    private static let maximumHeaderSize = 64 << 10

    private let manifest: Manifest
    private let manifestSHA256: String
    private let name: String
    private var index = 0
    private var hash = SHA256()
    private var remainingByteCount = 0
    private var trailer: [UInt8] = []
    private var databaseDigest: [UInt8]?
    /// What was read of the archive's header; nil in other members.
    private var header: [UInt8]?
    /// The number of bytes checked in members so far.
    public private(set) var checkedByteCount = 0

    /// A checker for the archive that `reader` has open.
    public init(_ reader: ArchiveReader) throws {
        manifest = try reader.readManifest()
        manifestSHA256 = reader.manifestSHA256
        name = reader.name
    }

    /// Begins the next member.
    ///
    /// - Throws: ``Failure`` with the code `integrity` if another one is due.
    public mutating func begin(_ member: ArchiveMember) throws(Failure) {
        let metadata = member.metadata
        hash = SHA256()
        trailer = []
        databaseDigest = nil
        remainingByteCount = metadata.byteCount
        header = nil
        guard let entry = current else {
            guard index == manifest.entries.count, metadata.displayPath == ArchiveFormat.manifestPath else {
                throw unexpected(metadata, expected: ArchiveFormat.manifestPath)
            }
            return
        }
        guard entry.path == metadata.displayPath, entry.kind == metadata.kind, entry.size == metadata.byteCount else {
            throw unexpected(metadata, expected: "\(entry.kind) \(entry.path) of \(entry.size) bytes")
        }
        if index == 0 {
            guard entry.path == ArchiveFormat.headerPath, entry.size <= Self.maximumHeaderSize else {
                throw unexpected(metadata, expected: ArchiveFormat.headerPath)
            }
            header = []
        }
        guard entry.offset == member.offset else {
            throw Failure(
                .integrity,
                "\(quoted(name)): member \(quoted(entry.path)) begins at \(member.offset), "
                    + "the manifest says at \(entry.offset)", hint: "use another backup: `etcd-snap list`")
        }
        guard entry.kind != .file || entry.sha256 != nil else {
            throw Failure(
                .integrity, "\(quoted(name)): the manifest has no sha256 of the file \(quoted(entry.path))",
                hint: "use another backup: `etcd-snap list`")
        }
        guard entry.describes(metadata) else {
            throw Failure(
                .integrity,
                "\(quoted(name)): owner, mode, time or link target of member \(quoted(entry.path)) "
                    + "are not those of the manifest", hint: "use another backup: `etcd-snap list`")
        }
    }

    /// Takes the next bytes of the member.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        checkedByteCount += bytes.count
        header?.append(contentsOf: bytes)
        let isSnapshot = current?.role == EntryRole.etcd
        let databaseCount = isSnapshot ? max(0, min(bytes.count, remainingByteCount - Self.trailerSize)) : bytes.count
        remainingByteCount -= bytes.count
        hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[..<databaseCount]))
        guard databaseCount < bytes.count else { return }
        if databaseDigest == nil { databaseDigest = Array(hash.finalize()) }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[databaseCount...])
        trailer += rest
        hash.update(bufferPointer: rest)
    }

    /// Ends the member.
    ///
    /// - Throws: ``Failure`` with the code `integrity` if its digest is not the manifest's.
    public mutating func end() throws(Failure) {
        defer { index += 1 }
        let digest = Array(hash.finalize()).hexadecimal
        guard let entry = current else {
            return try check(digest, manifestSHA256, ArchiveFormat.manifestPath)
        }
        if let expected = entry.sha256 { try check(digest, expected, entry.path) }
        if let header { try checkHeader(header) }
        if entry.role == EntryRole.etcd {
            let digest = databaseDigest?.hexadecimal ?? "nothing"
            try check(digest, trailer.hexadecimal, "\(entry.path), by its own trailer")
        }
    }

    /// Ends the archive.
    ///
    /// - Throws: ``Failure`` with the code `integrity` if members are missing.
    public func finish() throws(Failure) {
        guard index == manifest.entries.count + 1 else {
            throw Failure(
                .integrity, "\(quoted(name)) has \(index) members, its manifest lists \(manifest.entries.count + 1)")
        }
    }

    private var current: ManifestEntry? { index < manifest.entries.count ? manifest.entries[index] : nil }

    private func checkHeader(_ bytes: [UInt8]) throws(Failure) {
        let header = try? DocumentCoding.decode(ArchiveHeader.self, from: bytes, name: ArchiveFormat.headerPath)
        guard header != manifest.archive else { return }
        throw Failure(
            .integrity, "\(quoted(name)): \(ArchiveFormat.headerPath) is not the header that the manifest repeats",
            hint: "use another backup: `etcd-snap list`")
    }

    private func check(_ digest: String, _ expected: String, _ member: String) throws(Failure) {
        guard digest == expected else {
            throw Failure(
                .integrity,
                "\(quoted(name)): \(member): sha256 mismatch (expected \(expected.prefix(16))…, found \(digest.prefix(16))…)",
                hint: "use another backup: `etcd-snap list`")
        }
    }

    private func unexpected(_ metadata: EntryMetadata, expected: String) -> Failure {
        Failure(
            .integrity,
            "\(quoted(name)): member \(index + 1) is \(quoted(metadata.displayPath)) of \(metadata.byteCount) bytes, "
                + "expected \(expected)")
    }
}

/// What a member is in a control plane, as the manifest names it.
public enum EntryRole {
    /// The archive's own header.
    public static let header = "header"
    /// A snapshot of etcd.
    public static let etcd = "etcd"
    /// A path that the configuration named.
    public static let include = "include"
}
