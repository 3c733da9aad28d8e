import Age
import Crypto
import FoundationEssentials
import HostIO

/// The public description of an archive, stored beside it as `<id>.json`; its presence says that the archive is complete.
///
/// It holds no secret, and is all that can be said of an archive without an identity.
public struct Sidecar: Codable, Sendable, RuledDocument {
    /// The sealed object.
    public struct SealedObject: Codable, Sendable {
        /// The size of the whole age file in bytes.
        public var size: Int
        /// The size of its age header in bytes; the payload follows.
        public var headerSize: Int
        /// SHA-256 of the age header in hexadecimal, by which damage shows without a key; a rewrap renews it.
        public var headerSHA256: String?
        /// SHA-256 of the payload (its nonce and chunks), in hexadecimal: a rewrap of the header leaves it as it is.
        public var payloadSHA256: String
        /// The size of the uncompressed tar in bytes.
        public var tarSize: Int
        /// The input size of a zstd frame in bytes; the largest frame's of an archive whose sidecar was rebuilt.
        public var frameSize: Int
        /// The zstd level; 0 when it is not known, which frames do not tell.
        public var compressionLevel: Int

        /// Checks that the age header of a stored object is the one that was written, as far as that is known.
        ///
        /// - Throws: ``Failure`` with the code `integrity` if it is another one; the source's error.
        public func checkHeader(of file: any RandomAccessBytes) throws {
            guard let headerSHA256 else { return }
            let bytes = try file.bytes(at: 0, count: min(headerSize, Header.byteCountLimit))
            let digest = Array(SHA256.hash(data: bytes)).hexadecimal
            guard digest != headerSHA256 else { return }
            if let found = try? Header.read(from: file).byteCount, found != headerSize {
                throw Failure(
                    .integrity,
                    "\(quoted(file.name)): its age header has \(found) bytes, its sidecar says \(headerSize) in "
                        + "object.headerSize",
                    hint: "it was replaced, or its sidecar was changed: use another copy or another backup")
            }
            throw Failure(
                .integrity,
                "\(quoted(file.name)): age header sha256 mismatch (object.headerSHA256 of its sidecar is "
                    + "\(headerSHA256.prefix(16))…, found \(digest.prefix(16))…)",
                hint: "it is damaged, or was replaced without its sidecar: use another copy or another backup")
        }

        /// Checks the size of a stored object called `name`.
        ///
        /// - Throws: ``Failure`` with the code `integrity` if it is another one.
        public func checkSize(_ byteCount: Int, of name: String) throws(Failure) {
            guard byteCount != size else { return }
            throw Failure(
                .integrity, "\(quoted(name)) has \(byteCount) bytes, its sidecar says \(size) in object.size",
                hint: "it is cut short or was replaced: use another copy or another backup")
        }
    }

    /// A public key that opens the archive.
    public struct RecipientRecord: Codable, Sendable, Equatable {
        /// The stanza type: `X25519`, `mlkem768x25519`.
        public var type: String
        /// The fingerprint of the recipient.
        public var fingerprint: String
        /// What the configuration calls it; nothing vouches for that.
        public var label: String?

        /// A record from its parts.
        public init(type: String, fingerprint: String, label: String? = nil) {
            self.type = type
            self.fingerprint = fingerprint
            self.label = label
        }

        /// What a person calls the key: its label, if it has one, its type and its fingerprint.
        public var name: String {
            let key = "\(type) \(fingerprint)"
            return label.map { "\($0) (\(key))" } ?? key
        }
    }

