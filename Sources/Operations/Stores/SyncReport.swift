import HostIO
import SealedArchive

/// What bringing archives from store to store came to, or would.
public struct SyncReport: Codable, Sendable {
    /// An archive that was copied, or would be.
    public struct Copy: Codable, Sendable, Equatable {
        /// `cluster/node/id`.
        public var reference: String
        /// The store that it was taken from.
        public var source: String
        /// The size of the archive in bytes.
        public var byteCount: Int
        /// Whether the archive was there already, whole, and only its sidecar was copied.
        public var isSidecarAlone = false
    }

    /// Why an archive that other stores have is not brought into one.
    public enum Reason: String, Codable, Sendable {
        /// It was removed there, or left out of it before.
        case removed
        /// The store's rules would remove it at once.
        case expired
        /// No store gave it whole.
        case damaged
        /// There was no time for it.
        case later
    }

    /// An archive that was not copied.
    public struct Omission: Codable, Sendable, Equatable {
        /// `cluster/node/id`.
        public var reference: String
        /// Why not.
        public var reason: Reason
    }

    /// What became of one store.
    public struct Target: Codable, Sendable {
        /// Its name.
        public var store: String
        /// Where it is: a path or a URL.
        public var location: String
        /// What came, in the order in which it did.
        public var copied: [Copy] = []
        /// What did not.
        public var omitted: [Omission] = []
        /// The backups whose newest record of a drill came.
        public var drilled: [String] = []
        /// Why the store does not have all that it should, if something failed.
        public var error: String?

        /// The bytes that were copied.
        public var copiedByteCount: Int { copied.reduce(0) { $0 + ($1.isSidecarAlone ? 0 : $1.byteCount) } }
        /// How many were not copied for a reason.
        public func omittedCount(_ reason: Reason) -> Int { omitted.count { $0.reason == reason } }
    }

    /// Whether nothing was changed.
    public var dryRun: Bool
    /// Each store that was to be filled.
    public var targets: [Target] = []
    /// What needs attention in the stores.
    public var findings: [Finding] = []
    /// Why stores could not be read or written to; not part of documents, but for what `targets` has of it.
    public var failures: [StoreFailure] = []

    enum CodingKeys: String, CodingKey {
        case dryRun, targets, findings
    }

    init(dryRun: Bool) { self.dryRun = dryRun }

    /// Reads a document.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        dryRun = try container.decode(Bool.self, forKey: .dryRun)
        targets = try container.decode([Target].self, forKey: .targets)
        findings = try container.decode([Finding].self, forKey: .findings)
    }

    /// Why not everything could be done, as one failure; nil if it could.
    public var failure: Failure? {
        guard !failures.isEmpty else { return nil }
        return failures.failure(
            "\(failures.count == 1 ? "a store" : "\(failures.count) stores") could not be used",
            hint: "repair \(failures.count == 1 ? "it" : "them") and run it again: what is there is not copied again")
    }
}
