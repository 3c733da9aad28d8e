import Foundation
import HostIO
import TestSupport
import Testing

@testable import Certificates

/// A tree of `Tests/Fixtures/kubeadm-variants.tar.zst`, which kubeadm 1.36.3 made of the `kubeadm.yaml` in it.
struct KubeadmTree: Sendable, CustomTestStringConvertible {
    let name: String
    /// The node that it is of.
    let identity: NodeIdentity
    /// What its `kubeadm.yaml` says.
    let configuration: KubeadmConfiguration

    var testDescription: String { name }

    /// The files of all trees by their paths, so that no key stays on disk.
    private static let files = Result {
        let directory = try TemporaryDirectory()
        let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/kubeadm-variants.tar.zst").path
        try run("tar", ["--zstd", "-xf", fixture, "-C", directory.path, "--strip-components=1"])
        var files: [String: [UInt8]] = [:]
        for case let path as String in FileManager.default.enumerator(atPath: directory.path) ?? .init() {
            files[path] = FileManager.default.contents(atPath: directory.file(path)).map { Array($0) }
        }
        return files
    }

    private static let keys = Result {
        Dictionary(uniqueKeysWithValues: try LeafKeyAlgorithm.allCases.map { ($0, try LeafKey($0)) })
    }

    /// A key of each kind, made once, for making one takes long.
    static func key(_ algorithm: LeafKeyAlgorithm) throws -> LeafKey {
        guard let key = try keys.get()[algorithm] else { throw TestSupportError("no key") }
        return key
    }

    /// The same for a plan.
    static func leafKey(_ algorithm: LeafKeyAlgorithm) throws(Failure) -> LeafKey {
        do { return try key(algorithm) } catch { throw Failure(wrapping: error) }
    }

    init(
        _ name: String, node: String = "cp-1", address: String = "10.0.0.11", endpoint: String? = "lb.example.internal",
        services: String = "10.96.0.0/12", domain: String = "cluster.local",
        _ change: (inout KubeadmConfiguration) -> Void = { _ in }
    ) throws {
        self.name = name
        guard let address = IPAddress(address) else { throw TestSupportError("no address") }
        identity = try NodeIdentity(nodeName: node, addresses: [address], endpointHost: endpoint)
        var configuration = try KubeadmConfiguration(
            serviceSubnet: services, dnsDomain: domain, version: KubernetesVersion(1, 36, 3))
        change(&configuration)
        self.configuration = configuration
    }

    /// Every tree of the fixture, with what its `kubeadm.yaml` says.
    static func all() throws -> [KubeadmTree] {
        [
            try KubeadmTree("base"), try KubeadmTree("addr", address: "10.0.0.21"),
            try KubeadmTree("nodename", node: "Cp-9"), try KubeadmTree("endpoint", endpoint: "api.new.example"),
            try KubeadmTree("noendpoint", endpoint: nil), try KubeadmTree("ecdsa") { $0.keyAlgorithm = .p256 },
            try KubeadmTree("rsa4096") { $0.keyAlgorithm = .rsa4096 },
            try KubeadmTree("svc", services: "10.50.0.0/16,fd00:50::/112", domain: "corp.example"),
            try KubeadmTree("v6", address: "fd00::11", services: "fd00:50::/112"),
            try KubeadmTree("sans") {
                $0.apiServerNames = [
                    "203.0.113.7", "api.public.example", "10.0.0.11", "*.wild.example", "cp-1", "not_a.name",
                ]
                $0.etcdServerNames = ["etcd.example", "10.9.9.9"]
                $0.etcdPeerNames = ["peer.example", "10.9.9.8"]
            }, try KubeadmTree("exte"), try KubeadmTree("extca"),
            try KubeadmTree("N1", node: "cp-21", address: "10.0.0.21", endpoint: "10.0.0.100"),
            try KubeadmTree("N2", node: "cp-22", address: "10.0.0.22", endpoint: "10.0.0.100"),
            try KubeadmTree("N3", node: "cp-23", address: "10.0.0.23", endpoint: "10.0.0.100"),
        ]
    }

    /// One of them.
    static func named(_ name: String) throws -> KubeadmTree {
        guard let tree = try all().first(where: { $0.name == name }) else { throw TestSupportError("no tree \(name)") }
        return tree
    }

    /// The certificates that it has.
    var kinds: [KubeadmCertificate] {
        KubeadmCertificate.allCases.filter { name != "exte" || $0.authority != .etcd }
    }

    /// A day after the trees were made, whatever day it is now.
    static let now = Date(timeIntervalSince1970: 1_795_759_200)

    /// The profile that kubeadm gave to a certificate.
    func profile(_ kind: KubeadmCertificate) -> CertificateProfile { kind.profile(of: identity, in: configuration) }

    /// Its files by their absolute paths on the node.
    func files() throws -> [String: [UInt8]] {
        let prefix = name + "/etc/"
        let own = try Self.files.get().filter { $0.key.hasPrefix(prefix) }
        return Dictionary(uniqueKeysWithValues: own.map { (String($0.key.dropFirst(name.utf8.count)), $0.value) })
    }

    /// A certificate that was made for it.
    func parsed(_ der: [UInt8]) throws -> ParsedCertificate { try ParsedCertificate(der, path: name, index: 0) }

    /// The content of a file below `/etc/kubernetes`.
    func bytes(_ file: String) throws -> [UInt8] { try content("etc/kubernetes/\(file)") }

    /// The content of a file of the tree.
    func content(_ file: String) throws -> [UInt8] {
        guard let bytes = try Self.files.get()["\(name)/\(file)"] else {
            throw TestSupportError("no \(file) in \(name)")
        }
        return bytes
    }

    /// The DER of a certificate, out of a kubeconfig where that embeds it.
    func der(_ kind: KubeadmCertificate) throws -> [UInt8] {
        var pem = try bytes(kind.path)
        if kind.isEmbedded {
            let line = String(decoding: pem, as: UTF8.self).split(separator: "\n").first {
                $0.contains("client-certificate-data: ")
            }
            pem = Base64.decode(Array((line?.split(separator: " ").last ?? "").utf8)) ?? []
        }
        guard let block = PEMFile(pem).blocks.first else { throw TestSupportError("no certificate in \(kind.path)") }
        return block.content
    }

    func certificate(_ kind: KubeadmCertificate) throws -> ParsedCertificate {
        try ParsedCertificate(try der(kind), path: kind.path, index: 0)
    }

    /// The certificate of an authority.
    func authorityCertificate(_ authority: KubeadmCertificate.Authority) throws -> ParsedCertificate {
        guard let block = PEMFile(try bytes(authority.certificatePath)).blocks.first else {
            throw TestSupportError("no authority")
        }
        return try ParsedCertificate(block.content, path: authority.certificatePath, index: 0)
    }

    /// An authority; the keys of `extca` are in `base`.
    func authority(_ authority: KubeadmCertificate.Authority) throws -> CertificateAuthority {
        let owner = name == "extca" ? try Self.named("base") : self
        let key = try owner.bytes(authority.keyPath)
        return try CertificateAuthority(
            certificatePEM: try bytes(authority.certificatePath),
            keyPEM: key.withUnsafeBytes { SecretBytes(copying: $0) }, path: authority.certificatePath)
    }
}
