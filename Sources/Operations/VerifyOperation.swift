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
    /// What only the sidecar says; empty without one.
    public var unconfirmed: [UnconfirmedField]
    /// How many snapshots of etcd are in it; nil without an identity.
    public var snapshotCount: Int?
    /// Those that other nodes' backups have, which were not looked at; nil for none.
    public var sharedSnapshots: [SharedSnapshot]?
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
            reference: archive.reference, checked: sidecar.map { [checkedOfSealed($0)] } ?? [],
            unconfirmed: sidecar == nil ? [] : [.allThatIsSealed], sealedSize: file.byteCount, durationSeconds: 0)
        if let identities {
            do {
                let content = try await withBlockingThread("etcd-snap.verify.content") {
                    try checkContent(file, sidecar, identities: identities, observer: observer)
                }
                report.contentSize = content.byteCount
                report.snapshotCount = content.snapshotCount
                report.sharedSnapshots = content.sharedSnapshots
                report.checked += content.checked
                report.unconfirmed = content.unconfirmed
            } catch  where !(error is CancellationError) {
                // What is wrong with the sealed bytes says more than what comes of decrypting them.
                try await sealed
                throw error
            }
        }
        try await sealed
        report.durationSeconds = (ContinuousClock.now - start).seconds
        return report
    }

    private static func checkedOfSealed(_ sidecar: Sidecar) -> String {
        let header = sidecar.object.headerSHA256 == nil ? "" : " and of its age header"
        return "size, types of recipients and sha256 of the sealed object\(header)"
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
                "\(quoted(file.name)): payload sha256 mismatch (object.payloadSHA256 of its sidecar is "
                    + "\(object.payloadSHA256.prefix(16))…, found \(digest.prefix(16))…)",
                hint: "it is damaged or was replaced: use another copy or another backup")
        }
    }

    /// Checks that the age header is one for the recipients of the sidecar, as far as that shows without an identity.
    static func checkHeader(_ file: any RandomAccessBytes, _ sidecar: Sidecar) throws {
        try sidecar.object.checkHeader(of: file)
        let header = try Header.read(from: file)
        let found = (types: header.stanzas.map(\.type), size: header.byteCount)
        let stated = (types: sidecar.recipients.map(\.type), size: sidecar.object.headerSize)
        guard found != stated else { return }
        let difference =
            found.types == stated.types
            ? "object.headerSize is \(found.size) and not \(stated.size)"
            : "recipients.type is \(found.types.map(quoted)) and not \(stated.types.map(quoted))"
        throw Failure(
            .integrity, "\(quoted(file.name)) is sealed for other recipients than its sidecar says: \(difference)",
            hint: "it was replaced or rewrapped: use another copy or another backup")
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

    /// What the check of an open archive came to.
    private struct ContentCheck: Sendable {
        var byteCount: Int
        var snapshotCount: Int
        var sharedSnapshots: [SharedSnapshot]?
        var checked: [String]
        var unconfirmed: [UnconfirmedField]
    }

    private static func checkContent(
        _ file: any RandomAccessBytes, _ sidecar: Sidecar?, identities: [any Identity], observer: Observer
    ) throws -> ContentCheck {
        let reader = try ArchiveReader(file, identities: identities)
        let comparison = try sidecar.map { try compared(reader, with: $0) }
        try comparison?.check(Header.read(from: file), openedBy: identities)
        let manifest = try reader.readManifest()
        let byteCount = try checkMembers(reader, comparison, observer: observer)
        let snapshotCount = manifest.etcd.count
        var checked = ["the manifest, and the sha256 of every entry"]
        if snapshotCount == 1 { checked.append("every page of etcd's database, and its trailer") }
        if snapshotCount > 1 { checked.append("every page of etcd's databases, and their trailers") }
        let unconfirmed = comparison?.unconfirmed(by: manifest) ?? []
        if let comparison {
            let fields = comparison.confirmed(except: unconfirmed).joined(separator: ", ")
            checked.append("of the sidecar against what is sealed: \(fields)")
        }
        return ContentCheck(
            byteCount: byteCount, snapshotCount: snapshotCount, sharedSnapshots: manifest.sharedSnapshots,
            checked: checked, unconfirmed: unconfirmed)
    }

    /// Reads all members and checks them against the manifest; snapshots of etcd page by page too.
    ///
    /// - Parameter comparison: what must agree with the snapshots, where a sidecar is at hand.
    /// - Returns: the number of bytes checked.
    @discardableResult
    static func checkMembers(
        _ reader: ArchiveReader, _ comparison: SidecarComparison? = nil, observer: Observer
    ) throws -> Int {
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
        _ = try compared(reader, with: sidecar)
    }

    private static func compared(_ reader: ArchiveReader, with sidecar: Sidecar) throws -> SidecarComparison {
        guard reader.manifestSHA256 == sidecar.manifestSHA256 else {
            throw Failure(
                .integrity,
                "\(quoted(reader.name)) has another manifest than its sidecar says: manifestSHA256 is "
                    + "\(reader.manifestSHA256.prefix(16))… and not \(sidecar.manifestSHA256.prefix(16))…",
                hint: "archive and sidecar do not belong together: compare them with another copy of the store")
        }
        let comparison = SidecarComparison(sidecar: sidecar, name: reader.name)
        try comparison.check(reader)
        return comparison
    }
}

extension UnconfirmedField {
    /// Without a key.
    fileprivate static let allThatIsSealed = UnconfirmedField(
        field: "everything else", value: "what the sidecar says", reason: "it is sealed, and no key was named")
}

extension Duration {
    /// The duration in seconds.
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