    /// What is public of an etcd snapshot in the archive.
    public struct EtcdSummary: Codable, Sendable {
        /// The name of this etcd on the node.
        public var name: String
        /// The cluster's ID in hexadecimal.
        public var clusterID: String
        /// The server's version.
        public var serverVersion: String
        /// The store's revision just before the snapshot.
        public var revisionAtStart: Int64
        /// The revision of the snapshot itself.
        public var revision: Int64?
        /// The revision of the last compaction in the snapshot, -1 if there was none.
        public var compactRevision: Int64?
        /// The hash that `etcdutl snapshot status` prints.
        public var hash: UInt32?
        /// The hash over the key space at ``revision``, which the cluster's own equals from level `consistent` on.
        public var hashKV: UInt32?
        /// The compaction under which ``hashKV`` was computed, where it is a later one than ``compactRevision``.
        public var hashKVCompactRevision: Int64?
        /// The size of the database in bytes.
        public var databaseSize: Int
        /// SHA-256 of the database in hexadecimal.
        public var databaseSHA256: String
        /// `true` where the member was behind its cluster, or saw no leader; else nil.
        public var mayBeOld: Bool?
    }

    /// The version of the sidecar's format, ``ArchiveFormat/version``; nil means 1.
    public var formatVersion: Int? = ArchiveFormat.version
    /// What a reader of the sidecar must know besides, or refuses it; nil means nothing.
    public var requires: [String]? = []
    /// What the archive is.
    public var archive: ArchiveHeader
    /// When it was sealed.
    public var completedAt: Date
    /// The number of this archive among those of its cluster and node, from 1.
    public var sequence: Int
    /// SHA-256 of the sidecar before it, in hexadecimal; none for the first.
    public var previousSidecarSHA256: String?
    /// The sealed object.
    public var object: SealedObject
    /// SHA-256 of the manifest's bytes in hexadecimal.
    public var manifestSHA256: String
    /// The number of members in the archive.
    public var entryCount: Int
    /// The etcd snapshots.
    public var etcd: [EtcdSummary]
    /// Who can open the archive.
    public var recipients: [RecipientRecord]
    /// The number of findings that ask for something to be done, those of the manifest and those of ``checkFindings``.
    public var findingCount: Int
    /// What was found when the sealed archive was checked, after its manifest was written.
    public var checkFindings: [Finding]
    /// How far the archive was verified when it was made: the least of its snapshots' levels.
    public var verification: OpenValue<VerificationLevel>
    /// Whether this was made anew from the archive, whose own sidecar was lost; only present when it was.
    ///
    /// Then the chain of sidecars is broken behind it: the next one names the digest of the lost one.
    public var rebuilt: Bool?
    /// The slot that this is the backup of, where nodes share snapshots.
    public var slot: SlotRecord?
    /// The etcds whose snapshots other nodes' backups have; nil for none.
    public var sharedSnapshots: [SharedSnapshot]?
    /// What whoever made the backup calls its kind, which decides by which rules it is kept; nil for none.
    public var retentionClass: String?

    /// Assembles the sidecar of a sealed archive.
    public init(
        manifest: Manifest, sealed: SealedArchiveSummary, recipients: [RecipientRecord], completedAt: Date,
        sequence: Int, previousSidecarSHA256: String?
    ) {
        archive = manifest.archive
        self.completedAt = completedAt
        self.sequence = sequence
        self.previousSidecarSHA256 = previousSidecarSHA256
        object = sealed.object
        manifestSHA256 = sealed.manifestSHA256
        entryCount = sealed.entryCount
        etcd = manifest.etcd.map {
            EtcdSummary(
                name: $0.name, clusterID: $0.clusterID, serverVersion: $0.serverVersion,
                revisionAtStart: $0.revisionAtStart, revision: $0.revision, compactRevision: $0.compactRevision,
                hash: $0.hash, hashKV: $0.hashKV, databaseSize: $0.databaseSize, databaseSHA256: $0.databaseSHA256,
                mayBeOld: $0.mayBeOld)
        }
        slot = manifest.slot
        sharedSnapshots = manifest.sharedSnapshots
        retentionClass = manifest.retentionClass
        self.recipients = recipients
        findingCount = manifest.findings.defectCount
        checkFindings = []
        verification = OpenValue(manifest.etcd.compactMap(\.verification.known).min() ?? .streamed)
    }
}
