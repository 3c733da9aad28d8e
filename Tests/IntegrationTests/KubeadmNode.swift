import Foundation
import TestSupport
import Testing

/// A control-plane node as kubeadm 1.36 made it, from `Tests/Fixtures/kubeadm-variants.tar.zst`, with the etcd that its
/// own manifest describes: its arguments, certificates and addresses.
///
/// A backup of it is told nothing but where the node's root is.
final class KubeadmNode {
    /// What a backup came to.
    struct Outcome {
        let status: Int32
        /// `severity code subject`, in order.
        let findings: [String]
        let errorText: String
        let report: JSON
    }

    static let pki = "/etc/kubernetes/pki"

    let directory: TemporaryDirectory
    /// The directory that is the node's root.
    let root: String
    let network: PrivateNetwork
    private var etcd: RunningCommand?
    private var dataDirectory: String { directory.file("data") }

    /// Unpacks a tree and gives it a network.
    ///
    /// - Parameter changes: a script that runs in the node's root before anything else.
    init(_ tree: String, changes: String = ":") throws {
        directory = try TemporaryDirectory()
        root = directory.file(tree)
        try Self.unpack(tree, to: directory.path)
        try shell("cd \"$1\"; \(changes)", root)
        network = try PrivateNetwork(addresses: Self.addresses(root), in: directory)
    }

    /// A node whose etcd runs and has one object.
    static func running(_ tree: String, changes: String = ":") throws -> KubeadmNode {
        let node = try KubeadmNode(tree, changes: changes)
        try node.startEtcd()
        try node.put("/registry/namespaces/default", Data("k8s\0\n".utf8))
        return node
    }

    private static func unpack(_ tree: String, to directory: String) throws {
        let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/kubeadm-variants.tar.zst").path
        try TestSupport.run(
            "tar", ["--zstd", "-xpf", fixture, "-C", directory, "--strip-components=1", "kubeadm-variants/\(tree)"])
    }

