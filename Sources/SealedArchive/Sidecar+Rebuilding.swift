import Age
import Crypto
import HostIO

extension Sidecar {
    /// The sidecar of an archive that has lost its own, from what the sealed archive says and what can be measured of it.
    ///
    /// What was only in the lost one is not made up: the time is the beginning of the backup, and of findings and checks after
    /// the sealing nothing is known. The digest of the payload is for the caller to fill in.
    ///
    /// - Parameters:
    ///   - reader: the archive, open.
    ///   - file: its sealed bytes.
    ///   - header: its age header.
    ///   - identities: those of them that open the archive name its recipients.
    public init(
        rebuiltFrom reader: ArchiveReader, _ file: any RandomAccessBytes, header: Header,
        identities: [any Identity]
    ) throws {
        let manifest = try reader.readManifest()
        let object = SealedObject(
            size: file.byteCount, headerSize: header.byteCount,
            headerSHA256: Array(SHA256.hash(data: try file.bytes(at: 0, count: header.byteCount))).hexadecimal,
            payloadSHA256: "",
            tarSize: reader.tarByteCount, frameSize: reader.largestFrameByteCount, compressionLevel: 0)
        let sealed = SealedArchiveSummary(
            object: object, manifestSHA256: reader.manifestSHA256, entryCount: manifest.entries.count + 1)
        self.init(
            manifest: manifest, sealed: sealed,
            recipients: try header.stanzas.map { try RecipientRecord($0, openedBy: identities) },
            completedAt: manifest.archive.createdAt, sequence: manifest.sequence ?? 1,
            previousSidecarSHA256: manifest.previousSidecarSHA256)
        rebuilt = true
    }
}

extension Sidecar.RecipientRecord {
    /// What a stanza says of its recipient: the type, and the fingerprint if one of the identities is its private half.
    fileprivate init(_ stanza: Stanza, openedBy identities: [any Identity]) throws {
        let opener = try identities.first { try $0.unwrap([stanza]) != nil }
        let fingerprint = (opener as? any KeyIdentity)?.fingerprint
        self.init(type: stanza.type, fingerprint: fingerprint ?? "")
    }
}

extension KeyIdentity {
    fileprivate var fingerprint: String? { recipient.fingerprint }
}
