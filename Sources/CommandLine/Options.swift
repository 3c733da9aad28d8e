import Age
import ArchiveStore
import ArgumentParser
import EtcdSnap
import FoundationEssentials
import HostIO
import NodeFiles
import Operations
import PKIBackup
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Options of every command.
struct CommonOptions: ParsableArguments {
    @Option(
        help: "Read this configuration file instead of \(Configuration.defaultPath).",
        completion: .file(extensions: ["yaml"]))
    var config: String?

    @Flag(name: .shortAndLong, help: "Leave out progress and notes.")
    var quiet = false

    @Flag(name: .shortAndLong, help: "Print details.")
    var verbose = false

    func validate() throws {
        if quiet && verbose { throw ValidationError("--quiet and --verbose exclude each other") }
    }

    /// Applies the verbosity and reads the configuration.
    func start(_ format: OutputFormat = .table) throws -> Configuration {
        Console.shared.configure(
            verbosity: quiet ? .quiet : verbose ? .verbose : .normal,
            errorsAsJSON: format == .json)
        return try Configuration.load(path: config)
    }
}

/// How data is printed.
struct FormatOptions: ParsableArguments {
    @Option(name: [.customShort("o"), .customLong("output")], help: "Print as table, json or yaml.")
    var format = OutputFormat.table

    /// Also what fails before the command itself begins is a document then.
    func validate() { Console.shared.configure(verbosity: .normal, errorsAsJSON: format == .json) }
}

