import ArchiveStore
import FoundationEssentials
import HostIO
import SealedArchive

/// How the lost control plane of a cluster is put on new hosts; it has no secrets, and goes to each of them.
public struct RebuildPlan: Codable, Sendable {
    /// A backup that the plan takes something from.
    public struct Archive: Codable, Sendable {
        /// `cluster/node/id`, or a path.
        public var reference: String
        /// The archive's identifier.
        public var id: String
        /// The file, where it was one of this host; nil for one that is elsewhere.
        public var path: String?
        /// The node that it is of.
        public var node: String
        /// When it was made.
        public var createdAt: Date
        /// SHA-256 of its manifest, by which it is known again.
        public var manifestSHA256: String
    }

    /// The snapshot that every member starts from.
    public struct Snapshot: Codable, Sendable {
        /// The backup that has it.
        public var archiveID: String
        /// The etcd's name in that backup.
        public var name: String
        /// The lost cluster's ID.
        public var clusterID: String
        /// The revision of the snapshot.
        public var revision: Int64?
        /// The level of verification that it has reached.
        public var level: String
        /// The size of the database in bytes.
        public var databaseByteCount: Int
        /// SHA-256 of the database.
        public var databaseSHA256: String
        /// Why it was taken.
        public var reason: String
        /// The survivor that it is of; nil for one of an archive.
        public var survivor: Survivor?

        /// Where it is from, for people.
        public var origin: String { survivor.map { "the survivor \(quoted($0.directory))" } ?? archiveID }
    }

    /// A member of the lost cluster whose data directory is there.
    public struct Survivor: Codable, Sendable {
        /// The directory, on the host that the plan was made on.
        public var directory: String
        /// The snapshot's file, which every host needs beside the plan; nil where none was written.
        public var snapshotPath: String?
        /// The etcd that has taken up its log on a copy; nil where its database was taken as it is.
        public var etcdVersion: String?
        /// The entries of its log that the snapshot lacks.
        public var missingEntries: UInt64
    }

    /// etcd as it is to be: the same for every member.
    public struct Cluster: Codable, Sendable {
        /// What every member is made with, so that no survivor of the lost cluster talks to one.
        public var token: String
        /// `NAME=URL` of every member, with commas between.
        public var initialCluster: String
        /// By how much the revision is raised.
        public var revisionBump: Int64
        /// Why by that much.
        public var bumpReason: String
        /// What every member's database loses before its first start; nil for nothing.
        public var deletions: [Deletion]?
    }

    /// The version of this document's format.
    public static let formatVersion = 1

    /// The version of the document's format.
    public var formatVersion = RebuildPlan.formatVersion
    /// When it was made.
    public var createdAt: Date
    /// The cluster's name in the store.
    public var cluster: String
    /// The store, as it was named; nil for archives named by their paths.
    public var store: String?
    /// Who laid out the nodes; nil of plans that don't say, whose nodes are kubeadm's.
    public var layout: RebuildLayoutKind?
    /// What is left of the lost cluster; nil of plans that don't say.
    public var situation: RebuildSituation?
    /// The backups.
    public var archives: [Archive]
    /// The snapshot; nil where etcd runs elsewhere.
    public var snapshot: Snapshot?
    /// The etcd cluster; nil where etcd runs elsewhere.
    public var etcd: Cluster?
    /// The endpoint before and after; nil for none.
    public var oldEndpoint: String?
    /// The endpoint after; nil for none.
    public var newEndpoint: String?
    /// What the database has of lost nodes; nil where nothing changes, or etcd runs elsewhere.
    public var inside: Inside?
    /// The nodes in the order of the topology.
    public var nodes: [RebuildNodePlan]
    /// How long it takes.
    public var forecast: RebuildForecast
    /// What speaks against it, or a person has to do.
    public var warnings: [String]
    /// What was decided, and why.
    public var notes: [String]
    /// The survivors that were looked at, the best first; nil for none.
    public var survivors: [SurvivorDescription]?
    /// What the lost nodes ran, as far as the backups tell; nil of plans that don't say.
    public var software: [Software]?
    /// The digest of everything else in the document; nil until it is ``sealed()``.
    public var sha256: String?

