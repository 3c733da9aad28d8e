import Foundation
import TestSupport
import Testing

extension Integration {
    /// Captured files come back as they were, beside or in place, and nothing is lost on the way.
    @Suite struct RestoreFilesTests {
        private let store: TestStore
        private let node: ControlPlaneNode
        /// Where files are restored in place: the root of another host.
        private let host: String

        init() throws {
            let server = try Laboratory.shared().server(.v3_5)
            store = try TestStore(server)
            node = try ControlPlaneNode(in: store.directory, runs: server)
            host = store.directory.file("host")
            try run("mkdir", [host])
        }

        private func restore(_ more: [String]) -> [String] {
            ["restore", "files", "latest", "-i", store.key.path] + store.flags + more
        }

        private func inPlace(_ more: [String] = ["--yes"]) -> [String] {
            restore(["--in-place", "--root", host] + more)
        }

        @discardableResult
        private func backUp(_ more: [String] = []) throws -> JSON {
            let arguments = ["backup", "--root", node.root, "-r", store.key.recipient] + store.server.flags()
            return try SnapTool.json(arguments + store.flags + more)
        }

        /// The plan as a dictionary of actions by path.
        private func plan(_ more: [String] = []) throws -> [String: String] {
            let entries = try SnapTool.json(inPlace(["--dry-run"] + more)).array
            return Dictionary(entries.map { ($0.path.string, $0.action.string) }) { first, _ in first }
        }

