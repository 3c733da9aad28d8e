import Age
import ArchiveStore
import Crypto
import EtcdStorage
import FoundationEssentials
import HostIO
import SealedArchive

/// What a verification found; it found nothing wrong, or it would have thrown.
public struct VerifyReport: Codable, Sendable {
    /// Which archive.
    public var reference: String
    /// What was checked, in words.
    public var checked: [String]
    /// The size of the sealed object in bytes.
    public var sealedSize: Int
    /// The bytes of the entries that were decrypted and hashed; nil without an identity.
    public var contentSize: Int?
    /// How long it took, in seconds.
    public var durationSeconds: Double
}

/// Reads a stored archive back and checks it.
public enum VerifyOperation {
    /// Checks the sealed bytes against the sidecar; with identities also everything inside against the manifest.
    ///
    /// - Throws: ``Failure`` with the code `integrity` for the first thing that does not hold, `untrusted` if no identity
    ///   opens the archive, `usage` where there is neither a sidecar nor an identity.
    public static func run(
        _ archive: OpenedArchive, identities: [any Identity]?, observer: Observer = Observer()
    ) async throws -> VerifyReport {
        let start = ContinuousClock.now
        let (file, sidecar) = (archive.file, archive.sidecar)
        if let failure = archive.sidecarFailure { throw failure }
        guard sidecar != nil || identities != nil else {
            throw Failure(
                .usage, "\(quoted(archive.reference)) has no sidecar beside it to be checked against",
                hint: "copy the sidecar beside it, or name the file of your key", settings: [.identity])
        }
        async let sealed: Void = withBlockingThread("etcd-snap.verify.sealed") {
            guard let sidecar else { return }
            try checkSealed(file, sidecar, observer: identities == nil ? observer : Observer())
        }
        var report = VerifyReport(
            reference: archive.reference, checked: [], sealedSize: file.byteCount, durationSeconds: 0)
        if let identities {
            do {
                report.contentSize = try await withBlockingThread("etcd-snap.verify.content") {
                    try checkContent(file, sidecar, identities: identities, observer: observer)
                }
            } catch  where !(error is CancellationError) {
                // What is wrong with the sealed bytes says more than what comes of decrypting them.
                try await sealed
                throw error
            }
        }
        try await sealed
        report.checked = checked(sidecar, hasContent: identities != nil)
        report.durationSeconds = (ContinuousClock.now - start).seconds
        return report
    }

    /// What was checked, in words.
    private static func checked(_ sidecar: Sidecar?, hasContent: Bool) -> [String] {
        var checked: [String] = []
        if let sidecar {
            let header = sidecar.object.headerSHA256 == nil ? "" : " and of its age header"
            checked.append("size, types of recipients and sha256 of the sealed object\(header)")
        }
        if hasContent {
            checked.append(
                "every entry's sha256, every page of etcd's database, its trailer, the manifest"
                    + (sidecar == nil ? "; there is no sidecar" : ", and what the sidecar says of them"))
        }
        return checked
    }

    /// Size, recipients and digest of the sealed object, for which no identity is needed.
    static func checkSealed(_ file: any RandomAccessBytes, _ sidecar: Sidecar, observer: Observer) throws {
        let object = sidecar.object
        try object.checkSize(file.byteCount, of: file.name)
        try checkHeader(file, sidecar)
        let digest = try hash(file, from: object.headerSize, observer: observer).hexadecimal
        guard digest == object.payloadSHA256 else {
            throw Failure(
                .integrity,
                "\(quoted(file.name)): payload sha256 mismatch (expected \(object.payloadSHA256.prefix(16))…, "
                    + "found \(digest.prefix(16))…)",
                hint: "it is damaged or was replaced: use another copy or another backup")
        }
    }

    /// Checks that the age header is one for the recipients of the sidecar, as far as that shows without an identity.
    static func checkHeader(_ file: any RandomAccessBytes, _ sidecar: Sidecar) throws {
        try sidecar.object.checkHeader(of: file)
        let header = try Header.read(from: file)
        let types = header.stanzas.map(\.type)
        guard header.byteCount == sidecar.object.headerSize, types == sidecar.recipients.map(\.type) else {
            throw Failure(
                .integrity, "\(quoted(file.name)) is sealed for other recipients than its sidecar says",
                hint: "it was replaced or rewrapped: use another copy or another backup")
        }
    }

