import Foundation
import TestSupport
import Testing

extension Integration {
    /// A newcomer's first command: it says what works and what does not, and touches nothing.
    @Suite struct DoctorTests {
        private let store: TestStore
        private let node: ControlPlaneNode

        init() throws {
            let server = try Laboratory.shared().server(.v3_5)
            store = try TestStore(server)
            node = try ControlPlaneNode(in: store.directory, runs: server)
        }

        private struct Findings {
            let status: Int32
            let report: JSON
            let errorText: String

            /// The status and the message of a check.
            subscript(check: String) -> (status: String, message: String) {
                let found = report.checks.array.first { $0.name.string == check }
                return (found?.status.string ?? "", found?.message.string ?? "")
            }

            /// What every report has to say by its exit status.
            var expectedStatus: Int32 {
                let isWell =
                    report.checks.array.allSatisfy { $0.status.string == "ok" } && report.findings.array.isEmpty
                return isWell ? 0 : 3
            }
        }

        private func doctor(
            etcd: [String]? = nil, recipients: [String]? = nil, place: [String]? = nil, _ more: [String] = []
        ) throws -> Findings {
            let arguments = ["doctor", "--root", node.root, "-o", "json"] + (etcd ?? store.server.flags())
            let others = (recipients ?? ["-r", store.key.recipient]) + (place ?? store.flags) + more
            let result = try SnapTool.attempt(arguments + others, seconds: 60)
            let findings = Findings(
                status: result.status, report: try JSON(result.output), errorText: result.errorText)
            #expect(findings.status == findings.expectedStatus, "\(result.errorText)")
            #expect(result.errorText == "")
            for check in findings.report.checks.array where check.status.string == "error" {
                #expect(check.message.string != "", "\(check.name.string)")
            }
            return findings
        }

        private func backUp() throws {
            let arguments = ["backup", "--root", node.root, "-r", store.key.recipient] + store.server.flags()
            try SnapTool.run(arguments + store.flags)
        }

        /// What a drill took is what doctor goes by.
        @Test func theForecastFollowsTheDrill() throws {
            try backUp()
            let scratch = store.directory.file("scratch")
            try FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: true)
            let etcd = EtcdVersion.v3_5.path(of: "etcd")
            try SnapTool.run(
                ["drill", "latest", "-i", store.key.path, "--scratch", scratch, "--etcd", etcd] + store.flags)
            let found = try doctor()["recovery"]
            #expect(found.status == "ok" && found.message.contains("by the drill of test/node/"), "\(found)")
        }

        /// A node without a backup is brought back from what the cluster's other nodes have.
        @Test func theClusterHasBackupsOfOthers() throws {
            #expect(try doctor().report.checks.array.allSatisfy { $0.name.string != "recovery" })
            let arguments = ["backup", "--root", node.root, "-r", store.key.recipient] + store.server.flags()
            let flags = store.flags.map { $0 == "node" ? "other" : $0 }
            try SnapTool.run(arguments + flags)
            let found = try doctor()["recovery"]
            #expect(found.status == "ok" && found.message.contains("about "), "\(found)")
            #expect(found.message.contains("from test/other/") && found.message.contains("none of its own"), "\(found)")
        }

        @Test func allIsWell() throws {
            try backUp()
            let found = try doctor()
            #expect(found.report.distributions.array.map(\.string) == ["kubeadm"])
            #expect(found.report.components.array.count == 4)
            let names = found.report.checks.array.map(\.name.string)
            #expect(names == ["etcd", "recipients", "store", "last backup", "recovery", "timer"])
            for name in names.dropLast() { #expect(found[name].status == "ok", "\(found[name])") }
            // Whether systemd runs here is up to the host; what is said of it is not.
            #expect(
                found["timer"].status == "ok" || found["timer"].message.contains("systemd")
                    || found["timer"].message.contains("timer"))
            #expect(found["etcd"].message.contains(store.server.clientURL))
            #expect(found["recovery"].message.contains("minutes") && found["recovery"].message.contains("no drill"))
            #expect(found.report.findings.array.isEmpty)
            let captured = found.report.captured.array
            #expect(captured.reduce(0) { $0 + $1.fileCount.int } == 31)
            let keys = captured.first { $0.captureClass.string == "ca-key" }
            #expect(keys?.fileCount.int == 3 && keys?.referrers.array.isEmpty == false)
            #expect(found.report.firstToExpire.path.string.hasPrefix("/etc/kubernetes/"))
        }

