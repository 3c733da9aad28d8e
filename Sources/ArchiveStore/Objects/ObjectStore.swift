import FoundationEssentials
import HostIO
import SealedArchive

/// Archives in objects elsewhere: `cluster/node/ID.tar.zst.age`, published by `cluster/node/ID.json`.
///
/// Whoever may only write needs nothing else: the number of the next backup and the sidecar before it are remembered by the
/// host itself, and checked by what is listed, where that is allowed.
public struct ObjectStore: Store {
    /// What it is kept in.
    public let objects: any ObjectStorage
    let home: StoreHome

    /// The store in a place of objects.
    public init(_ objects: any ObjectStorage, home: StoreHome) {
        self.objects = objects
        self.home = home
    }

    /// `s3://bucket/prefix`, say.
    public var name: String { objects.name }

    /// What tells the place of its objects from others.
    public var place: String { objects.place }

    /// It is no directory of this host.
    public var directory: String? { nil }

    /// The same place, asked for less long.
    public func waiting(atMost patience: Duration) -> any Store {
        ObjectStore(objects.waiting(atMost: patience), home: home)
    }

    /// Everything in the store, or in one cluster or node of it; a place where nothing is has nothing.
    public func list(cluster: String?, node: String?) throws -> StoreListing {
        var listing = StoreListing()
        for scope in try scopes(cluster, node) { listing.add(try self.listing(of: scope)) }
        listing.sort()
        listing.chain += listing.disputes
        return listing
    }

    /// So often a scope is listed once more that changed while it was listed.
    private static let repetitionCount = 2

    /// What is in a scope.
    ///
    /// The pages of a list and the documents are not of one moment. What contradicts itself is looked at again: a backup that
    /// is deleted meanwhile is no damage.
    private func listing(of first: ObjectScope) throws -> StoreListing {
        var scope = first
        var count = 0
        while true {
            let documents = DocumentReader(objects: objects, home: home).read(scope.documents, of: scope.scope)
            if let failure = Self.outage(documents.values) { throw failure }
            let listing = scope.listing(documents, in: name, own: ownRecord(of: scope.scope))
            guard count < Self.repetitionCount, scope.contradictsItself(documents, listing) else { return listing }
            guard let again = ObjectScope.scopes(try objects.objects(below: "\(scope.scope)/", behind: nil)).first
            else { return StoreListing() }
            scope = again
            count += 1
        }
    }

    /// Why a store that answers no more can't be listed: what was not read for that is not damaged.
    private static func outage(_ results: some Collection<Result<[UInt8], any Error>>) -> ObjectError? {
        for case .failure(let error as ObjectError) in results where error.kind == .failed || error.kind == .denied {
            return error
        }
        return nil
    }

    private func scopes(_ cluster: String?, _ node: String?) throws -> [ObjectScope] {
        guard let node else {
            return ObjectScope.scopes(try objects.objects(below: cluster.map { "\($0)/" } ?? "", behind: nil))
        }
        let clusters = try cluster.map { [$0] } ?? objects.directories(below: "")
        return try clusters.flatMap { cluster in
            guard let scope = try? StoreScope(cluster: cluster, node: node) else { return [ObjectScope]() }
            return ObjectScope.scopes(try objects.objects(below: "\(scope)/", behind: nil))
        }
    }

    /// What this host has written to a scope last, if it has.
    private func ownRecord(of scope: StoreScope) -> ChainRecord {
        guard let directory = try? OpenDirectory(path: home.statePath(of: place, scope)) else { return ChainRecord() }
        return (try? ChainRecord.read(in: directory)) ?? ChainRecord()
    }

    /// The backups whose removal was begun, and of which all is still there.
    public func interruptedRemovals(cluster: String?, node: String?) throws -> [StoredBackup] {
        var backups: [StoredBackup] = []
        for scope in try scopes(cluster, node) {
            let documents = DocumentReader(objects: objects, home: home).read(scope.documents, of: scope.scope)
            let removing = scope.listing(documents, in: name, own: ChainRecord()).removing[scope.scope] ?? []
            for id in removing {
                guard let sidecar = scope.sidecars[id], case .success(let bytes)? = documents[sidecar.key],
                    let document = try? Sidecar.decode(bytes, name: "\(name)/\(sidecar.key)")
                else { continue }
                backups.append(
                    StoredBackup(
                        scope: scope.scope, id: id, sidecar: document, sidecarBytes: bytes, isFlat: false))
            }
        }
        return backups
    }