/// Where archives are.
struct StoreOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The store: a directory, s3://BUCKET/PREFIX, rclone:REMOTE:PATH, or the name of one of the configuration.",
            discussion: "Without it the store, or all of the stores, of the configuration."),
        completion: .directory)
    var store: String?

    @Option(help: "The cluster's name in the store.")
    var cluster: String?

    @Option(help: "The node's name in the store.")
    var node: String?

    @OptionGroup var s3: S3Options

    static let defaultStore = "/var/lib/etcd-snap"
    static let defaultCluster = "kubernetes"

    /// The store of a location.
    ///
    /// - Parameters:
    ///   - location: as it is written in a flag or in the configuration.
    ///   - configuration: how S3 and rclone are reached.
    ///   - patience: for how long a server is tried that does not answer.
    static func store(
        at location: String, _ configuration: Configuration, patience: Duration = StoreOpening.watchedPatience
    ) throws -> any Store {
        let place = StoreLocation(location)
        if place.isDirectory { _ = try localPlace(location, of: "the store") }
        let opening = StoreOpening(
            s3: configuration.s3 ?? .init(), rclone: configuration.rclone ?? .init(),
            lock: configuration.lock(ofStoreAt: location),
            variables: ProcessInfo.processInfo.environment, isRoot: geteuid() == 0,
            observer: Console.shared.observer, patience: patience)
        return try opening.open(place)
    }

    /// Where a node's archives go; this host's, where no root of another one is given.
    func scope(_ configuration: Configuration, of root: NodeRoot? = nil) throws -> StoreScope {
        if let cluster = configuration.cluster {
            _ = try configuration.locating("cluster") { try StoreScope(cluster: cluster, node: "node") }
        }
        if let node = configuration.node {
            _ = try configuration.locating("node") { try StoreScope(cluster: Self.defaultCluster, node: node) }
        }
        return try StoreScope(
            cluster: cluster ?? configuration.cluster ?? Self.defaultCluster,
            node: node ?? configuration.node ?? root.flatMap { nodeName(of: $0, configuration) } ?? Self.hostName())
    }

    /// The one archive that a reference means.
    func find(_ reference: String, _ configuration: Configuration) throws -> (any Store, StoredBackup) {
        let stores = try stores(configuration)
        let observer = Console.shared.observer
        let (store, backup) = try stores.find(self.reference(reference, configuration), observer: observer)
        if stores.areSeveral { observer.note("\(backup.reference) is taken from the store \(store.label)") }
        return (store.store, backup)
    }

    /// A reference into the store.
    func reference(_ text: String, _ configuration: Configuration) throws -> BackupReference {
        let reference = try BackupReference(text, cluster: cluster ?? configuration.cluster, node: node)
        try refuseContradiction(reference.cluster, reference.node, of: text)
        return reference
    }

    /// What a person's word for a backup is; where a store is named a file's name in it is that of a backup there.
    func name(_ text: String, _ configuration: Configuration, prefersFiles: Bool = false) -> BackupName {
        let isNamed = store != nil || configuration.store != nil || configuration.stores != nil
        return BackupName(
            text, prefersFiles: prefersFiles, store: isNamed ? try? stores(configuration).first.store : nil,
            isStoreMeant: store != nil)
    }

    /// Refuses a place that is named twice, and is another each time.
    func refuseContradiction(_ cluster: String?, _ node: String?, of text: String) throws(Failure) {
        for (what, given, own, setting) in [
            ("cluster", self.cluster, cluster, Failure.Setting.cluster), ("node", self.node, node, .node),
        ] {
            guard let given, let own, given != own else { continue }
            throw Failure(
                .usage, "\(quoted(text)) is of the \(what) \(quoted(own)), and \(quoted(given)) is named besides",
                hint: "name one of them", settings: [setting])
        }
    }

    /// An archive by its path, or by a reference into the store.
    func open(_ name: String, _ configuration: Configuration) throws -> OpenedArchive {
        switch self.name(name, configuration) {
        case .path(let path): return try open(path: path, configuration)
        case .reference(let reference):
            let (store, found) = try find(reference, configuration)
            return try opened(found, in: store, configuration)
        }
    }

    /// A backup of a store; what belongs to it may be in any of the stores.
    func opened(_ found: StoredBackup, in store: any Store, _ configuration: Configuration) throws -> OpenedArchive {
        var archive = try OpenedArchive(found, in: store)
        archive.stores += try stores(configuration).stores.map(\.store)
        return archive
    }

    /// A backup by its path, which has to be in the store that is named besides, if one is.
    func inNamedStore(
        _ found: (store: LocalStore, reference: BackupReference), _ path: String, _ configuration: Configuration
    ) throws -> (any Store, BackupReference) {
        if store != nil {
            let named = try stores(configuration).first.store
            guard named.directory != nil, isSameFile(named.name, found.store.name) else {
                throw Failure(
                    .usage,
                    "\(quoted(path)) is in the store \(quoted(found.store.name)), and \(quoted(named.name)) is named besides",
                    hint: "name one of them", settings: [.store])
            }
        }
        try refuseContradiction(found.reference.cluster, found.reference.node, of: path)
        return found
    }

    /// An archive by its path; what belongs to it is looked for beside it, and in a store that is named.
    func open(path: String, _ configuration: Configuration) throws -> OpenedArchive {
        var archive = try OpenedArchive(path: path)
        if store != nil || configuration.store != nil || configuration.stores != nil {
            archive.stores += try stores(configuration).stores.map(\.store)
        }
        try refuseContradiction(
            archive.sidecar?.archive.cluster, archive.sidecar?.archive.node, of: path)
        if let failure = archive.sidecarFailure {
            Console.shared.warn("its sidecar is left aside: \(failure.line)")
        }
        return archive
    }

    /// An archive whose files are to be put in place on a node: one of that node, unless another is named.
    ///
    /// - Parameter thisNode: the node's name, nil if it is not known; a reference without a node means an archive of it.
    func open(_ name: String, _ configuration: Configuration, on thisNode: String?) throws -> OpenedArchive {
        let isNamed = node != nil || name.contains("/") || self.name(name, configuration) == .path(name)
        guard !isNamed else { return try open(name, configuration) }
        guard let thisNode else {
            throw Failure(
                .usage, "nothing below the root tells whose node it is, so \(quoted(name)) may be another node's",
                hint: "say it with --this-node, or name the archive as CLUSTER/NODE/ID")
        }
        var place = self
        if name == BackupReference.latest { place.node = thisNode }
        do {
            let (store, found) = try place.find(name, configuration)
            guard found.scope.node == thisNode else {
                throw Failure(
                    .usage, "\(quoted(found.reference)) is of another node than this one, \(thisNode)",
                    hint: "if that is meant, write it as above, or add --node \(found.scope.node)")
            }
            return try OpenedArchive(found, in: store)
        } catch let failure as Failure where failure.code == .notFound && place.node != node {
            throw notOfThisNode(thisNode, configuration) ?? failure
        }
    }

    /// That a store has backups, but none of this node; nil if it has none at all.
    private func notOfThisNode(_ thisNode: String, _ configuration: Configuration) -> Failure? {
        guard let stores = try? stores(configuration) else { return nil }
        let backups = stores.listings(cluster: cluster ?? configuration.cluster).read.flatMap(\.listing.backups)
        let nodes = Set(backups.map(\.scope.node)).sorted()
        guard !nodes.isEmpty else { return nil }
        return Failure(
            .notFound,
            "\(stores.areSeveral ? "the stores \(stores.label) have" : "the store \(quoted(stores.first.store.name)) has") no backup of this node, \(thisNode)",
            hint:
                "it has some of \(nodes.prefix(5).joined(separator: ", ")): if one of them is this node, say so with "
                + "--this-node; if not, name it with --node, or add --for new-host"
        )
    }

    /// The name of the node whose file system is at `root`: on this host that of the configuration or the host's, elsewhere
    /// what the files there tell; nil if they don't.
    func nodeName(of root: NodeRoot, _ configuration: Configuration) -> String? {
        root.isHost ? configuration.node ?? Self.hostName() : NodeIdentity.names(in: root).first
    }

    private static func hostName() -> String { HostIdentity.hostName ?? "node" }
}

