import Age
import ArchiveStore
import ArgumentParser
import HostIO
import NodeFiles
import Operations
import PKIBackup
import SealedArchive
import SystemPackage

/// What of the node is captured; common to the commands that look at it.
struct CaptureOptions: ParsableArguments {
    @Option(
        parsing: .singleValue, help: "Capture this file or directory too; may be repeated.", completion: .file())
    var include: [String] = []

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Leave out paths that match this pattern; may be repeated.",
            discussion:
                "A shell pattern for the whole absolute path, where * stands for any characters, slashes too, ? for "
                + "one and [ab] for one of several: '*.bak', '/etc/kubernetes/tmp'. What is below a match is left out too. "
                + "Write it in quotes, or the shell expands it."))
    var exclude: [String] = []

    @Flag(
        inversion: .prefixedNo,
        help: ArgumentHelp(
            "Find out from the node itself what to capture, and which etcds it has.",
            discussion: "Without the flag as the configuration says, which by default does."))
    var discover: Bool?

    @Option(
        help: "The root of the node's file system, where it is not this host's own.", completion: .directory)
    var root = "/"

    func validate() throws {
        if root.isEmpty { throw ValidationError("--root names no directory") }
        if include.contains("") { throw ValidationError("--include names no path") }
        if root != "/", let relative = include.first(where: { !$0.hasPrefix("/") }) {
            throw ValidationError("with --root, \(relative) must be an absolute path on the node")
        }
    }

    /// The plan of the configuration, with the flags before it; what an interrupted restore has left on the node is removed.
    ///
    /// - Parameters:
    ///   - stores: where the archives go, which is no part of the node's state.
    ///   - removesLeftovers: whether it is; not where nothing may be changed.
    func plan(
        _ configuration: Configuration, stores: StoreSet? = nil, removesLeftovers: Bool = true
    ) throws -> NodePlan {
        guard (try? OpenDirectory(path: root)) != nil else {
            throw Failure(
                .notFound, "the root \(quoted(root)) is no directory that can be read", hint: "correct --root")
        }
        let root = NodeRoot(prefix: root)
        if removesLeftovers { LeftoverRemoval.run(root: root, observer: Console.shared.observer) }
        var configuration = configuration
        configuration.discover = discover ?? configuration.discover
        return try NodePlan.make(
            configuration, include: include.map { $0.hasPrefix("/") ? $0 : absolutePath($0).string }, exclude: exclude,
            root: root, storePaths: stores?.directories ?? [])
    }
}

extension EtcdOptions {
    /// The etcds of a node by its plan: the cluster's own as the flags and the configuration say, and all others.
    ///
    /// - Parameter name: the name of the snapshot of the cluster's own, where it is given.
    func sources(_ configuration: Configuration, of node: NodePlan, name: String? = nil) throws -> [EtcdSource] {
        try configuration.checkEtcds()
        var section = try section(configuration)
        section.name = name ?? section.name
        return try EtcdSource.resolveAll(
            section, others: configuration.otherEtcds ?? [], found: node.layout.etcds,
            mayHaveNone: node.usesOtherDatastore, root: node.root)
    }
}

/// Whom an archive is sealed for; the names are age's.
struct RecipientOptions: ParsableArguments {
    @Option(
        name: .shortAndLong, parsing: .singleValue, help: "Seal for this age recipient; may be repeated.")
    var recipient: [String] = []

    @Option(
        name: [.customShort("R"), .long], parsing: .singleValue,
        help: "Seal for the recipients in this file; may be repeated.", completion: .file())
    var recipientsFile: [String] = []

    /// The recipients of the flags, or without any those of the configuration.
    func recipients(_ configuration: Configuration) throws -> [any Recipient] {
        guard !recipient.isEmpty || !recipientsFile.isEmpty else { return try configuration.loadRecipients() }
        return try Keys.recipients(recipient, files: recipientsFile)
    }
}