        @Test func etcdIsDown() throws {
            let down = try doctor(etcd: ["--endpoints", "https://127.0.0.1:1", "--dial-timeout", "2s"])
            #expect(down["etcd"].status == "error" && down["etcd"].message.contains("https://127.0.0.1:1"))
            // Whatever else there is to say is said all the same.
            #expect(down["store"].status == "ok" && down.report.captured.array.count == 7)
            var strange = store.server.flags()
            strange[3] = node.file("/etc/kubernetes/pki/etcd/ca.crt")
            #expect(try doctor(etcd: strange)["etcd"].status == "error")
            #expect(try doctor(etcd: ["--endpoints", "nonsense://x"])["etcd"].status == "error")
        }

        @Test func recipients() throws {
            let none = try doctor(recipients: [])
            #expect(none["recipients"].status == "error" && none["recipients"].message.contains("recipient"))
            #expect(try doctor(recipients: ["-r", "age1nonsense"])["recipients"].status == "error")
            let missing = store.directory.file("missing.txt")
            let unread = try doctor(recipients: ["-R", missing])
            #expect(unread["recipients"].status == "error" && unread["recipients"].message.contains(missing))
            // A private key in the wrong place is not shown.
            let secret = try #require(
                String(contentsOfFile: store.key.path, encoding: .utf8).split(separator: "\n").last)
            let misplaced = try doctor(recipients: ["-r", String(secret)])
            #expect(misplaced["recipients"].status == "error")
            #expect(!misplaced["recipients"].message.contains(secret.suffix(12)))
            let second = try Laboratory.shared().key("second")
            let both = try doctor(recipients: ["-r", store.key.recipient, "-r", second.recipient])
            #expect(both["recipients"].status == "ok")
        }

        @Test func theStore() throws {
            // One that will be made is as good as one that is there.
            let absent = try doctor()
            #expect(absent["store"].status == "ok" && absent["last backup"].status == "warning")
            #expect(!FileManager.default.fileExists(atPath: store.root))
            let file = try store.directory.write("x", to: "file")
            let blocked = try doctor(place: ["--store", file])
            #expect(blocked["store"].status == "error" && blocked["store"].message.contains(file))
            #expect(try doctor(place: ["--store", "/proc/none"])["store"].status == "error")
        }

        @Test(.enabled(if: geteuid() == 0, "only root can become another user"))
        func anotherUserMayNotWrite() throws {
            let user = ["--reuid=65534", "--regid=65534", "--clear-groups"]
            let copy = "/tmp/etcd-snap-doctor-\(getpid())"
            try run("install", ["-m", "0755", SnapTool.executable(), copy])
            defer { try? FileManager.default.removeItem(atPath: copy) }
            let arguments = ["doctor", "--no-discover", "--store", "/var/lib", "-o", "json", "-r", store.key.recipient]
            let result = try RunningCommand(
                "setpriv", user + [copy] + arguments + ["--endpoints", "http://127.0.0.1:1"]
            ).wait(seconds: 60)
            #expect(result.status == 3, "\(result.errorText)")
            let check = try JSON(result.output).checks.array.first { $0.name.string == "store" }
            #expect(check?.status.string == "error" && check?.message.string.contains("/var/lib") == true)
        }

        @Test func theLastBackup() throws {
            try backUp()
            #expect(try doctor()["last backup"].status == "ok")
            // That of another node is not this one's.
            let other = ["--store", store.root, "--cluster", "test", "--node", "other"]
            #expect(try doctor(place: other)["last backup"].status == "warning")
            let sidecar = try #require(store.names().first { $0.hasSuffix(".json") })
            let old = #"s/"completedAt" : "[^"]*"/"completedAt" : "2026-01-01T00:00:00Z"/"#
            try run("sed", ["-i", old, "\(store.scopeDirectory)/\(sidecar)"])
            let late = try doctor()
            #expect(late["last backup"].status == "warning", "\(late["last backup"])")
        }

        /// Files alone are no backup of a cluster, however new they are.
        @Test func theLastBackupHasNoSnapshot() throws {
            let filesAlone = ["backup", "--root", node.root, "-r", store.key.recipient, "--no-etcd"] + store.flags
            try SnapTool.run(filesAlone)
            let none = try doctor()["last backup"]
            #expect(
                none.status == "warning" && none.message.contains("no snapshot of \"etcd\", and neither"), "\(none)")
            Thread.sleep(forTimeInterval: 1.1)
            try backUp()
            #expect(try !doctor()["last backup"].message.contains("no snapshot"))
            let whole = TestStore.id(
                of: try #require(SnapTool.json(["list"] + store.flags).array.last?.archive.id.string))
            Thread.sleep(forTimeInterval: 1.1)
            try SnapTool.run(filesAlone)
            let recent = try doctor()["last backup"]
            #expect(recent.status == "ok", "\(recent)")
            #expect(
                recent.message.contains(
                    "no snapshot of \"etcd\", the newest that has one is test/node/\(whole), 0 minutes"))
            let old = #"s/"completedAt" : "[^"]*"/"completedAt" : "2026-01-01T00:00:00Z"/"#
            try run("sed", ["-i", old, "\(store.scopeDirectory)/\(whole).json"])
            let late = try doctor()["last backup"]
            #expect(late.status == "warning" && late.message.contains(whole), "\(late)")
        }

        @Test func whatARebuildWouldLack() throws {
            try node.change(
                "cd etc/kubernetes/pki; cp front-proxy-client.key apiserver.key; rm sa.key; : >etcd/peer.crt")
            let found = try doctor()
            #expect(found.status == 3)
            let findings = found.report.findings.array
            for name in ["apiserver", "sa.key", "etcd/peer.crt"] {
                #expect(findings.contains { $0.subject.string.contains("/etc/kubernetes/pki/\(name)") }, "\(name)")
            }
            for finding in findings {
                #expect(finding.advice.string != "" && finding.code.string != "", "\(finding.message.string)")
                #expect(!finding.message.string.contains(node.root), "\(finding.message.string)")
            }
            let text = try SnapTool.attempt(
                ["doctor", "--root", node.root, "-r", store.key.recipient] + store.server.flags() + store.flags)
            #expect(text.status == 3 && text.errorText == "")
            for finding in findings { #expect(text.text.contains(finding.code.string)) }
        }

        @Test func changesNothing() throws {
            try backUp()
            let before = (try listing(node.root), try listing(store.root))
            let revision = try store.server.etcdctl("endpoint", "status", "-w", "json")
            for format in ["table", "json", "yaml"] {
                let arguments = ["doctor", "--root", node.root, "-r", store.key.recipient, "-o", format]
                let result = try SnapTool.attempt(arguments + store.server.flags() + store.flags)
                #expect([0, 3].contains(result.status) && !result.text.isEmpty, "\(result.errorText)")
            }
            #expect(try listing(node.root) == before.0)
            #expect(try listing(store.root) == before.1)
            let status = try JSON(Data(store.server.etcdctl("endpoint", "status", "-w", "json").utf8))
            #expect(try JSON(Data(revision.utf8))[0].Status.dbSize.int == status[0].Status.dbSize.int)
        }
    }
}