        /// Files as hosts have them, in the directories of a control plane.
        private func addOddFiles() throws {
            let tree = try SourceTree.make(in: store.directory)
            try shell(
                #"""
                mkdir -p "$1/etc/cni/net.d"; mv "$2" "$1/etc/cni/net.d/odd"; cd "$1/etc/kubernetes"
                ln pki/ca.crt pki/ca-again.crt; ln -s ../pki/ca.key manifests/.hidden
                setfacl -m u:1234:rw,g:99:r admin.conf; setfacl -d -m u:1234:rx pki; setfacl -m u:55:x pki/etcd
                setfattr -n user.comment -v x pki/sa.key; setfattr -n user.of-directory -v y pki
                setfattr -n trusted.overlay -v z pki/sa.pub
                chmod 02751 pki/etcd; chmod 0400 pki/etcd/ca.key; chmod 06711 pki/apiserver.key
                chown 12:34 pki/etcd pki/sa.pub; chmod 02751 pki/etcd
                touch -d '2001-02-03T04:05:06.123456789Z' pki/etcd/ca.crt pki/etcd pki manifests
                """#, node.root, tree)
        }

        @Test func aRestoredTreeIsTheSame() throws {
            try addOddFiles()
            try backUp()
            let target = store.directory.file("staged")
            let report = try SnapTool.json(restore(["--target", target]))
            #expect(report.refusedAttributeCount.int == 0)
            #expect(try differencesBelow(node.root, target) == [])
            try SnapTool.run(inPlace())
            #expect(try differencesBelow(node.root, host) == [])
            // The tool that compares does see what this test is about.
            try shell("setfacl -b \"$1/etc/kubernetes/admin.conf\"", host)
            #expect(try differencesBelow(node.root, host).count == 1)
        }

        @Test func theSecondRunChangesNothing() throws {
            try addOddFiles()
            try backUp()
            let first = try SnapTool.json(inPlace())
            let count = try node.files().count
            #expect(first.createdCount.int == count && first.replacedCount.int == 0 && first.unchangedCount.int == 0)
            #expect(first.keptPath.value == nil)
            let before = try listing(host).split(separator: "\n").map(withoutChangeTime)
            let second = try SnapTool.json(inPlace())
            #expect(second.createdCount.int == 0 && second.replacedCount.int == 0)
            #expect(second.unchangedCount.int == count && second.keptPath.value == nil)
            #expect(try listing(host).split(separator: "\n").map(withoutChangeTime) == before)
            #expect(try Set(plan().values) == ["unchanged"])
        }

        /// Files are made beside their places to be compared, which shows in the times of directories.
        private func withoutChangeTime(_ line: Substring) -> [Substring] {
            let fields = line.split(separator: " ", omittingEmptySubsequences: false)
            return fields.count > 8 ? Array(fields[..<(fields[0] == "d" ? 6 : 7)] + fields[8...]) : fields
        }

        @Test func whatIsReplacedIsKept() throws {
            try backUp()
            try SnapTool.run(inPlace())
            try shell(
                """
                cd "$1/etc/kubernetes"; printf 'newer' >pki/sa.key; chmod 0640 pki/sa.key
                rm pki/sa.pub scheduler.conf; ln -s /elsewhere pki/sa.pub
                chmod 0644 admin.conf; setfattr -n user.own -v x admin.conf; touch -d 2001-01-01 pki/ca.key
                printf mine >pki/mine.crt
                """, host)
            let actions = try plan().filter { $0.value != "unchanged" }
            let expected = [
                "/etc/kubernetes/pki/sa.key": "replace", "/etc/kubernetes/pki/sa.pub": "replace",
                "/etc/kubernetes/admin.conf": "replace", "/etc/kubernetes/pki/ca.key": "replace",
                "/etc/kubernetes/scheduler.conf": "create",
            ]
            #expect(actions == expected)
            let report = try SnapTool.json(inPlace())
            #expect(report.createdCount.int == 1 && report.replacedCount.int == 4)
            let kept = report.keptPath.string
            #expect(kept.hasPrefix("\(host)/var/lib/etcd-snap-kept/2"))
            let text = try shell(
                """
                cd "$1/etc/kubernetes"; cat pki/sa.key; readlink pki/sa.pub; stat -c '%a %y' pki/sa.key pki/ca.key admin.conf
                getfattr --only-values -n user.own admin.conf; cd "$1"; find . ! -type d | wc -l; stat -c ' %a' .
                """, kept
            ).text
            #expect(text.hasPrefix("newer/elsewhere\n640 ") && text.hasSuffix("x4\n 700\n"), "\(text)")
            #expect(text.contains("600 2001-01-01 ") && text.contains("\n644 "), "\(text)")
            // What no backup has stays.
            try shell("rm \"$1/etc/kubernetes/pki/mine.crt\"; rm -r \"$1/var\"", host)
            // But for the time of the directory that has just lost an entry.
            let left = try differencesBelow(node.root, host).filter { !$0.hasPrefix(".d..t......") }
            #expect(left == [])
        }

        @Test func onlyWhatIsAskedFor() throws {
            try backUp()
            let report = try SnapTool.json(inPlace(["--yes", "--only", "ca-key"]))
            #expect(report.createdCount.int == 3)
            let keys = ["ca.key", "etcd/ca.key", "front-proxy-ca.key"].map { "etc/kubernetes/pki/\($0)" }
            #expect(try found(host, "!", "-type", "d") == Set(keys))
            let target = store.directory.file("staged")
            try SnapTool.run(restore(["--target", target, "--only", "kubeconfig", "--only", "static-pod"]))
            #expect(try found(target, "!", "-type", "d").count == 9)
            let none = store.directory.file("none")
            let absent = try SnapTool.attempt(restore(["--target", none, "--only", "join-token"]))
            expectFailure(absent, 4, naming: "join-token")
            #expect(absent.errorText.contains("service-account-key"))
            #expect(try SnapTool.attempt(restore(["--target", none, "--only", "keys"])).status == 2)
            #expect(!FileManager.default.fileExists(atPath: none))
        }

        @Test func nothingWithoutConsent() throws {
            try backUp()
            try shell("mkdir -p \"$1/etc/kubernetes/pki\"; printf x >\"$1/etc/kubernetes/pki/ca.key\"", host)
            let before = try listing(host)
            let refused = try SnapTool.attempt(inPlace([]))
            #expect(refused.status == 2 && refused.errorText.contains("--yes"), "\(refused.errorText)")
            // The plan is read before the answer is given.
            #expect(refused.text.contains("/etc/kubernetes/pki/ca.key"))
            let plan = try plan()
            #expect(plan["/etc/kubernetes/pki/ca.key"] == "replace" && plan["/etc/kubernetes/pki/ca.crt"] == "create")
            #expect(plan["/etc/kubernetes/manifests"] == "make-directory")
            let line = try ([SnapTool.executable()] + inPlace([])).joined(separator: " ")
            let answered = try RunningCommand("script", ["-qec", line, "/dev/null"], input: Data("no\n".utf8)).wait()
            #expect(answered.status == 1 && answered.text.contains("nothing was restored"), "\(answered.text)")
            #expect(try SnapTool.attempt(inPlace(["--yes", "--target", host])).status == 2)
            let missing = store.directory.file("missing")
            let elsewhere = restore(["--in-place", "--root", missing, "--yes"])
            expectFailure(try SnapTool.attempt(elsewhere), 4, naming: missing)
            #expect(try listing(host) == before)
            let consented = try RunningCommand("script", ["-qec", line, "/dev/null"], input: Data("yes\n".utf8)).wait()
            #expect(consented.status == 0, "\(consented.text)")
        }

        @Test(
            arguments: [
                "mkdir -p pki/sa.key", "mkdir pki; mkfifo pki/sa.key", "mkdir -p pki/etcd/ca.crt/x", "ln -s / pki",
                "mkdir real; ln -s real pki", "printf x >pki",
            ])
        func thingsInTheWay(_ script: String) throws {
            try backUp()
            try shell("mkdir -p \"$1/etc/kubernetes\"; cd \"$1/etc/kubernetes\"; \(script)", host)
            let before = try listing(host)
            let result = try SnapTool.attempt(inPlace(), seconds: 30)
            #expect(result.status == 1 && result.errorText.contains("/etc/kubernetes/pki"), "\(result.errorText)")
            #expect(result.errorText.contains("hint: "))
            #expect(try listing(host) == before)
        }

        private func found(_ directory: String, _ conditions: String...) throws -> Set<String> {
            let text = try run("find", [directory] + conditions + ["-printf", "%P\\n"]).text
            return Set(text.split(separator: "\n").map(String.init))
        }
    }
}
