import HostIO
import NodeFiles
import PKIBackup
import SealedArchive

/// Which captured files are restored.
public struct FileSelection: Sendable {
    /// Classes as the manifest names them; empty for all.
    public var classes: Set<String>
    /// Classes that are left out unless ``classes`` names them, each with the reason.
    public private(set) var leftOut: [String: String] = [:]
    /// Why a class that this version does not know is left out too; nil if it is not.
    private var reasonForUnknown: String?

    /// A selection of classes, or of all.
    public init(classes: Set<String> = []) { self.classes = classes }

    /// What a new host of the same cluster needs: what belongs to the cluster and not to one of its nodes.
    public static let forNewHost: FileSelection = {
        var selection = FileSelection()
        selection.leaveOutOfNode("it belongs to the node that it was taken from")
        return selection
    }()

    /// The selection for a restore in place on a node.
    ///
    /// - Parameters:
    ///   - archiveNode: the node that the archive was made on.
    ///   - node: this node's name; nil if nothing tells it.
    public func inPlace(from archiveNode: String, on node: String?) -> FileSelection {
        var selection = self
        if let node, archiveNode != node {
            selection.leaveOutOfNode("it belongs to the node \(archiveNode), and this is \(node)")
        }
        for captureClass in CaptureClass.allCases where !captureClass.isPlacedByDefault {
            selection.leftOut[captureClass.rawValue] = "it describes the host and its networks"
        }
        return selection
    }

    private mutating func leaveOutOfNode(_ reason: String) {
        for captureClass in CaptureClass.allCases where captureClass.belongsToNode {
            leftOut[captureClass.rawValue] = reason
        }
        reasonForUnknown = "this version does not know the class, and whether \(reason)"
    }

    private func reasonToLeaveOut(_ role: String) -> String? {
        leftOut[role] ?? (CaptureClass(rawValue: role) == nil ? reasonForUnknown : nil)
    }

    private func includes(_ role: String) -> Bool {
        classes.isEmpty ? reasonToLeaveOut(role) == nil : classes.contains(role)
    }

    /// The selected entries of an archive.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there are none.
    func entries(of reader: ArchiveReader, reference: String) throws -> [ManifestEntry] {
        let manifest = try reader.readManifest()
        let selected = entries(of: manifest)
        guard selected.isEmpty else { return selected }
        let known = Set(files(of: manifest).filter { $0.kind != .directory }.map(\.role)).sorted()
        let classes = classes.isEmpty ? "" : " of the class \(classes.sorted().joined(separator: ", "))"
        throw Failure(
            .notFound, "\(quoted(reference)) has no files\(classes)",
            hint: known.isEmpty ? nil : "it has: \(known.joined(separator: ", "))")
    }

    /// What is left out though no class was asked for, with the reasons; directories aside.
    func leftOut(of manifest: Manifest) -> [PlannedPlacement] {
        guard classes.isEmpty else { return [] }
        let needed = Set(entries(of: manifest).map(\.pathInArchive))
        return files(of: manifest).compactMap { entry in
            guard entry.kind != .directory, !needed.contains(entry.pathInArchive),
                let reason = reasonToLeaveOut(entry.role)
            else { return nil }
            let path = String(entry.path.dropFirst(ArchiveFormat.filesPrefix.count))
            return PlannedPlacement(path: path, role: entry.role, action: .leftOut, reason: reason)
        }
    }

    private func files(of manifest: Manifest) -> [ManifestEntry] {
        manifest.entries.filter { $0.path.hasPrefix(ArchiveFormat.filesPrefix + "/") }
    }

    /// The directories above a selected file are needed for it, whatever they are.
    private func entries(of manifest: Manifest) -> [ManifestEntry] {
        let files = files(of: manifest)
        guard !classes.isEmpty || !leftOut.isEmpty else { return files }
        let selected = files.filter { $0.kind != .directory && includes($0.role) }
        // A further name of a file needs the first.
        let firstNames = Set(selected.filter { $0.kind == .hardLink }.compactMap(\.linkTargetInArchive))
        var needed = Set(selected.map(\.pathInArchive)).union(firstNames)
        for path in Array(needed) {
            var rest = path[...]
            while let slash = rest.lastIndex(of: UInt8(ascii: "/")) {
                rest = rest[..<slash]
                needed.insert(Array(rest))
            }
        }
        return files.filter { entry in
            // An empty directory is there for itself.
            needed.contains(entry.pathInArchive) || entry.kind == .directory && classes.isEmpty && includes(entry.role)
        }
    }
}
