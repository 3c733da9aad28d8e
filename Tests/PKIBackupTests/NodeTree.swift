import Foundation
import HostIO
import SealedArchive
import TestSupport

@testable import NodeFiles
@testable import PKIBackup

/// A tree that stands for a node, in a directory of its own.
struct NodeTree {
    let directory: TemporaryDirectory
    /// Where the node's `/` is.
    let path: String

    init() throws {
        directory = try TemporaryDirectory()
        path = URL(filePath: directory.path).resolvingSymlinksInPath().path + "/node"
        try run("mkdir", [path])
    }

    /// What kubeadm 1.36 leaves, with the modes that it sets.
    static func kubeadm() throws -> NodeTree {
        let tree = try NodeTree()
        let fixture = URL(filePath: #filePath).resolvingSymlinksInPath()
            .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures/kubeadm/etc").path
        try run("cp", ["-r", fixture, tree.path])
        try shell(
            "find etc -name '*.key' -o -name '*.conf' -o -path '*/manifests/*' | xargs chmod 0600; chmod 0700 etc/kubernetes/manifests",
            in: tree.path)
        return tree
    }

    var root: NodeRoot { NodeRoot(prefix: path) }

    /// Runs a script in the node's root directory.
    func make(_ script: String) throws { try shell(script, in: path) }

    /// Writes a file and the directories above it.
    func write(_ text: String, to file: String) throws {
        try run("mkdir", ["-p", URL(filePath: path + file).deletingLastPathComponent().path])
        try text.write(toFile: path + file, atomically: false, encoding: .utf8)
    }

    /// Empty files with their directories.
    func touch(_ files: [String]) throws { for file in files { try write("content of \(file)\n", to: file) } }

    func discover(processes: String? = nil) -> NodeLayout {
        NodeDiscovery(root: root, processDirectory: processes).discover()
    }

    /// Every regular file of the node, as absolute paths.
    func files() throws -> Set<String> {
        let text = try run("find", [path, "-type", "f", "-printf", "/%P\\n"]).text
        return Set(text.split(separator: "\n").map(String.init))
    }
}

extension NodeLayout {
    /// The reference to a path.
    func reference(_ path: String) -> FileReference? { references.first { $0.path == path } }

    func component(_ name: String) -> Component? { components.first { $0.name == name } }

    func etcd(_ name: String) -> DiscoveredEtcd? { etcds.first { $0.name == name } }

    var codes: [String] { findings.map(\.code) }
}