    /// Whether workers and other clients reach the control plane at another place than before.
    public var isEndpointChanged: Bool {
        let isMoved = nodes.contains { $0.addresses.first != $0.oldAddresses.first }
        return oldEndpoint != newEndpoint || newEndpoint == nil && isMoved
    }

    /// The plan of a node.
    ///
    /// - Throws: ``Failure`` with the code `usage` if there is none of that name.
    public func node(_ name: String) throws(Failure) -> RebuildNodePlan {
        guard let node = nodes.first(where: { $0.name == name }) else {
            throw Failure(
                .usage, "the plan has no node \(quoted(name))",
                hint: "it has \(nodes.map(\.name).joined(separator: ", "))", settings: [.node])
        }
        return node
    }
}

/// One node's part of a ``RebuildPlan``.
public struct RebuildNodePlan: Codable, Sendable {
    /// A file, link or directory that is placed.
    public struct File: Codable, Sendable {
        /// The absolute path.
        public var path: String
        /// Its class, as in the manifest.
        public var role: String
        /// The step that places it.
        public var step: String
        /// `place` as it was, `change`, or `issue` with a certificate made anew.
        public var action: Action
        /// The size in bytes.
        public var byteCount: Int
    }

    /// What is done with a file.
    public enum Action: String, Codable, Sendable {
        /// It is placed as it was.
        case place
        /// Names and addresses in it are changed.
        case change
        /// A certificate or key is made anew.
        case issue
    }

    /// A file whose settings change.
    public struct Change: Codable, Sendable {
        /// The absolute path.
        public var path: String
        /// Each changed setting: place, old and new value, reason.
        public var settings: [String]
        /// The difference as `diff -u` shows it, without secrets.
        public var diff: String
    }

    /// A leaf certificate.
    public struct Certificate: Codable, Sendable {
        /// Where it is.
        public var path: String
        /// `keep`, `issue`, or `request` where the authority's key is not in the backup.
        public var action: String
        /// Why.
        public var reasons: [String]
        /// Names and addresses that the new one has and the old one lacks.
        public var added: [String]
        /// Names and addresses that only the old one has.
        public var removed: [String]
        /// What else is to be known.
        public var remarks: [String]
        /// The file of the certificate of who signs it; nil of plans that don't say.
        public var authority: String?
    }

    /// A file that is not placed.
    public struct LeftOut: Codable, Sendable {
        /// The absolute path.
        public var path: String
        /// Why.
        public var reason: String
    }

    /// The member of etcd that runs on the node.
    public struct Member: Codable, Sendable {
        /// Its name.
        public var name: String
        /// Its URLs for other members.
        public var peerURLs: [String]
        /// Its data directory.
        public var dataDirectory: String
    }

    /// Something that is done on the node, in this order.
    public struct Step: Codable, Sendable {
        /// Its name in the journal.
        public var name: String
        /// What is done.
        public var what: String
        /// How to see that it worked.
        public var check: String
    }

    /// The new name.
    public var name: String
    /// The lost node whose place it takes.
    public var oldName: String
    /// The backup that its files come from.
    public var archiveID: String
    /// Whether that backup is of the lost node itself.
    public var isOwnBackup: Bool
    /// The old addresses of the node whose files these are.
    public var oldAddresses: [String]
    /// The new addresses.
    public var addresses: [String]
    /// What becomes of names and addresses in its files.
    public var mapping: RebuildMapping
    /// Its member; nil where etcd runs elsewhere.
    public var member: Member?
    /// What is placed.
    public var files: [File]
    /// What changes in it.
    public var changes: [Change]
    /// The leaf certificates.
    public var certificates: [Certificate]
    /// What is not placed, directories aside.
    public var leftOut: [LeftOut]
    /// Old names and addresses that are left in files: path, line, word.
    public var leftovers: [String]
    /// What a person has to do or know.
    public var remarks: [String]
    /// The steps.
    public var steps: [Step]
}
