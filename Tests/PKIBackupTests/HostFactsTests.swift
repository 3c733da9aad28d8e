import Foundation
import SealedArchive
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

@Suite(.timeLimit(.minutes(1))) struct HostFactsTests {
    @Test func commandsSayWhatTheyWrote() {
        #expect(HostCommand("printf", ["a b\\n%s", "$HOME;ls"]).run() == .output(Array("a b\n$HOME;ls".utf8)))
        #expect(HostCommand("true", []).run() == .output([]))
        #expect(HostCommand("false", []).run() == .failed("ended with status 1"))
        #expect(HostCommand("no-such-program-anywhere", []).run() == .absent)
        #expect(HostCommand("/etc/passwd", []).run() == .absent)
        #expect(HostCommand("sh", ["-c", "kill -9 $$"]).run() == .failed("was ended by signal 9"))
    }

    @Test func commandsHaveNoInputAndAlmostNoEnvironment() throws {
        #expect(HostCommand("cat", []).run() == .output([]))
        setenv("ETCD_SNAP_SECRET", "canary", 1)
        guard case .output(let bytes) = HostCommand("env", []).run() else { throw TestSupportError("env failed") }
        let names = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { $0.prefix { $0 != "=" } }
        #expect(names.sorted() == ["LC_ALL", "PATH"])
    }

    @Test func commandsEndInTime() throws {
        var command = HostCommand("sh", ["-c", "sleep 60 & echo $!; sleep 60"])
        command.limitSeconds = 0.5
        let start = ContinuousClock.now
        #expect(command.run() == .failed("took longer than 0.5 s"))
        // One that closes its output and goes on is not waited for either.
        command.arguments = ["-c", "exec >&-; sleep 60"]
        #expect(command.run() == .failed("took longer than 0.5 s"))
        // What a command leaves in the background ends with it.
        command.arguments = ["-c", "sleep 61 >/dev/null 2>&1 & echo $!"]
        guard case .output(let bytes) = command.run() else { throw TestSupportError("sh failed") }
        let child = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        usleep(100_000)
        #expect((try? String(contentsOfFile: "/proc/\(child)/cmdline", encoding: .utf8))?.contains("61") != true)
        #expect(ContinuousClock.now - start < .seconds(3))
    }

    @Test func outputHasALimit() {
        var command = HostCommand("yes", [])
        command.limitByteCount = 100_000
        #expect(command.run() == .failed("wrote more than 100000 bytes"))
    }

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
