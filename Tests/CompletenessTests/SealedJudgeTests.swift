import Age
import Certificates
import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

/// What is judged is what was sealed, however the files look meanwhile, and an archive gets the same judgement.
@Suite struct SealedJudgeTests {
    private final class Sink: ByteSink {
        private(set) var bytes: [UInt8] = []
        func write(_ bytes: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: bytes) }
    }

    private struct Stored: RandomAccessBytes {
        var name = "archive"
        var bytes: [UInt8]
        var byteCount: Int { bytes.count }
        func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) -> Int {
            let part = bytes[min(offset, bytes.count)..<min(bytes.count, offset + buffer.count)]
            buffer.copyBytes(from: part)
            return part.count
        }
    }

    /// Captures a tree; what was sealed, and the archive.
    private func capture(_ tree: ControlPlaneTree, _ layout: NodeLayout) throws -> (CapturedFiles, ArchiveReader) {
        let identity = try X25519Identity.generate()
        let sink = Sink()
        let time = ControlPlaneTree.now
        let writer = try ArchiveWriter(
            to: sink, recipients: [identity.recipient],
            header: ArchiveHeader(id: BackupID(time: time), cluster: "c", node: "n", createdAt: time),
            options: CompressionOptions(frameSize: 64 << 10, coreCount: 2))
        let root = NodeRoot(prefix: tree.directory.path)
        let captured = CapturedFiles(fallback: root, keeping: CertificateInventory.need(of:role:))
        try ControlPlaneCapture(into: writer, root: root, captured: captured).capture(layout.references)
        _ = try writer.finish(Manifest(archive: writer.header))
        return (captured, try ArchiveReader(Stored(bytes: sink.bytes), identities: [identity]))
    }

    private func judge(_ layout: NodeLayout, _ files: any FileSource) -> [String] {
        let inventory = CertificateInventory.build(layout: layout, files: files)
        return summary(
            Completeness.check(
                layout: layout, files: files, inventory: inventory, snapshot: nil,
                options: CompletenessOptions(now: ControlPlaneTree.now)))
    }

    @Test func `files that change after the capture are judged as they were sealed`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        let root = NodeRoot(prefix: tree.directory.path)
        let layout = NodeDiscovery(root: root).discover()
        let (captured, reader) = try capture(tree, layout)
        try tree.write("/etc/kubernetes/admin.conf", "kind: Config\nclusters: [")
        try tree.remove("/etc/kubernetes/pki/ca.key")
        try tree.write("/etc/kubernetes/pki/sa.key", "")
        #expect(judge(layout, root).count >= 3)
        #expect(judge(layout, captured) == [])
        #expect(judge(layout, try CapturedFiles(of: reader)) == [])
    }

    @Test func `damage that was sealed is found though the files are mended meanwhile`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        let root = NodeRoot(prefix: tree.directory.path)
        let mended = try tree.pair("/etc/kubernetes/pki/etcd/ca")
        try tree.write("/etc/kubernetes/pki/etcd/ca.key", try tree.pair("/etc/kubernetes/pki/ca").key)
        let layout = NodeDiscovery(root: root).discover()
        let (captured, reader) = try capture(tree, layout)
        try tree.write("/etc/kubernetes/pki/etcd/ca", mended)
        let expected = ["error key-mismatch /etc/kubernetes/pki/etcd/ca.key"]
        #expect(judge(layout, root) == [])
        #expect(judge(layout, captured) == expected)
        #expect(judge(layout, try CapturedFiles(of: reader)) == expected)
    }

    @Test func `links are followed as the node would, within what was sealed`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        let pki = tree.location("/etc/kubernetes/pki")
        try FileManager.default.createDirectory(atPath: tree.location("/srv/keys"), withIntermediateDirectories: true)
        try FileManager.default.moveItem(atPath: "\(pki)/ca.key", toPath: tree.location("/srv/keys/ca.key"))
        try FileManager.default.createSymbolicLink(atPath: "\(pki)/ca.key", withDestinationPath: "/srv/keys/ca.key")
        try FileManager.default.moveItem(atPath: "\(pki)/sa.key", toPath: "\(pki)/real-sa.key")
        try FileManager.default.createSymbolicLink(atPath: "\(pki)/sa.key", withDestinationPath: "./real-sa.key")
        let layout = NodeDiscovery(root: NodeRoot(prefix: tree.directory.path)).discover()
        let (captured, reader) = try capture(tree, layout)
        #expect(judge(layout, captured) == [])
        #expect(judge(layout, try CapturedFiles(of: reader)) == [])
        #expect(
            try CapturedFiles(of: reader).bytes(of: "/etc/kubernetes/pki/ca.key", limitByteCount: 1 << 20).count > 0)
    }

    @Test func `copies kept aside give one note`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        let expired = try tree.openssl.issue(
            "/CN=kube-apiserver", by: tree.pair("/etc/kubernetes/pki/ca"), from: "20200101000000Z",
            to: "20210101000000Z")
        for path in [
            "apiserver.crt.1", "apiserver.crt.~2~", "apiserver (1).crt", "apiserver.crt.old", "apiserver.crt.bak2",
            "apiserver-20210101.crt", "apiserver_2021-01-01.crt",
        ] {
            try tree.write("/etc/kubernetes/pki/\(path)", expired.certificate)
        }
        try tree.write("/etc/kubernetes/pki.bak/apiserver.crt", expired.certificate)
        try tree.write("/etc/kubernetes/pki-1609459200/apiserver.crt", expired.certificate)
        try tree.write("/etc/kubernetes/admin.conf.bak", "kind: Config\nclusters: [")
        try tree.write("/etc/kubernetes/kubelet.conf~", "kind: Config\nclusters: []\nusers: []\n")
        #expect(summary(tree.findings()) == ["note leftovers /etc/kubernetes/admin.conf.bak"])
    }

    @Test func `of what users include only keys and certificates are judged`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        let root = NodeRoot(prefix: tree.directory.path)
        var layout = NodeDiscovery(root: root).discover()
        for path in ["/srv/site", "/srv/one.conf"] {
            layout.references.append(
                FileReference(path: path, captureClass: .include, referrer: "the user", isRequired: true))
        }
        for name in ["notes.bak", "2026-11-26.log", "site.conf.old", "tables/prev.db"] {
            try tree.write("/srv/site/\(name)", "text")
        }
        try tree.write("/srv/one.conf", "text")
        let (captured, reader) = try capture(tree, layout)
        #expect(judge(layout, captured) == [])
        try tree.write("/srv/site/tls.key.old", "text")
        try tree.write("/srv/site/broken.crt", "text")
        let expected = ["note leftovers /srv/site/tls.key.old", "note pem-missing /srv/site/broken.crt"]
        #expect(judge(layout, root) == expected)
        let (capturedAgain, _) = try capture(tree, layout)
        #expect(judge(layout, capturedAgain) == expected)
        try tree.remove("/srv/one.conf")
        #expect(judge(layout, capturedAgain) == expected)
        #expect(judge(layout, try CapturedFiles(of: reader)) == [])
    }

    @Test(arguments: [
        "apiserver.crt", "ca-old-key-holder", "kubelet-client-current.pem", "sa.pub", "10-kubeadm.conf", "etcd3.crt",
        "node-10-0-0-11.crt", "ca.crt", "manifests", "distribution.crt", "oldenburg.crt", "k8s-2026.crt",
    ])
    func `names of things in use`(_ name: String) {
        #expect(LeftoverName.matches(name) == (name == "ca-old-key-holder"))
    }
}