    /// The addresses that the node's etcd listens on but for those that every host has.
    private static func addresses(_ root: String) throws -> [String] {
        let text = try shell("cat \"$1\"/etc/kubernetes/manifests/*.yaml | grep -e --listen- || :", root).text
        let found = text.matches(of: #/https://\[?([0-9a-f.:]+?)\]?:23(?:79|80)/#).map { String($0.1) }
        return Set(found).subtracting(["127.0.0.1", "::1", "0.0.0.0"]).sorted()
    }

    // MARK: etcd

    /// Starts the etcd of the manifest on a new data directory, or one that ``restore(_:)`` has made.
    func startEtcd(waits: Bool = true) throws {
        let manifest = try String(contentsOfFile: "\(root)/etc/kubernetes/manifests/etcd.yaml", encoding: .utf8)
        let arguments = manifest.split(separator: "\n").compactMap { line -> String? in
            guard let match = line.firstMatch(of: #/^    - (--.*)$/#) else { return nil }
            let flag = String(match.1)
            // Flags of etcd 3.6.
            if ["--feature-gates=", "--watch-progress-"].contains(where: flag.hasPrefix) { return nil }
            return flag.replacing("=/etc/", with: "=\(root)/etc/")
                .replacing("=/var/lib/etcd", with: "=\(dataDirectory)")
        }
        etcd = try network.start(EtcdVersion.v3_5.path(of: "etcd"), arguments)
        if waits { try waitUntilServing() }
    }

    /// Waits until the member answers.
    func waitUntilServing() throws {
        for _ in 0..<300 {
            guard etcd?.isRunning == true else { break }
            if try etcdctl(["get", "x", "--dial-timeout=1s", "--command-timeout=2s"]).status == 0 { return }
            usleep(50_000)
        }
        throw TestSupportError("the node's etcd did not start:\n\(etcd?.errorText ?? "")")
    }

    /// Writes a value as it is.
    func put(_ key: String, _ value: Data) throws {
        let result = try etcdctl(["put", key], input: value)
        guard result.status == 0 else { throw TestSupportError("put \(key): \(result.errorText)") }
    }

    /// Forgets all revisions but the newest.
    func compact() throws {
        let answer = try JSON(etcdctl(["get", "x", "-w", "json"]).output)
        let result = try etcdctl(["compact", "--physical", "\(answer.header.revision.int)"])
        guard result.status == 0 else { throw TestSupportError("compact: \(result.errorText)") }
    }

    /// Runs etcdctl with the node's own certificates.
    @discardableResult
    func etcdctl(_ arguments: [String], input: Data = Data()) throws -> CommandResult {
        let pki = "\(root)\(Self.pki)"
        let flags = [
            "--endpoints=\(try clientURL())", "--cacert=\(pki)/etcd/ca.crt",
            "--cert=\(pki)/etcd/healthcheck-client.crt", "--key=\(pki)/etcd/healthcheck-client.key",
        ]
        return try network.start(EtcdVersion.v3_5.path(of: "etcdctl"), flags + arguments, input: input).wait()
    }

    /// The first URL that the manifest has etcd listen on.
    private func clientURL() throws -> String {
        let manifest = try String(contentsOfFile: "\(root)/etc/kubernetes/manifests/etcd.yaml", encoding: .utf8)
        return try #require(manifest.firstMatch(of: #/--listen-client-urls=([^,\n]+)/#).map { String($0.1) })
    }

    /// Gives the member, which must not run yet, the content of a snapshot.
    func restore(_ snapshot: String) throws {
        let manifest = try String(contentsOfFile: "\(root)/etc/kubernetes/manifests/etcd.yaml", encoding: .utf8)
        func flag(_ name: String) throws -> String {
            try #require(
                manifest.firstMatch(of: try Regex<(Substring, Substring)>("--\(name)=(\\S+)")).map { String($0.1) })
        }
        try SnapTool.run(
            ["restore", "etcd", snapshot, "--data-dir", dataDirectory, "--name", flag("name")]
                + ["--initial-cluster", flag("initial-cluster")])
    }

    // MARK: Backup

    /// A copy of the node's files with changes, for backups beside the etcd that runs.
    ///
    /// - Parameter changes: a script that runs in the copy's root.
    func copy(_ changes: String) throws -> String {
        let copy = directory.file("copy-\(UUID().uuidString)")
        try TestSupport.run("cp", ["-a", root, copy])
        try shell("cd \"$1\"; \(changes)", copy)
        return copy
    }

    /// Backs a root up into a new store: the node's own, or a changed copy of it.
    func backup(of changed: String? = nil, _ more: [String] = []) throws -> Outcome {
        let store = directory.file("store-\(UUID().uuidString)")
        let arguments = ["backup", "--root", changed ?? root, "-r", try Laboratory.shared().key().recipient]
        let result = try run(
            arguments + ["--store", store, "--cluster", "test", "--node", "node", "-o", "json"] + more)
        guard [0, 3].contains(result.status) else {
            throw TestSupportError("backup: status \(result.status): \(result.errorText)")
        }
        let report = try JSON(result.output)
        let findings = report.findings.array.map {
            "\($0.severity.string) \($0.code.string) \($0.subject.string)"
        }
        return Outcome(status: result.status, findings: findings, errorText: result.errorText, report: report)
    }

    /// Runs the program where the node's etcd can be reached, whatever comes of it.
    func run(_ arguments: [String]) throws -> CommandResult {
        try network.start(SnapTool.executable(), arguments).wait()
    }

    /// Expects of a backup exactly these findings, and the exit status that goes with them: notes are no findings to act on.
    @discardableResult
    func expect(
        _ findings: [String], of changed: String? = nil, _ name: String = "", _ more: [String] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Outcome {
        let outcome = try backup(of: changed, more)
        #expect(outcome.findings.sorted() == findings.sorted(), "\(name)", sourceLocation: sourceLocation)
        let isClean = findings.allSatisfy { $0.hasPrefix("note ") }
        #expect(outcome.status == (isClean ? 0 : 3), "\(name): \(outcome.errorText)", sourceLocation: sourceLocation)
        return outcome
    }
}
