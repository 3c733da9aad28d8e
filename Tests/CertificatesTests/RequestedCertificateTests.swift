import Foundation
import HostIO
import TestSupport
import Testing
import X509

@testable import Certificates

/// Nodes whose authorities keep their keys elsewhere.
@Suite(.timeLimit(.minutes(45))) struct RequestedCertificateTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// What is requested is what `kubeadm certs generate-csr` asks for, and no certificate is made.
    @Test func externalAuthoritiesAreAsked() throws {
        let base = try KubeadmNode("base")
        var node = base
        for authority in KubeadmCertificate.Authority.allCases {
            node.files["/etc/kubernetes/" + authority.keyPath] = nil
        }
        let target = try KubeadmTree.named("N1")
        let plan = try node.plan(to: target.identity)
        let made = try plan.issue(makingKeys: KubeadmTree.leafKey)
        let stems = ["pki/apiserver", "pki/etcd/server", "pki/etcd/peer", "kubelet.conf"]
        #expect(made.items.isEmpty && plan.leaves.allSatisfy(\.isRequested))
        #expect(made.requests.map(\.path) == stems.flatMap { ["\($0).key", "\($0).csr"] } + ["requests.tsv"])
        for item in made.requests {
            guard case .file(let bytes, let mode) = item.content else { continue }
            #expect(mode == (item.path == NodeReissuePlan.tableName ? 0o644 : 0o600))
            try Data(bytes.withUnsafeBytes { Array($0) })
                .write(to: URL(fileURLWithPath: directory.file(String(item.path.split(separator: "/").last ?? ""))))
        }
        let request = directory.file("server.csr")
        let text = try run("openssl", ["req", "-in", request, "-verify", "-noout", "-text"]).text
        #expect(text.contains("DNS:cp-21, DNS:localhost, IP Address:10.0.0.21, IP Address:127.0.0.1"))
        #expect(
            try run("openssl", ["req", "-in", request, "-noout", "-pubkey"]).text
                == run("openssl", ["pkey", "-in", directory.file("server.key"), "-pubout"]).text)
        let table = try String(contentsOfFile: directory.file("requests.tsv"), encoding: .utf8).split(separator: "\n")
        #expect(table.count == 5 && table[0] == SigningRequest.tableHead)

        // One authority may be external alone.
        node.files["/etc/kubernetes/pki/etcd/ca.key"] = base.files["/etc/kubernetes/pki/etcd/ca.key"]
        let mixed = try node.plan(to: target.identity).issue(makingKeys: KubeadmTree.leafKey)
        #expect(
            mixed.requests.map(\.path).filter { $0.hasSuffix(".csr") } == ["pki/apiserver.csr", "kubelet.conf.csr"])
        #expect(mixed.items.map(\.path).filter { $0.hasSuffix(".crt") }.count == 2)
    }

    /// What a signer gave back is put in place if it is what was asked for.
    @Test func signedCertificatesArePlaced() throws {
        var node = try KubeadmNode("base")
        node.files["/etc/kubernetes/pki/ca.key"] = nil
        let plan = try node.plan(to: KubeadmTree.named("N1").identity)
        var files: [String: [UInt8]] = [:]
        for item in try plan.issue(makingKeys: KubeadmTree.leafKey).requests {
            if case .file(let bytes, _) = item.content { files[item.path] = bytes.withUnsafeBytes { Array($0) } }
        }
        func placed() throws(Failure) -> ReissuedFiles {
            try plan.placeSigned { path in files[path].map { $0.withUnsafeBytes { SecretBytes(copying: $0) } } }
        }
        func sign(
            _ kind: KubeadmCertificate, by tree: KubeadmTree, at time: Date = KubeadmTree.now,
            _ change: (inout CertificateProfile) -> Void = { _ in }
        ) throws {
            var profile = try #require(plan.leaves.first { $0.kind == kind }?.plan.profile)
            change(&profile)
            let key = try KubeadmTree.key(profile.keyAlgorithm)
            files[kind.requestStem + ".crt"] = try tree.authority(.cluster).issue(profile, key: key, now: time).pem
        }
        func expectRefusal(_ parts: String...) {
            let error = #expect(throws: Failure.self) { try placed() }
            for part in parts { #expect(error?.message.contains(part) == true, "\(error?.message ?? "")") }
        }
        expectRefusal("\"pki/apiserver.crt\" or \"pki/apiserver.key\" is missing")
        let (base, addr) = (node.tree, try KubeadmTree.named("addr"))
        try sign(.kubelet, by: base)
        files["pki/apiserver.crt"] = files["kubelet.conf.crt"]
        expectRefusal(
            "\"pki/apiserver.crt\" is not for cp-21", "10.0.0.100; it has the subject \"CN=system:node:cp-21",
            "it is not for serverAuth")
        try sign(.apiServer, by: base) { $0.extendedKeyUsages = [.codeSigning] }
        expectRefusal("\"pki/apiserver.crt\" is not for serverAuth")
        try sign(.apiServer, by: addr)
        expectRefusal("was not signed by the authority in \"/etc/kubernetes/pki/ca.crt\"")
        try sign(.apiServer, by: base, at: KubeadmTree.now + 3600)
        expectRefusal("is valid from 2026-11-27T06:55:00Z", "clock says 2026-11-27T06:00:00Z")
        files["pki/apiserver.crt"] = try base.bytes("pki/ca.crt")
        expectRefusal("is not for the key beside it", "is none of a leaf")
        try sign(.apiServer, by: base)
        let items = try placed().items
        #expect(
            items.map(\.path) == ["apiserver.crt", "apiserver.key"].map { "/etc/kubernetes/pki/\($0)" }
                + ["/etc/kubernetes/kubelet.conf"])
        try node.apply(items)
        for leaf in plan.leaves where [.apiServer, .kubelet].contains(leaf.kind) {
            try node.verify(leaf, in: directory)
        }
    }
}
