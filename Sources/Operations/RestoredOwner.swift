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
        _ source: SnapshotSource, _ request: RestoreEtcdRequest, _ prepared: PreparedMembers?
    ) -> (FileOwner?, OwnerReason) {
        if let owner = request.owner { return (owner, .asked) }
        let filled = (try? StagingPlace(request.dataDirectory, keepsExisting: true).filled).map { [$0] }
        for directory in filled ?? prepared?.directories ?? [] {
            guard let attributes = try? directory.attributes(), attributes.userID != 0 else { continue }
            return (FileOwner(of: attributes), .directory(directory.path))
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

/// Directories of members that are there already, each for itself and empty, such as mount points.
struct PreparedMembers {
    /// Those that are there, in the order of the members.
    let directories: [OpenDirectory]

    /// Looks into a directory of all members; nil if none of them has a directory there.
    ///
    /// - Throws: ``Failure`` if something else is there too, or one of them is not an empty directory.
    init?(of cluster: PlannedCluster, in path: String) throws {
        guard let parent = try? OpenDirectory(path: path) else { return nil }
        let names = cluster.members.map(\.name)
        // What an interrupted restore has left is removed by the one that comes to it.
        let passedOver = try StagingPlace.passedOver(in: parent, for: [path] + names.map { "\(path)/\($0)" })
        let present = try parent.names().filter { !passedOver.contains($0) }
        let own = names.filter { present.contains(Array($0.utf8)) }
        guard !own.isEmpty else { return nil }
        let others = present.filter { name in !names.contains { Array($0.utf8) == name } }
        guard others.isEmpty else { throw StagingPlace.occupied(path, others) }
        directories = try own.compactMap { try StagingPlace("\(path)/\($0)", keepsExisting: true).filled }
    }
}