/// How etcd is reached; the names are etcdctl's.
struct EtcdOptions: ParsableArguments {
    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Client URLs of the members, separated by commas.",
            discussion: "Without it those of the etcds that this node runs or uses are found out."))
    var endpoints: [String] = []

    @Option(help: "The CA certificate to verify the server with.", completion: .file())
    var cacert: String?

    @Option(help: "The client certificate.", completion: .file())
    var cert: String?

    @Option(help: "The client certificate's key.", completion: .file())
    var key: String?

    @Option(help: "The name to expect in the server's certificate.")
    var serverName: String?

    @Option(help: "The user of etcd's own authentication.")
    var user: String?

    @Option(help: "A file whose first line is the user's password.", completion: .file())
    var passwordFile: String?

    @Option(help: "The most time for a connection, such as 5s.")
    var dialTimeout: Seconds?

    @Option(help: "The most time without a message in a snapshot.")
    var stallTimeout: Seconds?

    @Option(help: "The most time for a whole snapshot.")
    var timeout: Seconds?

    func validate() throws {
        if let user, user.contains(":") {
            throw ValidationError(
                "--user takes the name alone: a password in the arguments can be seen by every process; use --password-file"
            )
        }
    }

    /// The configuration's section with the flags before it.
    func section(_ configuration: Configuration) throws -> Configuration.Etcd {
        var section = configuration.etcd ?? Configuration.Etcd()
        // Before they are taken apart: a password may have a comma.
        for text in endpoints { try Endpoint.refuseCredentials(in: text) }
        let urls = endpoints.flatMap { $0.split(separator: ",").map(String.init) }
        if !urls.isEmpty { section.endpoints = urls }
        section.cacert = cacert ?? section.cacert
        section.cert = cert ?? section.cert
        section.key = key ?? section.key
        section.serverName = serverName ?? section.serverName
        section.user = user ?? section.user
        section.passwordFile = passwordFile ?? section.passwordFile
        section.dialTimeoutSeconds = dialTimeout?.count ?? section.dialTimeoutSeconds
        section.stallTimeoutSeconds = stallTimeout?.count ?? section.stallTimeoutSeconds
        section.timeoutSeconds = timeout?.count ?? section.timeoutSeconds
        return section
    }
}

/// A length of time as etcdctl takes it: a whole number with `s`, `m` or `h`, or seconds without a unit.
struct Seconds: ExpressibleByArgument {
    var count: Int

    init?(argument: String) {
        let units = ["s": 1, "m": 60, "h": 3600]
        let unit = argument.last.flatMap { units[String($0)] }
        guard let value = Int(unit == nil ? argument : String(argument.dropLast())), value > 0,
            value <= 1_000_000
        else { return nil }
        count = value * (unit ?? 1)
    }
}

/// Private keys that open archives.
struct IdentityOptions: ParsableArguments {
    @Option(
        name: [.customShort("i"), .customLong("identity")], parsing: .singleValue,
        help: "A file of age identities; may be repeated.", completion: .file())
    var identityFiles: [String] = []

    @Option(
        help: "A file whose first line opens identity files that a passphrase protects; without it you are asked.",
        completion: .file())
    var passphraseFile: String?

    /// The identities, or nil if no file is named.
    func optional() throws -> [any Identity]? {
        guard !identityFiles.isEmpty else { return nil }
        return try Keys.identities(
            files: identityFiles, passphraseFile: passphraseFile, asking: Terminal.askPassphrase)
    }

    /// The identities for an age file of any kind: without files of them a passphrase opens the file itself, which is asked
    /// for if it has one and no file of it is named.
    func forAnyFile(_ file: String) throws -> [any Identity] {
        guard identityFiles.isEmpty else { return try required() }
        if let passphraseFile { return [try Keys.passphraseIdentity(passphraseFile)] }
        return [Keys.askedIdentity(for: file, asking: Terminal.askPassphrase)]
    }

    /// The identities.
    func required() throws -> [any Identity] {
        guard let identities = try optional() else {
            throw Failure(
                .usage, "there is no identity to open the archive with", hint: "name the file of your key with -i")
        }
        return identities
    }
}
