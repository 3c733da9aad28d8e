import Foundation
import HostIO
import TestSupport
import Testing
import X509

@testable import Certificates

/// A node's files by their absolute paths.
struct KubeadmNode {
    var files: [String: [UInt8]]
    let tree: KubeadmTree

    init(_ name: String) throws {
        tree = try KubeadmTree.named(name)
        files = try tree.files()
    }

    func plan(
        from old: NodeIdentity? = nil, to new: NodeIdentity, configuration: KubeadmConfiguration? = nil,
        now: Date = KubeadmTree.now
    ) throws(Failure) -> NodeReissuePlan {
        try NodeReissuePlan(
            change: IdentityChange(from: old ?? tree.identity, to: new), configuration: configuration, now: now
        ) { path in files[path].map { $0.withUnsafeBytes { SecretBytes(copying: $0) } } }
    }

    /// Does what a plan says; links are followed.
    mutating func apply(_ items: [ReissuedFiles.Item]) throws {
        for item in items {
            switch item.content {
            case .file(let bytes, _): files[item.path] = bytes.withUnsafeBytes { Array($0) }
            case .symbolicLink(let target):
                let content = try #require(files[target])
                files[item.path] = content
            }
        }
    }

    mutating func replace(_ path: String, _ old: Regex<Substring>, with new: String) throws {
        let text = String(decoding: try #require(files[path]), as: UTF8.self)
        #expect(text.contains(old))
        files[path] = Array(text.replacing(old, with: new).utf8)
    }

    /// The first block of each kind at a place.
    func block(_ part: CredentialPlace.Part, isKey: Bool) throws -> PEMFile.Block {
        var bytes = try #require(files[part.path])
        if case .embedded = part {
            let field = isKey ? "client-key-data: " : "client-certificate-data: "
            let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.contains(field) }
            bytes = try #require(Base64.decode(Array((line?.split(separator: " ").last ?? "").utf8)))
        }
        return try #require(PEMFile(bytes).blocks.first { isKey ? $0.isPrivateKey : $0.isCertificate })
    }

    /// Has OpenSSL check a certificate against its authority and its key.
    func verify(_ leaf: NodeReissuePlan.Leaf, in directory: TemporaryDirectory) throws {
        let (certificate, key, authority) = (
            directory.file("leaf.crt"), directory.file("leaf.key"), directory.file("ca.crt")
        )
        try Data(PEMFile.encode(block(leaf.place.certificate, isKey: false)))
            .write(to: URL(fileURLWithPath: certificate))
        try Data(PEMFile.encode(block(leaf.place.key, isKey: true))).write(to: URL(fileURLWithPath: key))
        try Data(#require(files["/etc/kubernetes/" + leaf.kind.authority.certificatePath]))
            .write(to: URL(fileURLWithPath: authority))
        let time = "\(Int(KubeadmTree.now.timeIntervalSince1970))"
        for use in leaf.kind.extendedKeyUsages {
            let purpose = use == .serverAuth ? "sslserver" : "sslclient"
            try run(
                "openssl",
                [
                    "verify", "-x509_strict", "-purpose", purpose, "-attime", time, "-CAfile", authority, certificate,
                ])
        }
        #expect(
            try run("openssl", ["x509", "-in", certificate, "-noout", "-pubkey"]).text
                == run("openssl", ["pkey", "-in", key, "-pubout"]).text, "\(leaf.kind)")
    }
}
