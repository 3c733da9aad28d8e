import Foundation
import HostIO
import SwiftASN1
import TestSupport
import Testing
import X509

@testable import Certificates

/// Certificates of our profiles beside those that kubeadm made.
@Suite(.timeLimit(.minutes(45))) struct KubeadmCertificateTests {
    @Test(arguments: try KubeadmTree.all()) func profilesAreKubeadms(_ tree: KubeadmTree) throws {
        for kind in tree.kinds {
            let made = tree.profile(kind)
            var old = try CertificateProfile(of: tree.certificate(kind))
            // kubeconfigs' begin when the authority does, whenever they are made.
            if kind.isEmbedded { old.lifetimeSeconds = made.lifetimeSeconds }
            #expect(old == made, "\(kind)")
            #expect(
                kind.unusableNames(in: tree.configuration)
                    == (tree.name == "sans" && kind == .apiServer ? ["not_a.name"] : []))
        }
    }

    /// All but serial number, validity, key and signature, byte by byte.
    @Test(arguments: try KubeadmTree.all()) func certificatesAreKubeadms(_ tree: KubeadmTree) throws {
        for kind in tree.kinds {
            let authority = try tree.authority(kind.authority)
            let profile = tree.profile(kind)
            let made = try authority.issue(profile, key: KubeadmTree.key(profile.keyAlgorithm), now: KubeadmTree.now)
            let (ours, theirs) = (try SignedFields(made.der), try SignedFields(tree.der(kind)))
            for index in [0, 2, 3, 5, 7] {
                #expect(ours.signed[index] == theirs.signed[index], "field \(index) of \(kind)")
            }
            #expect(ours.signed.count == theirs.signed.count && ours.algorithm == theirs.algorithm)
            let (record, old) = (try made.parsed(path: "").record, try tree.certificate(kind).record)
            #expect(record.publicKey.algorithm == old.publicKey.algorithm)
            #expect(
                record.publicKey.bitCount == old.publicKey.bitCount && record.publicKey.curve == old.publicKey.curve)
            #expect(record.notAfter == KubeadmTree.now + 8760 * 3600)
            #expect(record.notBefore == KubeadmTree.now - 300)
        }
    }

    /// All but key and signature of what `kubeadm certs generate-csr` wrote.
    @Test func requestsAreKubeadms() throws {
        let tree = try KubeadmTree.named("extca")
        for kind in tree.kinds {
            let request = try SigningRequest(tree.profile(kind), key: KubeadmTree.key(.rsa2048))
            let file = kind.isEmbedded ? kind.path + ".csr" : String(kind.path.dropLast(3)) + "csr"
            let pem = PEMFile(try tree.content("csr/\(file)"))
            let block = try #require(pem.blocks.first)
            #expect(block.label == "CERTIFICATE REQUEST" && PEMFile(request.pem).blocks.first?.label == block.label)
            let (ours, theirs) = (try SignedFields(request.der), try SignedFields(block.content))
            for index in [0, 1, 3] {
                #expect(ours.signed[index] == theirs.signed[index], "field \(index) of \(kind)")
            }
            #expect(ours.signed.count == theirs.signed.count && ours.algorithm == theirs.algorithm)
        }
        let line = try SigningRequest(tree.profile(.etcdPeer), key: KubeadmTree.key(.rsa2048))
            .tableLine(file: "pki/etcd/peer.csr", authority: .etcd)
        #expect(
            line == "pki/etcd/peer.csr\tpki/etcd/ca\tdigitalSignature, keyEncipherment\tserverAuth, clientAuth\t365")
        #expect(line.filter { $0 == "\t" }.count == SigningRequest.tableHead.filter { $0 == "\t" }.count)
    }

    @Test func organisationsFollowTheVersion() throws {
        func subject(_ kind: KubeadmCertificate, _ version: String) throws -> String {
            let base = try KubeadmTree.named("base")
            var configuration = base.configuration
            configuration.version = try #require(KubernetesVersion(version))
            return String(describing: kind.profile(of: base.identity, in: configuration).subject)
        }
        let kubeletClient = KubeadmCertificate.apiServerKubeletClient
        for version in ["v1.36.1", "1.35.5", "1.36.3-rc.0", "v1.40.0"] {
            #expect(try subject(kubeletClient, version) == "CN=kube-apiserver-kubelet-client")
        }
        for version in ["v1.36.0", "1.35.4", "v1.29.0+k3s1"] {
            let name = try subject(kubeletClient, version)
            #expect(name.contains("O=kubeadm:cluster-admins") && name.contains("CN=kube-apiserver-kubelet-client"))
        }
        #expect(try subject(kubeletClient, "v1.28.9").contains("O=system:masters"))
        #expect(try subject(.admin, "v1.28.9").contains("O=system:masters"))
        #expect(try subject(.etcdHealthcheckClient, "v1.28.9").contains("O=system:masters"))
        #expect(try subject(.apiServerEtcdClient, "v1.29.0") == "CN=kube-apiserver-etcd-client")
        #expect(KubernetesVersion("1") == nil && KubernetesVersion("v1.x.2") == nil && KubernetesVersion("") == nil)
    }

    @Test func serviceAddresses() {
        let expected = [
            "10.96.0.0/12": "10.96.0.1", "10.111.3.9/12": "10.96.0.1", "10.50.0.0/16,fd00:50::/112": "10.50.0.1",
            "fd00:50::/112,10.0.0.0/8": "fd00:50::1", "10.0.0.255/32": "10.0.1.0", "0.0.0.0/0": "0.0.0.1",
        ]
        for (subnet, address) in expected { #expect(KubeadmConfiguration.firstAddress(of: subnet)?.text == address) }
        for subnet in ["", "10.96.0.0", "10.96.0.0/33", "10.96.0.0/-1", "x/12", "10.0.0.0/8/8", "::/129"] {
            #expect(KubeadmConfiguration.firstAddress(of: subnet) == nil, "\(subnet)")
        }
    }

    @Test(arguments: [
        "bücher.example", "", "-a", "a-", "a..b", "under_score", "a b", "x.",
        String(repeating: "a.", count: 127) + "aa",
        "a\u{0}b", "*.example", "ﬁ.example",
    ])
    func namesThatCantBeNodes(_ name: String) {
        #expect(throws: Failure.self) { try KubeadmTree("base", node: name) }
        #expect(throws: Failure.self) { try KubeadmTree("base", endpoint: name) }
    }

    @Test func hosts() throws {
        #expect(CertificateHost("[fd00::1]") == CertificateHost("FD00:0::1"))
        #expect(CertificateHost("xn--bcher-kva.example") == .dns("xn--bcher-kva.example"))
        #expect(CertificateHost("*.a.example") == .dns("*.a.example"))
        for text in ["A.example", "*", "a.*.example", "bücher.example", "*.*.example", "1.2.3.4:6443"] {
            #expect(CertificateHost(text) == nil, "\(text)")
        }
        let names = AlternativeNames(
            ["b", "*.c", "10.0.0.2", "a", "10.0.0.1", "b", "10.0.0.2"].compactMap(CertificateHost.init))
        #expect(names.dnsNames == ["*.c", "a", "b"] && names.ipAddresses.map(\.text) == ["10.0.0.2", "10.0.0.1"])
    }
}
