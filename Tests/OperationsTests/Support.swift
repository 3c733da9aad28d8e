import Age
import ArchiveStore
import Foundation
import HostIO
import SealedArchive
import Testing

let repository = URL(filePath: #filePath).resolvingSymlinksInPath()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// The root of what kubeadm 1.36 leaves on a node, as far as it is needed.
let kubeadmRoot = repository.appending(path: "Tests/Fixtures/kubeadm").path

/// Puts a small archive into a store.
func add(
    _ id: BackupID, to scope: StoreScope, of store: LocalStore,
    createdAt: Date = Date(timeIntervalSince1970: 1_795_402_800),
    sequence: Int = 1
) throws {
    let writer = try store.writer(for: scope)
    let file = try writer.begin(id)
    let header = ArchiveHeader(
        id: id, cluster: scope.cluster, node: scope.node, createdAt: createdAt)
    let archive = try ArchiveWriter(
        to: file, recipients: [X25519Identity.generate().recipient], header: header,
        options: CompressionOptions(frameSize: 4096, coreCount: 1))
    let summary = try archive.finish(Manifest(archive: header))
    let sidecar = Sidecar(
        manifest: Manifest(archive: header), sealed: summary, recipients: [], completedAt: header.createdAt,
        sequence: sequence,
        previousSidecarSHA256: nil)
    try file.publish(SidecarDocument(sidecar))
}
