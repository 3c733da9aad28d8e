import Foundation
import HostIO
import TestSupport
import Testing

@testable import Certificates

/// Whole nodes: what kubeadm made on one, re-issued for the names of another.
@Suite(.timeLimit(.minutes(45))) struct NodeReissuePlanTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private static let targets = ["base", "addr", "nodename", "endpoint", "noendpoint", "N1", "N2", "N3"]

    /// The certificates of base for another tree's names are those that kubeadm made there, field by field, and OpenSSL
    /// accepts each with its key.
    @Test(arguments: targets) func nodesAreWhatKubeadmMakes(_ name: String) throws {
        let (old, target) = (try KubeadmNode("base"), try KubeadmTree.named(name))
        var new = old
        let plan = try old.plan(to: target.identity, configuration: target.configuration)
        #expect(plan.leaves.map(\.kind) == KubeadmCertificate.allCases && plan.refusals.isEmpty)
        let made = try plan.issue(makingKeys: KubeadmTree.leafKey)
        #expect(made.requests.isEmpty)
        try new.apply(made.items)
        for leaf in plan.leaves {
            let isKept = leaf.plan.decision == .keep
            #expect(!leaf.isRequested)
            #expect(isKept == (old.files[leaf.place.certificate.path] == new.files[leaf.place.certificate.path]))
            let der = try new.block(leaf.place.certificate, isKey: false).content
            let (ours, theirs) = (try SignedFields(der), try SignedFields(target.der(leaf.kind)))
            for index in [0, 2, 3, 5] { #expect(ours.signed[index] == theirs.signed[index], "\(leaf.kind) \(index)") }
            #expect(try ours.extensions() == theirs.extensions() && ours.extensions().count >= 4, "\(leaf.kind)")
            #expect(ours.signed.count == theirs.signed.count && ours.algorithm == theirs.algorithm)
            let (record, other) = (try target.parsed(der).record, try target.certificate(leaf.kind).record)
            #expect(record.publicKey.bitCount == other.publicKey.bitCount && record.publicKey.curve == nil)
            if !leaf.kind.isEmbedded {
                let (own, theirs) = (record, other)
                #expect(
                    own.notAfter.timeIntervalSince(own.notBefore) == theirs.notAfter.timeIntervalSince(theirs.notBefore)
                )
            }
            try new.verify(leaf, in: directory)
        }
        let changed = Set(new.files.filter { old.files[$0.key] != $0.value }.keys)
        #expect(changed.allSatisfy { !$0.hasSuffix("ca.crt") && !$0.hasSuffix("ca.key") && !$0.contains("/sa.") })
        #expect(changed.isEmpty == (name == "base"))
    }

    @Test(arguments: ["ecdsa", "rsa4096", "svc", "v6", "sans", "exte"])
    func nodesOfEveryKind(_ name: String) throws {
        var node = try KubeadmNode(name)
        let target = try NodeIdentity(
            nodeName: "cp-77", addresses: ["192.0.2.77", "2001:db8::77"].map { try #require(IPAddress($0)) },
            endpointHost: "fd00::100")
        let plan = try node.plan(to: target)
        // Keys on curves are made fast enough to have one for each certificate here.
        let made = try name == "ecdsa" ? plan.issue() : plan.issue(makingKeys: KubeadmTree.leafKey)
        if name == "ecdsa" {
            let keys = made.items.compactMap { item -> [UInt8]? in
                guard item.path.hasSuffix(".key"), case .file(let key, 0o600) = item.content else { return nil }
                return key.withUnsafeBytes { Array($0) }
            }
            #expect(keys.count == 3 && Set(keys).count == 3 && Set(keys).isDisjoint(with: node.files.values))
        }
        try node.apply(made.items)
        #expect(plan.leaves.map(\.kind) == node.tree.kinds)
        for leaf in plan.leaves {
            try node.verify(leaf, in: directory)
            let record = try node.tree.parsed(node.block(leaf.place.certificate, isKey: false).content).record
            #expect(!record.dnsNames.contains("cp-1") && !record.ipAddresses.contains("10.0.0.11"))
            guard leaf.kind == .apiServer else { continue }
            #expect(record.dnsNames.contains("cp-77") && !record.dnsNames.contains("lb.example.internal"))
            #expect(record.ipAddresses.contains("192.0.2.77") && record.ipAddresses.contains("fd00::100"))
        }
        // Made once, nothing is to be made again.
        let again = try node.plan(to: target)
        #expect(again.leaves.allSatisfy { $0.plan.decision == .keep })
    }

    /// The second address of a dual-stack node is replaced by the second one.
    @Test func dualStack() throws {
        func addresses(_ texts: String...) throws -> [IPAddress] { try texts.map { try #require(IPAddress($0)) } }
        let old = try NodeIdentity(
            nodeName: "cp-1", addresses: addresses("10.0.0.11", "10.9.9.9"), endpointHost: "lb.example.internal")
        let new = try NodeIdentity(
            nodeName: "cp-1", addresses: addresses("10.0.0.12", "fd00::9"), endpointHost: "lb.example.internal")
        let plan = try KubeadmNode("sans").plan(from: old, to: new)
        let server = try #require(plan.leaves.first { $0.kind == .etcdServer }).plan
        #expect(server.decision == .reissue([.names]))
        #expect(server.addedHosts.map(\.description) == ["10.0.0.12", "fd00::9"])
        #expect(server.removedHosts.map(\.description) == ["10.0.0.11", "10.9.9.9"])
    }

    // MARK: Kubelets

    @Test func kubeletsOwnFile() throws {
        var node = try KubeadmNode("base")
        let (path, pem) = ("/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/pki/kubelet-client-current.pem")
        let place = CredentialPlace(
            certificate: .embedded(in: path, user: ""), key: .embedded(in: path, user: ""))
        node.files[pem] =
            PEMFile.encode(try node.block(place.certificate, isKey: false))
            + PEMFile.encode(try node.block(place.key, isKey: true))
        try node.replace(path, #/client-certificate-data: .*/#, with: "client-certificate: \(pem)")
        try node.replace(path, #/client-key-data: .*/#, with: "client-key: \(pem)")
        let target = try KubeadmTree.named("N1")
        let plan = try node.plan(to: target.identity)
        let leaf = try #require(plan.leaves.last)
        #expect(leaf.place == CredentialPlace(certificate: .file(pem), key: .file(pem)))
        let items = try plan.issue(makingKeys: KubeadmTree.leafKey).items.suffix(2)
        let file = "/var/lib/kubelet/pki/kubelet-client-2026-11-27-06-00-00.pem"
        #expect(items.map(\.path) == [file, pem])
        guard case .file(_, 0o600) = items.first?.content, case .symbolicLink(file) = items.last?.content else {
            Issue.record("\(items)")
            return
        }
        try node.apply(Array(items))
        try node.verify(leaf, in: directory)
        let record = try target.parsed(node.block(leaf.place.certificate, isKey: false).content).record
        #expect(record.subject == "CN=system:node:cp-21,O=system:nodes")

        // A file that no backup had is made anew, if it is known what as.
        node.files[pem] = nil
        #expect(try node.plan(to: target.identity).leaves.last?.kind == .scheduler)
        let missing = try #require(
            try node.plan(to: target.identity, configuration: target.configuration).leaves.last)
        #expect(missing.kind == .kubelet && missing.plan.decision == .reissue([.missing]))
        #expect(missing.plan.profile == target.profile(.kubelet))
    }

    @Test func kubeconfigsStayButForTheData() throws {
        let path = "/etc/kubernetes/kubelet.conf"
        var node = try KubeadmNode("base")
        try node.replace(path, #/current-context: /#, with: "# a remark\ncurrent-context: ")
        let old = String(decoding: try #require(node.files[path]), as: UTF8.self)
        try node.apply(node.plan(to: KubeadmTree.named("N1").identity).issue(makingKeys: KubeadmTree.leafKey).items)
        let new = String(decoding: try #require(node.files[path]), as: UTF8.self)
        let lines = zip(old.split(separator: "\n"), new.split(separator: "\n"))
        let changed = lines.filter { $0 != $1 }.map {
            $0.0.split(separator: ":")[0].trimmingCharacters(in: .whitespaces)
        }
        #expect(changed == ["client-certificate-data", "client-key-data"])
        #expect(old.split(separator: "\n").count == new.split(separator: "\n").count && old.last == new.last)
    }

    @Test func kubeconfigsThatCantBeChangedAreRefused() throws {
        let path = "/etc/kubernetes/kubelet.conf"
        let target = try KubeadmTree.named("N1").identity
        var node = try KubeadmNode("base")
        try node.replace(path, #/client-key-data: /#, with: "client-key-data: |\n        ")
        var error = #expect(throws: Failure.self) {
            try node.plan(to: target).issue(makingKeys: KubeadmTree.leafKey)
        }
        #expect(error?.message.contains("\"\(path)\" does not have the client-key-data") == true)
        node = try KubeadmNode("base")
        try node.replace(path, #/preferences: {}|kind: Config/#, with: "kind: Config\nx: &a b\ny: *a")
        error = #expect(throws: Failure.self) { try node.plan(to: target).issue(makingKeys: KubeadmTree.leafKey) }
        #expect(error?.message.contains("has aliases") == true)
        node.files[path] = Array("kind: [".utf8)
        error = #expect(throws: Failure.self) { try node.plan(to: target) }
        #expect(error?.message.contains("is not valid YAML") == true)
    }

    // MARK: What can't be

    @Test func othersAuthoritiesAreRefused() throws {
        let (addr, target) = (try KubeadmNode("addr"), try KubeadmTree.named("N1").identity)
        var node = try KubeadmNode("base")
        for name in ["ca.crt", "ca.key"] {
            node.files["/etc/kubernetes/pki/\(name)"] = addr.files["/etc/kubernetes/pki/\(name)"]
        }
        let plan = try node.plan(to: target)
        #expect(plan.refusals.count == node.tree.kinds.filter { $0.authority == .cluster }.count)
        let error = #expect(throws: Failure.self) { try plan.issue(makingKeys: KubeadmTree.leafKey) }
        #expect(error?.code == .untrusted && error?.hint != nil)
        #expect(
            error?.message == "the certificate in \"/etc/kubernetes/pki/apiserver.crt\" can't be made anew: "
                + "another authority of the name \"CN=kubernetes\" signed it")

        node.files["/etc/kubernetes/pki/ca.key"] = try KubeadmNode("base").files["/etc/kubernetes/pki/ca.key"]
        let mismatch = #expect(throws: Failure.self) { try node.plan(to: target) }
        #expect(mismatch?.message.contains("is not that of the authority in \"/etc/kubernetes/pki/ca.crt\"") == true)
        node.files["/etc/kubernetes/pki/ca.crt"] = nil
        #expect(
            try node.plan(to: target).refusals.first?.message.contains(
                "there is no certificate of its authority in \"/etc/kubernetes/pki/ca.crt\"") == true)
        node.files["/etc/kubernetes/pki/ca.crt"] = Array("nothing".utf8)
        #expect(throws: Failure.self) { try node.plan(to: target) }
    }

    @Test func clocksBeforeTheAuthorityAreRefused() throws {
        let node = try KubeadmNode("base")
        let start = try node.tree.authorityCertificate(.cluster).record.notBefore
        let plan = try node.plan(to: KubeadmTree.named("N1").identity, now: start - 3600)
        #expect(plan.refusals.count == plan.leaves.count)
        let error = #expect(throws: Failure.self) { try plan.issue() }
        #expect(error?.message.contains("is not valid before \(start.formatted(.iso8601))") == true)
        #expect(error?.message.contains("clock says \((start - 3600).formatted(.iso8601))") == true)
        #expect(error?.hint == "set the clock of this host")
    }

    @Test func whatIsMissingIsMade() throws {
        let target = try KubeadmTree.named("N2")
        var node = try KubeadmNode("base")
        for name in ["pki/etcd/peer.crt", "pki/front-proxy-client.key", "super-admin.conf"] {
            node.files["/etc/kubernetes/\(name)"] = nil
        }
        let plan = try node.plan(to: target.identity, configuration: target.configuration)
        func decision(_ kind: KubeadmCertificate) -> ReissuePlan.Decision? {
            plan.leaves.first { $0.kind == kind }?.plan.decision
        }
        #expect(decision(.etcdPeer) == .reissue([.missing]) && decision(.frontProxyClient) == .reissue([.noKey]))
        #expect(decision(.superAdmin) == nil)
        var external = target.configuration
        external.hasExternalEtcd = true
        #expect(try !node.plan(to: target.identity, configuration: external).leaves.contains { $0.kind == .etcdPeer })
        try node.apply(plan.issue(makingKeys: KubeadmTree.leafKey).items)
        for leaf in plan.leaves { try node.verify(leaf, in: directory) }

        var sans = try KubeadmNode("sans")
        sans.files["/etc/kubernetes/pki/apiserver.crt"] = nil
        let server = try sans.plan(to: target.identity, configuration: sans.tree.configuration).leaves[0].plan
        #expect(server.decision == .reissue([.missing]) && server.remarks == [.namesLeftOut(["not_a.name"])])
    }

    @Test func certificatesDirectoriesElsewhere() throws {
        let node = try KubeadmNode("base")
        let layout = KubeadmLayout(certificatesDirectory: "/srv/pki")
        let plan = try NodeReissuePlan(
            layout: layout, change: IdentityChange(from: node.tree.identity, to: KubeadmTree.named("N1").identity),
            configuration: nil, now: KubeadmTree.now
        ) { path in
            let place = path.hasPrefix("/srv/pki/") ? "/etc/kubernetes/pki/" + path.dropFirst(9) : path
            return place.hasPrefix("/etc/kubernetes/pki/") == path.hasPrefix("/srv/pki/")
                ? node.files[place].map { $0.withUnsafeBytes { SecretBytes(copying: $0) } } : nil
        }
        let paths = try plan.issue(makingKeys: KubeadmTree.leafKey).items.map(\.path)
        #expect(paths.contains("/srv/pki/etcd/peer.key") && paths.contains("/etc/kubernetes/kubelet.conf"))
    }
}
