import Age
import HostIO
import SealedArchive

/// The captured files of an archive, restored and read back.
struct FilesDrill {
    let archive: OpenedArchive
    let identities: [any Identity]
    let scratch: DrillScratch
    let manifest: Manifest
    /// Whether the files stay for what comes behind; ``removeFiles(_:)`` removes them.
    let keepsFiles: Bool

    private static let directoryName = "files"

    /// What came of it.
    struct Result: Sendable {
        var detail: String
        var seconds: Double
        var encryption: NodeEncryption
        /// The root of the file system that they are in; nil if they were removed.
        var root: String?
    }

    /// Removes what was kept.
    static func removeFiles(_ scratch: DrillScratch) { try? scratch.directory.removeTree(directoryName) }

    /// Restores all files, compares what is on the file system then with the manifest, and removes it.
    ///
    /// - Returns: what was compared, in words, the seconds of the restore alone, and the API servers of the node with the
    ///   keys of their configurations.
    /// - Throws: ``Failure`` with the code `integrity` for the first that is not as the manifest says.
    func run(observer: Observer) async throws -> Result {
        let target = scratch.directory.path(of: Self.directoryName)
        defer { if !keepsFiles { Self.removeFiles(scratch) } }
        let report = try await RestoreOperation.run(
            archive, identities: identities, to: target, selection: .files, observer: observer)
        let (count, encryption) = try await withBlockingThread("etcd-snap.drill.files") { [manifest] in
            let root = try OpenDirectory(path: target)
            let count = try manifest.entries.filter { $0.path.hasPrefix(RestoreSelection.files.prefix) }
                .reduce(into: 0) { count, entry in
                    try Self.compare(entry, below: root)
                    count += 1
                }
            return (count, SecretsDrill.encryption(below: joinPath(target, ArchiveFormat.filesPrefix)))
        }
        let refused = report.refusedAttributeCount
        let besides =
            refused == 0
            ? "" : "; \(refused) owners or attributes could not be set here, and were not compared"
        return Result(
            detail:
                "\(count) entries with \(report.byteCount) bytes: kind, SHA-256, mode and target of links\(besides)",
            seconds: report.durationSeconds, encryption: encryption,
            root: keepsFiles ? joinPath(target, ArchiveFormat.filesPrefix) : nil)
    }

    private static func compare(_ entry: ManifestEntry, below root: OpenDirectory) throws {
        guard let names = EntryName.components(of: entry.pathInArchive), let last = names.last else {
            throw Failure(.integrity, "\(quoted(entry.path)) can't be the path of a file")
        }
        let parent = try names.dropLast().reduce(root) { try $0.openDirectory($1) }
        let found = try parent.attributes(of: last)
        func differs(_ what: String, _ found: String, _ expected: String) -> Failure {
            Failure(
                .integrity,
                "\(quoted(entry.path)) was restored with \(what) \(found), and the manifest says \(expected)",
                hint: "use another backup: `etcd-snap list`")
        }
        switch entry.kind.known {
        case .file, .hardLink:
            guard found.kind == .file else { throw differs("the kind", "\(found.kind.noun)", entry.kind.rawValue) }
            guard let expected = entry.sha256 else { return }
            let file = try RandomAccessFile(regular: parent.path(of: last))
            let digest = try VerifyOperation.hash(file, from: 0, observer: Observer()).hexadecimal
            guard digest == expected else { throw differs("the SHA-256", digest, expected) }
        case .directory:
            guard found.kind == .directory else { throw differs("the kind", found.kind.noun, entry.kind.rawValue) }
        case .symbolicLink:
            guard found.kind == .symbolicLink else { throw differs("the kind", found.kind.noun, entry.kind.rawValue) }
            let target = try parent.readLink(last)
            guard target == entry.linkTargetInArchive else {
                throw differs(
                    "the target", quoted(String(decoding: target, as: UTF8.self)), quoted(entry.linkTarget ?? ""))
            }
            return
        case nil: return
        }
        let mode = "0" + String(found.mode, radix: 8)
        guard mode == entry.mode else { throw differs("the mode", mode, entry.mode) }
    }
}
