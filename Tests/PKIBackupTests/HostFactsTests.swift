import Foundation
import SealedArchive
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

@Suite(.timeLimit(.minutes(45))) struct HostFactsTests {
    @Test func thisHost() throws {
        var facts: [HostFact] = []
        let skipped = HostFacts.collect { facts.append($0) }
        let paths = facts.map(\.path)
        #expect(Set(paths).count == paths.count && paths.allSatisfy { $0.hasPrefix("host/") })
        let addresses = try #require(facts.first { $0.path == "host/ip-address.json" })
        let parsed = try #require(try JSONSerialization.jsonObject(with: Data(addresses.bytes)) as? [[String: Any]])
        #expect(parsed.contains { $0["ifname"] as? String == "lo" })
        let kernel = try #require(facts.first { $0.path == "host/kernel.json" })
        #expect(String(decoding: kernel.bytes, as: UTF8.self).contains("\"system\" : \"Linux\""))
        #expect(
            skipped.contains { $0.path == "kubeadm version -o short" && $0.reason == "the host has no kubeadm" })
        #expect(facts.count + skipped.count >= 20)
    }

    @Test func programsAndImages() throws {
        let tree = try NodeTree.kubeadm()
        try tree.write("program", to: "/opt/cni/bin/bridge")
        try tree.make(
            "ln -s bridge opt/cni/bin/link; mkdir opt/cni/bin/directory; mkfifo opt/cni/bin/pipe; chmod 755 opt/cni/bin/bridge"
        )
        var facts: [HostFact] = []
        _ = HostFacts.collect(root: tree.root, components: tree.discover().components) { facts.append($0) }
        #expect(facts.map(\.path) == ["host/images.json", "host/programs-opt-cni-bin.json"])
        let programs = try #require(try JSONSerialization.jsonObject(with: Data(facts[1].bytes)) as? [[String: Any]])
        #expect(programs.map { $0["name"] as? String } == ["bridge", "link"])
        let digest = try run("sha256sum", [tree.path + "/opt/cni/bin/bridge"]).text.prefix(64)
        #expect(programs[0]["sha256"] as? String == String(digest))
        #expect(programs[1]["linkTarget"] as? String == "bridge")
        #expect(String(decoding: facts[0].bytes, as: UTF8.self).contains("registry.k8s.io/kube-scheduler:v1.36.2"))
    }

    /// Each answer is handed over before the next question, so that not all of them are held at once.
    @Test func factsComeOneByOne() throws {
        let tree = try NodeTree.kubeadm()
        try tree.make("mkdir -p opt/cni/bin; mkfifo opt/cni/bin/first")
        var facts: [String] = []
        _ = try HostFacts.collect(root: tree.root, components: tree.discover().components) { fact in
            facts.append(String(decoding: fact.bytes, as: UTF8.self))
            if facts.count == 1 { try tree.write("late", to: "/opt/cni/bin/late") }
        }
        #expect(facts.count == 2 && facts[1].contains("late"))
        var count = 0
        #expect(throws: TestSupportError.self) {
            _ = try HostFacts.collect(root: tree.root, components: tree.discover().components) { _ in
                count += 1
                throw TestSupportError("enough")
            }
        }
        #expect(count == 1)
    }
}