    /// The backup of an identifier by its sidecar alone: whether its archive is as the sidecar says shows when it is read.
    public func backup(_ id: BackupID, in scope: StoreScope) throws -> StoredBackup? {
        let key = Self.sidecarKey(id, in: scope)
        let bytes: [UInt8]
        do {
            bytes = try objects.bytes(of: key, limit: DocumentReader.usualByteCount).bytes
        } catch is ObjectError {
            // What is missing, larger than usual or not to be read, a list tells of.
            return nil
        }
        guard let sidecar = try? Sidecar.decode(bytes, name: "\(name)/\(key)"),
            sidecar.archive.reference == "\(scope)/\(id)"
        else { return nil }
        return StoredBackup(scope: scope, id: id, sidecar: sidecar, sidecarBytes: bytes, isFlat: false)
    }

    /// The URL of an archive.
    public func location(of backup: StoredBackup) -> String { location(of: backup.id, in: backup.scope) }

    /// The URL of the archive with an identifier.
    public func location(of id: BackupID, in scope: StoreScope) -> String {
        "\(name)/\(Self.archiveKey(id, in: scope))"
    }

    static func archiveKey(_ id: BackupID, in scope: StoreScope) -> String {
        "\(scope)/\(StoredBackup.archiveName(id))"
    }

    static func sidecarKey(_ id: BackupID, in scope: StoreScope) -> String {
        "\(scope)/\(StoredBackup.sidecarName(id))"
    }

    /// What its objects are asked for.
    public var lockDays: Int? { objects.lockDays }

    /// The lock that ends first of those of the archive and its sidecar.
    public func lock(of id: BackupID, in scope: StoreScope) throws -> ObjectLock? {
        guard let archive = try objects.lock(of: Self.archiveKey(id, in: scope)),
            let sidecar = try objects.lock(of: Self.sidecarKey(id, in: scope))
        else { return nil }
        guard let end = archive.until else { return sidecar }
        return sidecar.until.map { $0 < end } == true ? sidecar : archive
    }

    /// Opens the sealed bytes of an archive; its size is known, so nothing is asked before something is read.
    public func open(_ backup: StoredBackup) throws -> any RandomAccessBytes {
        CoalescedBytes(
            StoredObject(
                key: Self.archiveKey(backup.id, in: backup.scope), byteCount: backup.sidecar.object.size),
            in: objects)
    }

    /// Opens the sealed bytes of the archive with an identifier, whether it has a sidecar or not.
    public func open(_ id: BackupID, in scope: StoreScope) throws -> any RandomAccessBytes {
        let key = Self.archiveKey(id, in: scope)
        guard let object = try objects.object(key) else {
            throw Failure(.notFound, "there is no \(quoted("\(name)/\(key)"))", hint: "see `etcd-snap list`")
        }
        return CoalescedBytes(object, in: objects)
    }

    /// Takes the scope for writing: one run of this host at a time, and one host for each node's name.
    public func writer(for scope: StoreScope) throws -> any StoreWriter {
        try ObjectStoreWriter(self, scope)
    }

    /// Checks that this host can remember what it writes, and that the store answers.
    public func checkWritable(for scope: StoreScope) throws {
        if let directory = try OpenDirectory.checkMake(path: home.statePath(of: place, scope)) {
            try directory.checkWritable("open", DirectoryLock.fileName)
        }
        try objects.checkReachable()
    }

    /// Whether the store answers; its room is unknown, or has no limit.
    public func space() throws -> StoreSpace {
        try objects.checkReachable()
        return StoreSpace(
            place: name, exists: true, availableByteCount: try objects.availableByteCount(), isWritable: true)
    }

    /// Removes archives that were never published, and uploads that were never complete.
    public func removeAbandoned(cluster: String?, node: String?, before date: Date) throws -> [String] {
        var removed: [String] = []
        let archives = try list(cluster: cluster, node: node).abandoned(before: date)
        let keys = archives.compactMap { archive in
            archive.backup.scope.map { Self.archiveKey(archive.backup.id, in: $0) }
        }
        if !keys.isEmpty {
            if let failure = try objects.remove(keys).first { throw failure.error }
            removed += keys.map { "\(name)/\($0), which was never published" }
        }
        let prefix = cluster.map { cluster in node.map { "\(cluster)/\($0)/" } ?? "\(cluster)/" } ?? ""
        do {
            removed += try objects.removeLeftovers(below: prefix, before: date).map { "the upload of \(name)/\($0)" }
        } catch let error as ObjectError where error.kind == .denied {
            // That is for a rule of the store then.
        }
        return removed
    }

    /// Finds out what the place does.
    public func probe(for scope: StoreScope) throws -> [StoreTrait] { try objects.probe(below: "\(scope)/") }
}
