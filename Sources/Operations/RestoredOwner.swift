import EtcdStorage
import FoundationEssentials
import HostIO
import SealedArchive

/// Why restored data is given to an owner.
enum OwnerReason: Sendable {
    /// A person has named it.
    case asked
    /// It has the directory that is filled.
    case directory(String)
    /// It had the lost member's data directory.
    case captured(String)
    /// Nothing tells it.
    case unknown
}

extension RestoreEtcdOperation {
    /// Whom the data is given to, and why: etcd may run as a user of its own.
    ///
    /// An empty directory that is not root's was made for somebody of this host, where users may have other numbers than on
    /// the lost one.
    static func owner(
        _ source: SnapshotSource, _ request: RestoreEtcdRequest
    ) throws -> (FileOwner?, OwnerReason) {
        if let owner = request.owner { return (owner, .asked) }
        if let directory = try? StagingDirectory.existing(request.dataDirectory) {
            let owner = FileOwner(of: try directory.attributes())
            if owner.userID != 0 { return (owner, .directory(request.dataDirectory)) }
        }
        if let record = source.record?.dataDirectory, let owner = FileOwner(numbers: record.owner) {
            return (owner, .captured(record.path))
        }
        return (nil, .unknown)
    }

    /// What a person should know of the owner; nil if everything is as it always is.
    static func ownerNote(_ owner: FileOwner?, _ reason: OwnerReason, refusal: SystemCallError?) -> String? {
        let process = FileOwner.ofThisProcess
        guard let owner else {
            return "the data belongs to \(process): if etcd runs as another user, give it to that one"
        }
        if let refusal {
            return "the data belongs to \(process), for it could not be given to \(owner): \(refusal); "
                + "give it to the user of etcd as root, or etcd can't read it"
        }
        switch reason {
        case .asked, .unknown: return owner == process ? nil : "the data belongs to \(owner)"
        case .directory(let path): return "the data belongs to \(owner), as \(quoted(path)) does"
        case .captured(let path):
            let own = "the data belongs to \(owner), as \(quoted(path)) did on the node of the backup"
            return owner == process ? nil : "\(own): give it to another user if etcd's has another number here"
        }
    }
}
