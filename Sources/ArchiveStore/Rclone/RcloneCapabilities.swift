import HostIO

/// What rclone and a remote do, and what they don't.
public struct RcloneCapabilities: Sendable, Equatable {
    /// The version of rclone.
    public var version: RcloneVersion
    /// The type of the remote, such as `sftp`.
    public var remoteType: String
    /// The digest by which what was written is compared with what was sent; nil if only sizes are.
    public var digest: String?
    /// What it does not do, the gravest first.
    public var shortcomings: [Shortcoming]

    /// Something that a remote does not do.
    public enum Shortcoming: String, Sendable, CaseIterable {
        /// It is not known whether the server is the right one.
        case hostKeyUnchecked
        /// This version does not say whether the server is looked at.
        case hostKeyUnknown
        /// An object grows under its own name.
        case notAtomic
        /// Two writers of one name may both believe that theirs is there.
        case notCreateOnce
        /// What is stored can't be held against removal from here, nor seen to be.
        case noLocks
        /// Only sizes are compared.
        case noDigest
        /// Nothing is synced to the disk of this host.
        case notSynced
        /// Uploads are written to a file of this host first.
        case spools
        /// How much room there is, is not known.
        case noSpaceCount
        /// rclone is older than is recommended.
        case oldVersion
    }
}

extension RcloneCapabilities.Shortcoming {
    /// One sentence for people.
    public var message: String {
        switch self {
        case .hostKeyUnchecked: "rclone checks no host key: it talks to whatever server answers"
        case .hostKeyUnknown: "this version of rclone does not say whether it checks the server's host key"
        case .notAtomic: "an archive grows under its own name, and an interrupted one stays there without a sidecar"
        case .notCreateOnce:
            "whether a name is taken is looked at before it is written: a second writer may come between"
        case .noLocks: "locks and retention of the remote are neither set nor seen"
        case .noDigest: "the remote has no digests: what was written is compared by its size"
        case .notSynced: "rclone does not sync files of this host to its disk"
        case .spools:
            "the remote takes no streams: rclone writes each archive, sealed, to a file of this host before it is sent"
        case .noSpaceCount: "the remote does not say how much room there is"
        case .oldVersion:
            "rclone is older than \(RcloneVersion.recommended): what failed is told from its statuses less well"
        }
    }

    /// What to do about it; nil if nothing has to be done.
    public var hint: String? {
        switch self {
        case .hostKeyUnchecked, .hostKeyUnknown:
            "set known_hosts_file of the remote with `rclone config`, and put the server's key there with ssh-keyscan"
        case .notCreateOnce: "give each node its own name, which it does not share"
        case .noDigest: "have each backup read back once it is stored, or verify archives at times"
        case .notSynced: "name the directory itself as the store, without rclone"
        case .spools: "see that the temporary directory has room for one archive more"
        case .oldVersion: "install rclone \(RcloneVersion.recommended) or later"
        case .notAtomic, .noLocks, .noSpaceCount: nil
        }
    }

    /// Whether something is to be done about it, rather than only known.
    public var needsAttention: Bool { self == .hostKeyUnchecked || self == .hostKeyUnknown || self == .notSynced }
}

extension RcloneStorage {
    /// Finds out what the remote does, by what rclone says of it and by a small object below a prefix.
    ///
    /// - Throws: ``ObjectError`` if nothing can be written there, or what was is not what is read.
    public func probe(below prefix: String) throws -> [StoreTrait] {
        let capabilities = try capabilities()
        let key = prefix + "probe"
        let bytes = Array("{}".utf8)
        // An earlier look may have been interrupted.
        try remove(key)
        try create(key, bytes)
        defer { try? remove(key) }
        guard try self.bytes(of: key, limit: bytes.count).bytes == bytes else {
            throw ObjectError(
                .failed, Failure(.integrity, "\(quoted(key)) in \(name) is read otherwise than it was written"))
        }
        let digest = capabilities.digest.map { [StoreTrait("what is written is compared by its \($0)")] } ?? []
        return [StoreTrait("rclone \(capabilities.version) reaches it as \(capabilities.remoteType)")] + digest
            + capabilities.shortcomings.map {
                StoreTrait($0.message, isFault: $0.needsAttention, advice: $0.hint)
            }
    }

    /// What rclone and the remote do; asks the remote if it was not asked yet.
    ///
    /// - Throws: ``ObjectError`` if the remote can't be asked.
    public func capabilities() throws -> RcloneCapabilities {
        let remote = try remote()
        var shortcomings: Set<RcloneCapabilities.Shortcoming> = [.notCreateOnce, .noLocks]
        if remote.type == "sftp" {
            if remote.checksHostKey == nil { shortcomings.insert(.hostKeyUnknown) }
            if remote.checksHostKey == false { shortcomings.insert(.hostKeyUnchecked) }
        }
        if remote.placement == .growing { shortcomings.insert(.notAtomic) }
        if remote.digest == nil { shortcomings.insert(.noDigest) }
        if remote.isLocal { shortcomings.insert(.notSynced) }
        if remote.spools { shortcomings.insert(.spools) }
        if !remote.countsSpace { shortcomings.insert(.noSpaceCount) }
        if version < .recommended { shortcomings.insert(.oldVersion) }
        return RcloneCapabilities(
            version: version, remoteType: remote.type, digest: remote.digest?.rawValue,
            shortcomings: RcloneCapabilities.Shortcoming.allCases.filter(shortcomings.contains))
    }
}
