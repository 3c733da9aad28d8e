import HostIO

extension Failure.Setting {
    /// A public key to seal for.
    static let recipient = Self("recipient")
    /// A file of public keys to seal for.
    static let recipientsFile = Self("recipientsFile")
    /// The file of a passphrase.
    static let passphraseFile = Self("passphraseFile")
    /// The name of a snapshot in an archive that is being made.
    static let snapshotName = Self("snapshotName")
    /// Which snapshot of an archive.
    static let snapshot = Self("snapshot")
    /// The root of a node's file system.
    static let root = Self("root")
    /// Going on in spite of a danger.
    static let force = Self("force")
    /// A data directory for every member.
    static let allMembers = Self("allMembers")
    /// The members of a new cluster.
    static let initialCluster = Self("initialCluster")
    /// The token of a new cluster.
    static let initialClusterToken = Self("initialClusterToken")
    /// The peer URLs of a new member.
    static let initialAdvertisePeerURLs = Self("initialAdvertisePeerURLs")
    /// By how much the revision is raised.
    static let bumpRevision = Self("bumpRevision")
    /// Which backups are kept.
    static let retention = Self("retention")
    /// Whether files, snapshots or both are restored.
    static let restoreSelection = Self("restoreSelection")
    /// Keeping the revision.
    static let noBump = Self("noBump")
    /// The etcd that is booted.
    static let etcdProgram = Self("etcdProgram")
    /// The kube-apiserver that is booted.
    static let apiServerProgram = Self("apiServerProgram")
    /// The plan of a rebuild.
    static let plan = Self("plan")
    /// The directory of a drill.
    static let scratch = Self("scratch")
    /// The level of verification that is asked for.
    static let minimumLevel = Self("minimumLevel")
    /// Whether an etcd's data directory that is there is moved aside.
    static let keepData = Self("keepData")
    /// The etcd that is booted on the copy of a survivor.
    static let survivorEtcd = Self("survivorEtcd")
    /// Taking a survivor's database without its log.
    static let databaseAlone = Self("databaseAlone")
    /// The file of the snapshot that every host of a rebuild needs.
    static let snapshotFile = Self("snapshotFile")
    /// The file that a snapshot of a survivor is written to.
    static let snapshotOutput = Self("snapshotOutput")
    /// That something is meant which can't be taken back.
    static let confirmation = Self("confirmation")
    /// The plan of a rebuild that is asked for, by the beginning of its digest.
    static let planID = Self("planID")
    /// Rebuilding a node on a host that has none of its addresses.
    static let evenIfElsewhere = Self("evenIfElsewhere")
    /// Planning a rebuild although old members of etcd answer.
    static let evenIfRunning = Self("evenIfRunning")
}
