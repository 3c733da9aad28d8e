import Foundation
import TestSupport
import Testing

/// Lost control-plane nodes that kubeadm made, backed up with the snapshot of a real etcd, and roots of new hosts.
struct RebuildNodes {
    let store: TestStore
    let trees: String

    /// - Parameter names: the trees of `Tests/Fixtures/kubeadm-variants.tar.zst` that are unpacked.
    init(_ names: [String], _ version: EtcdVersion = .v3_5) throws {
        store = try TestStore(Laboratory.shared().server(version))
        let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/kubeadm-variants.tar.zst").path
        trees = store.directory.file("trees")
        try run("mkdir", [trees])
        try run(
            "tar",
            ["--zstd", "-xpf", fixture, "-C", trees, "--strip-components=1"] + names.map { "kubeadm-variants/\($0)" })
    }

    func tree(_ name: String) -> String { "\(trees)/\(name)" }

    /// Backs a tree up as a node, and returns the reference.
    @discardableResult
    func backUp(_ tree: String, as node: String, _ more: [String]? = nil) throws -> String {
        let result = try SnapTool.attempt(
            [
                "backup", "--root", self.tree(tree), "-r", store.key.recipient, "--store", store.root, "--cluster",
                "test",
            ]
                + ["--node", node, "-o", "json"] + (more ?? store.server.flags()))
        guard [0, 3].contains(result.status) else { throw TestSupportError("backup of \(node): \(result.errorText)") }
        return "test/\(node)/\(TestStore.id(of: try JSON(result.output).path.string))"
    }

    var access: [String] { ["--store", store.root, "-i", store.key.path] }

    /// Plans, and returns the plan's file.
    func plan(_ references: [String], _ topology: [String], as name: String = "plan.json") throws -> String {
        let file = store.directory.file(name)
        try SnapTool.run(["rebuild", "plan"] + references + access + topology + ["--out", file])
        return file
    }

    func applying(_ plan: String, _ node: String, _ root: String, _ more: [String] = []) -> [String] {
        ["rebuild", "apply", "--plan", plan, "--node", node, "--root", root] + access + more
    }

    /// Writes a plan's file with other words, as if it had been made so.
    func reseal(_ plan: String, replacing words: [String: String]) throws {
        let script = """
            import hashlib, json, sys
            with open(sys.argv[1]) as file: text = file.read()
            for old, new in zip(sys.argv[2::2], sys.argv[3::2]):
                assert old in text, old
                text = text.replace(old, new)
            plan = json.loads(text)
            del plan["sha256"]
            form = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            plan["sha256"] = hashlib.sha256(form.encode()).hexdigest()
            with open(sys.argv[1], "w") as file: json.dump(plan, file)
            """
        try run("python3", ["-c", script, plan] + words.flatMap { [$0, $1] })
    }

    func newRoot(_ name: String) throws -> String {
        let root = store.directory.file(name)
        try run("mkdir", ["-p", root])
        return root
    }
}

/// What differs between files as they were rebuilt and as kubeadm made them: certificates by their fields, all else by bytes.
enum KubeadmComparison {
    /// The differences, a text for each.
    static func differences(_ rebuilt: String, _ expected: String) throws -> [String] {
        let paths = try shell("cd \"$1/etc/kubernetes\"; find . -type f | LC_ALL=C sort", expected).text
        var differences: [String] = []
        for path in paths.split(separator: "\n").map({ "/etc/kubernetes/" + $0.dropFirst(2) }) {
            guard FileManager.default.fileExists(atPath: rebuilt + path) else {
                differences.append("\(path) is missing")
                continue
            }
            let modes = try run("stat", ["-c", "%a %U:%G", rebuilt + path, expected + path]).text.split(separator: "\n")
            if modes.count != 2 || modes[0] != modes[1] { differences.append("\(path): \(modes)") }
            let texts = try [rebuilt, expected].map { try text($0 + path) }
            if texts[0] != texts[1] { differences.append("\(path):\n\(texts[0])\n--- kubeadm:\n\(texts[1])") }
        }
        return differences
    }

    private static func text(_ path: String) throws -> String {
        if path.hasSuffix(".crt") { return try fields(path) }
        if path.hasSuffix(".key") || path.hasSuffix(".pub") {
            // Their form: the label, and how long it is.
            return try shell("grep -e ----- \"$1\"; wc -l <\"$1\"", path).text
        }
        let text = try String(contentsOfFile: path, encoding: .utf8)
        guard path.hasSuffix(".conf") else { return text }
        let certificate = try shell(
            "sed -n 's/.*client-certificate-data: //p' \"$1\" | base64 -d >\"$1.crt\"; echo", path)
        _ = certificate
        defer { _ = try? run("rm", ["\(path).crt"]) }
        return text.replacing(#/(-data:) .*/#) { "\($0.1) -" } + (try fields("\(path).crt"))
    }

    /// A certificate without its serial number, its keys and its times, of which the length is shown.
    private static func fields(_ path: String) throws -> String {
        let text = try run("openssl", ["x509", "-noout", "-text", "-in", path]).text
        var isSecret = false
        let lines = text.split(separator: "\n").filter { line in
            if line.hasSuffix("pub:") || line.contains("Modulus:") || line.contains("Signature Value:")
                || line.contains("Serial Number:")
            {
                isSecret = true
                return false
            }
            if isSecret,
                line.wholeMatch(of: #/\s+([0-9a-f]{2}:)+([0-9a-f]{2})?|\s+[0-9a-f]{2}(:[0-9a-f]{2})*\s*.*/#) != nil
            {
                return false
            }
            isSecret = false
            return !line.contains("Not Before") && !line.contains("Not After") && !isKeyIdentifier(line)
        }
        return lines.joined(separator: "\n")
    }

    /// Authorities of trees differ: of an identifier only its form is compared.
    private static func isKeyIdentifier(_ line: Substring) -> Bool {
        line.wholeMatch(of: #/\s+([0-9A-F]{2}:){19}[0-9A-F]{2}\s*/#) != nil
    }
}
