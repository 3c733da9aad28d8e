import Foundation
import NodeFiles
import PKIBackup
import SealedArchive
import Testing

@testable import Operations

@Suite struct FileSelectionTests {
    /// A manifest with a file of each class, and of one that only a later version knows.
    private func manifest() throws -> Manifest {
        var manifest = Manifest(
            archive: ArchiveHeader(id: BackupID(time: Date()), cluster: "c", node: "cp-1", createdAt: Date()))
        let roles = CaptureClass.allCases.map(\.rawValue) + ["later"]
        manifest.entries = try roles.map { role in
            let text = """
                {"path": "files/\(role)", "kind": "file", "role": "\(role)", "size": 0, "mode": "0600", "owner": "0:0",
                 "modifiedAt": "2026-01-01T00:00:00Z", "offset": 0}
                """
            let decoder = JSONDecoder()
            decoder.dateDecodingStrategy = .iso8601
            return try decoder.decode(ManifestEntry.self, from: Data(text.utf8))
        }
        return manifest
    }

    private func leftOut(_ selection: FileSelection) throws -> Set<String> {
        Set(try selection.leftOut(of: manifest()).map(\.role))
    }

    /// What a host that takes the place of another would make anew, or already has.
    private static let ofTheNode: Set<String> = [
        "certificate", "private-key", "kubeconfig", "static-pod", "kubeadm-configuration", "kubelet-configuration",
        "kubelet-pki", "distribution", "etcd-configuration", "cni-configuration", "cni-state", "network", "systemd",
        "container-runtime", "host", "include",
    ]

    @Test func aNewHostGetsWhatIsTheClusters() throws {
        #expect(try leftOut(.forNewHost) == Self.ofTheNode.union(["later"]))
        let onAnyNode = FileSelection.forNewHost.inPlace(from: "cp-1", on: "cp-1")
        #expect(try leftOut(onAnyNode) == Self.ofTheNode.union(["later"]))
    }

    @Test func theNodesOwnArchiveIsPlacedButForItsHost() throws {
        let selection = FileSelection().inPlace(from: "cp-1", on: "cp-1")
        #expect(try leftOut(selection) == ["network", "host", "cni-state"])
    }

    @Test func anotherNodesArchiveIsNot() throws {
        let selection = FileSelection().inPlace(from: "cp-1", on: "cp-2")
        #expect(try leftOut(selection) == Self.ofTheNode.union(["later"]))
        let reasons = try selection.leftOut(of: manifest()).filter { $0.role == "certificate" }.map(\.reason)
        #expect(reasons == ["it belongs to the node cp-1, and this is cp-2"])
        // Where nothing tells whose file system it is, nothing of a node is there to be lost.
        #expect(try leftOut(FileSelection().inPlace(from: "cp-1", on: nil)) == ["network", "host", "cni-state"])
    }

    @Test func whatIsAskedForIsNotLeftOut() throws {
        let selection = FileSelection(classes: ["certificate", "network"]).inPlace(from: "cp-1", on: "cp-2")
        #expect(try leftOut(selection).isEmpty)
    }
}
