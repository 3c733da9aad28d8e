import HostIO
@testable import NodeRewrite
import TestSupport
import Testing

@Suite struct HostileTests {
    static let paths = [
        "\(manifests)/etcd.yaml", "/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/kubeadm-flags.env",
        "/etc/systemd/system/kubelet.service.d/x.conf", "/etc/rancher/k3s/config.yaml", "/etc/hosts",
        "/var/lib/rancher/k3s/server/db/etcd/name", "/var/lib/rancher/k3s/server/db/etcd/config",
    ]

    private static let flags =
        "A=\"--node-ip=10.0.0.11 \\\n --hostname-override 'cp-1'\"\r\n# cp-1\nETCD_NAME=cp-1"
    private static let unit =
        "[Service]\nExecStart=etcd \\\n; x\n --name \"cp-1\" \\\n--y\nEnvironment='A=--node-ip=10.0.0.11'"

    @Test(arguments: [("/etc/default/kubelet", flags), ("/etc/systemd/system/etcd.service", unit)])
    func `lines cut anywhere are changed whole or not`(_ path: String, _ text: String) throws {
        let bytes = Array(text.utf8)
        let change = try moved()
        let whole = try #require(try NodeRewriter.rewrite(path: path, bytes: bytes, change: change))
        #expect(whole.edits.count == (path.hasPrefix("/etc/default") ? 3 : 2))
        for count in 0...bytes.count {
            let cut = Array(bytes[..<count])
            guard let result = try NodeRewriter.rewrite(path: path, bytes: cut, change: change) else { continue }
            #expect(result.edits == Array(whole.edits.prefix(result.edits.count)))
            #expect(
                try NodeRewriter.rewrite(path: path, bytes: result.newBytes, change: try change.inverted())?.newBytes
                    == cut)
        }
    }

    @Test(arguments: paths)
    func `changed bytes never crash it`(_ path: String) throws {
        var generator = SeededGenerator(seed: 3)
        let change = try moved()
        let search = OldNameSearch(change)
        let sources = try [
            Trees.file("base", "\(manifests)/etcd.yaml"), Trees.file("base", "/kubeadm.yaml"), Array(Self.flags.utf8),
            Array(Self.unit.utf8), Array("node-ip: [10.0.0.11]\netcd-arg: [name=cp-1]\nname: cp-1".utf8),
        ]
        let pieces = [
            "\"", "'", "\\", "\n", "\r\n", "=", "--", " ", "#", ",", "[", "&a ", "*a", "\u{0}", "ß", "://", ":", "@",
            "cp-1",
        ]
        for round in 0..<600 {
            var bytes = sources[round % sources.count]
            for _ in 0...Int.random(in: 0..<4, using: &generator) {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                let piece = pieces.randomElement(using: &generator) ?? ""
                bytes.replaceSubrange(
                    index..<min(bytes.count, index + Int.random(in: 0...2, using: &generator)), with: Array(piece.utf8))
            }
            _ = search.occurrences(path: path, bytes: bytes)
            guard let result = try? NodeRewriter.rewrite(path: path, bytes: bytes, change: change) else { continue }
            // No line came or went but those that are known, and what was changed is changed for good.
            #expect(result.newBytes.count { $0 == 0x0A } == bytes.count { $0 == 0x0A } + result.addedLines.count)
            #expect(result.edits.allSatisfy { $0.oldValue != $0.newValue })
            _ = (result.unifiedDiff, search.occurrences(in: result))
            if !result.edits.isEmpty {
                #expect(
                    try NodeRewriter.rewrite(path: path, bytes: result.newBytes, change: change)?.edits.isEmpty ?? true)
            }
        }
    }

    @Test func `files of a megabyte take seconds`() throws {
        let comment = String(repeating: "# cp-1 on 10.0.0.11, as it was\n", count: 30_000)
        let start = ContinuousClock.now
        let yaml = pod("etcd", ["--name=cp-1"]) + comment
        let result = try #require(
            try NodeRewriter.rewrite(path: "\(manifests)/etcd.yaml", bytes: Array(yaml.utf8), change: try moved()))
        #expect(result.newBytes == Array(yaml.utf8).replacing(Array("=cp-1".utf8), with: Array("=cp-21".utf8)))
        #expect(result.unifiedDiff.split(separator: "\n").count == 11)
        #expect(OldNameSearch(try moved()).occurrences(in: result).count == 60_000)
        let flags = "A=\"" + String(repeating: "--node-ip=10.0.0.11 ", count: 50_000) + "\""
        #expect(try rewritten(flags, at: "/etc/default/kubelet", try moved()) == flags.replacing("0.11", with: "0.21"))
        let nested = "A=" + String(repeating: "\\\"' -", count: 200_000)
        #expect(try rewritten(nested, at: "/etc/default/kubelet", try moved()) == nil)
        let words =
            "kind: Pod\nspec: {containers: [{command: [etcd, \"" + String(repeating: " -a\\\\\\\"'", count: 100_000)
            + "\"]}]}"
        #expect(try rewritten(words, at: "\(manifests)/etcd.yaml", try moved()) == nil)
        #expect(ContinuousClock.now - start < .seconds(120))
    }

    @Test func `flow style, tabs, line ends and comments stay`() throws {
        let before =
            "{\"kind\":\t\"Pod\", spec: {containers: [ {\"command\" : [\"etcd\",'--name=cp-1', --listen-peer-urls=https://10.0.0.11:2380]} ]\r\n}} # cp-1 10.0.0.11"
        #expect(
            try rewritten(before, at: "\(manifests)/e.yaml", try moved())
                == before.replacing("name=cp-1", with: "name=cp-21").replacing("10.0.0.11:", with: "10.0.0.21:"))
    }
}
