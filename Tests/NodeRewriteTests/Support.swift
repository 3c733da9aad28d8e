import Foundation
import HostIO
import NodeRewrite
import TestSupport
import Testing

/// Trees that kubeadm 1.36.3 made; `Tests/Fixtures/kubeadm/ORIGIN.md` tells of them.
struct Trees {
    static let shared = Result { try Trees() }

    private let directory: TemporaryDirectory

    private init() throws {
        directory = try TemporaryDirectory()
        let fixture = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fixtures/kubeadm-variants.tar.zst").path
        try run("tar", ["--zstd", "-xf", fixture, "-C", directory.path, "--strip-components=1", "--no-same-owner"])
    }

    /// Every text file of a tree by its path on the node, without certificates and keys.
    static func files(_ tree: String) throws -> [String: [UInt8]] {
        let root = try shared.get().directory.file(tree)
        var files: [String: [UInt8]] = [
            "/kubeadm.yaml": Array(try Data(contentsOf: URL(filePath: "\(root)/kubeadm.yaml")))
        ]
        for place in ["/etc/kubernetes", "/etc/kubernetes/manifests"] {
            for name in try FileManager.default.contentsOfDirectory(atPath: root + place)
            where name.hasSuffix(".yaml") || name.hasSuffix(".conf") {
                files["\(place)/\(name)"] = Array(try Data(contentsOf: URL(filePath: "\(root)\(place)/\(name)")))
            }
        }
        return files
    }

    static func file(_ tree: String, _ path: String) throws -> [UInt8] { try #require(try files(tree)[path]) }
}

/// Text without embedded certificates and keys.
func blanked(_ bytes: [UInt8]) -> String {
    String(decoding: bytes, as: UTF8.self).replacing(#/(-data:) .*/#) { "\($0.1) -" }
}

func address(_ old: String, _ new: String) throws -> NodeChange.Address {
    NodeChange.Address(old: try #require(IPAddress(old)), new: try #require(IPAddress(new)))
}

func endpoint(_ text: String?) throws -> NodeChange.Endpoint? {
    try text.map { try #require(NodeChange.Endpoint($0)) }
}

/// From cp-1 on 10.0.0.11 behind lb.example.internal, unless something else is said.
func change(
    name: String = "cp-1", address new: String = "10.0.0.11", port: Int = 6443,
    from oldEndpoint: String? = "lb.example.internal:6443", to newEndpoint: String? = "lb.example.internal:6443",
    members: [NodeChange.Member] = [], listsAllMembers: Bool = false
) throws -> NodeChange {
    try NodeChange(
        oldName: "cp-1", newName: name, addresses: [address("10.0.0.11", new)], newPort: port,
        oldEndpoint: endpoint(oldEndpoint), newEndpoint: endpoint(newEndpoint), members: members,
        listsAllMembers: listsAllMembers)
}

func moved() throws -> NodeChange { try change(name: "cp-21", address: "10.0.0.21", to: "api.new.example:8443") }

func rewritten(_ text: String, at path: String, _ change: NodeChange) throws -> String? {
    let result = try NodeRewriter.rewrite(path: path, bytes: Array(text.utf8), change: change)
    return result.map { String(decoding: $0.newBytes, as: UTF8.self) }
}

/// The message of what is refused.
func refusal(_ text: String, at path: String, _ change: NodeChange) -> String? {
    do {
        _ = try NodeRewriter.rewrite(path: path, bytes: Array(text.utf8), change: change)
        return nil
    } catch {
        return error.message
    }
}

/// A static pod of a program with words of its command.
func pod(_ program: String, _ words: [String]) -> String {
    let items = ([program] + words).map { "    - \($0)\n" }.joined()
    return "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - command:\n\(items)    name: \(program)\n"
}

let manifests = "/etc/kubernetes/manifests"