    /// SHA-256 of what follows the first `start` bytes of a file.
    static func hash(_ file: any RandomAccessBytes, from start: Int, observer: Observer) throws -> [UInt8] {
        var hash = SHA256()
        let block = ByteBlock(capacity: 1 << 20)
        var offset = start
        while offset < file.byteCount {
            try Task.checkCancellation()
            try block.fill { try file.read(at: offset, into: $0) }
            guard block.count > 0 else { throw Failure(.integrity, "\(quoted(file.name)) became shorter meanwhile") }
            block.withUnsafeBytes { hash.update(bufferPointer: $0) }
            offset += block.count
            observer.progress(Progress(phase: "verify", doneByteCount: offset, totalByteCount: file.byteCount))
        }
        return Array(hash.finalize())
    }

    private static func checkContent(
        _ file: any RandomAccessBytes, _ sidecar: Sidecar?, identities: [any Identity], observer: Observer
    ) throws -> Int {
        let reader = try ArchiveReader(file, identities: identities)
        if let sidecar { try check(reader, against: sidecar) }
        return try checkMembers(reader, against: sidecar, observer: observer)
    }

    /// Reads all members and checks them against the manifest; snapshots of etcd page by page too.
    ///
    /// - Parameter sidecar: what must agree with the snapshots, where it is at hand.
    /// - Returns: the number of bytes checked.
    @discardableResult
    static func checkMembers(
        _ reader: ArchiveReader, against sidecar: Sidecar? = nil, observer: Observer
    ) throws -> Int {
        let comparison = sidecar.map { SidecarComparison(sidecar: $0, name: reader.name) }
        var checker = try MemberChecker(reader)
        let records = try reader.readManifest().etcd
        try reader.forEachMember { member in
            try checker.begin(member)
            let path = member.metadata.displayPath
            let record = records.first { path == $0.path }
            let verifier = record.map { _ in SnapshotVerifier(name: path, checksTrailer: false) }
            try member.forEachPiece { piece in
                try Task.checkCancellation()
                checker.update(piece)
                try verifier?.consume(piece)
                observer.progress(
                    Progress(
                        phase: "verify", doneByteCount: checker.checkedByteCount, totalByteCount: reader.tarByteCount))
            }
            // The digest first: it says best what is wrong with damaged bytes.
            try checker.end()
            if let verifier, let record { try checkStructure(verifier, record, reader, comparison) }
        }
        try checker.finish()
        return checker.checkedByteCount
    }

    private static func checkStructure(
        _ verifier: SnapshotVerifier, _ record: EtcdSnapshotRecord, _ reader: ArchiveReader,
        _ comparison: SidecarComparison?
    ) throws {
        let path = record.path
        guard let entry = try reader.readManifest().entries.first(where: { $0.path == path }) else { return }
        let stored = try reader.bytes(of: entry)
        let verified = try verifier.finishKeepingPages(rereading: stored)
        let contents = try verified.report.requireSound(trailer: .ignored)
        try expect("hash", of: path, record.hash, contents.hash)
        try expect("revision", of: path, record.revision, contents.currentRevision)
        try expect("compact revision", of: path, record.compactRevision, contents.compactRevision)
        try expect("HashKV", of: path, record.hashKV, contents.hashKV?.hash)
        try comparison?.check(verified, of: record.name, stored: stored)
    }

    /// What is known on one side only is not compared.
    private static func expect<Number: FixedWidthInteger>(
        _ name: String, of path: String, _ recorded: Number?, _ found: Number?
    ) throws(Failure) {
        guard let recorded, let found, recorded != found else { return }
        throw Failure(
            .integrity, "\(quoted(path)) has the \(name) \(found), the manifest says \(recorded)",
            hint: "use another backup: `etcd-snap list`")
    }

    /// That the archive is the one that the sidecar describes.
    static func check(_ reader: ArchiveReader, against sidecar: Sidecar) throws {
        guard reader.manifestSHA256 == sidecar.manifestSHA256 else {
            throw Failure(
                .integrity, "\(quoted(reader.name)) has another manifest than its sidecar says",
                hint: "archive and sidecar do not belong together: compare them with another copy of the store")
        }
        try SidecarComparison(sidecar: sidecar, name: reader.name)
            .check(reader.readManifest(), tarByteCount: reader.tarByteCount)
    }
}

extension Duration {
    /// The duration in seconds.
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
