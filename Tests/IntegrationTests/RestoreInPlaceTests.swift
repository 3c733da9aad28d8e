import Foundation
import TestSupport
import Testing

extension Integration {
    /// A restore in place is stopped at every step, meets a control plane that runs, or keeps what it replaces.
    @Suite struct RestoreInPlaceTests {
        private let store: TestStore
        private let node: ControlPlaneNode
        private let host: String
        /// The paths that the restores here are about, with what the backup has.
        private let files: [String: Data]

        init() throws {
            let server = try Laboratory.shared().server(.v3_5)
            store = try TestStore(server)
            node = try ControlPlaneNode(in: store.directory, runs: server)
            host = store.directory.file("host")
            try node.change("rm etc/kubernetes/manifests/*controller* etc/kubernetes/manifests/*scheduler*")
            try SnapTool.run(["backup", "--root", node.root, "-r", store.key.recipient] + server.flags() + store.flags)
            let names = [
                "pki/ca.key", "pki/sa.key", "pki/sa.pub", "manifests/etcd.yaml", "manifests/kube-apiserver.yaml",
            ]
            let root = node.root
            files = try Dictionary(
                uniqueKeysWithValues: names.map { name in
                    let path = "/etc/kubernetes/\(name)"
                    return (path, try Data(contentsOf: URL(fileURLWithPath: root + path)))
                })
        }

        private static let old = Data("old".utf8)

        /// A host where some of the files are others, some are missing, and directories too.
        private func resetHost() throws {
            try shell(
                """
                rm -rf "$1"; mkdir -p "$1/etc/kubernetes/manifests"; cd "$1/etc/kubernetes"
                printf old >manifests/etcd.yaml; mkdir pki; printf old >pki/ca.key; printf old >pki/sa.key
                """, host)
        }

        private func inPlace(_ more: [String] = ["--yes"]) -> [String] {
            ["restore", "files", "latest", "-i", store.key.path, "--in-place", "--root", host] + store.flags
                + ["ca-key", "service-account-key", "static-pod"].flatMap { ["--only", $0] } + more
        }

        private func contents(_ path: String) -> Data? { FileManager.default.contents(atPath: host + path) }

        private func stagedFiles() throws -> [String] {
            try run("find", [host, "-name", ".etcd-snap-*"]).text.split(separator: "\n").map(String.init)
        }

        /// Every file is the old one or the new one, and an old one that is gone is kept.
        private func expectNothingLost(_ step: String) throws {
            for (path, new) in files {
                let found = contents(path)
                #expect(found == nil || found == Self.old || found == new, "\(path) after \(step)")
            }
            for path in ["manifests/etcd.yaml", "pki/ca.key", "pki/sa.key"].map({ "/etc/kubernetes/\($0)" })
            where contents(path) != Self.old {
                let kept = try run(
                    "find", [host + "/var/lib/etcd-snap-kept", "-path", "*\(path)"], allowsFailure: true)
                let copies = kept.text.split(separator: "\n").map { FileManager.default.contents(atPath: String($0)) }
                #expect(copies.contains(Self.old), "\(path) after \(step)")
            }
            // A kubelet that runs never meets a static pod before the keys.
            let isStarted =
                contents("/etc/kubernetes/manifests/etcd.yaml") == files["/etc/kubernetes/manifests/etcd.yaml"]
            if isStarted {
                for (path, new) in files where path.contains("/pki/") {
                    #expect(contents(path) == new, "after \(step)")
                }
            }
        }

        /// Old keys in the clear lie around only where something was replaced, and then somebody was told.
        private func expectKeptIsNamed(by result: CommandResult, _ step: String) throws {
            let place = host + "/var/lib/etcd-snap-kept"
            let said = "\(result.text)\(result.errorText)"
            for name in (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? [] {
                #expect(said.contains("\(place)/\(name)") && said.contains("rm -r "), "after \(step): \(said)")
                let files = try run("find", ["\(place)/\(name)", "!", "-type", "d"]).text
                #expect(files != "", "nothing is kept in \(name) after \(step)")
            }
        }

        private func expectRestored(_ step: String) throws {
            for (path, new) in files { #expect(contents(path) == new, "\(path) after \(step)") }
            #expect(try stagedFiles() == [], "after \(step)")
            #expect(try run("find", [host, "-name", "journal"]).text == "")
            // A directory that the first run made is as the backup has it, not as it was begun.
            #expect(try run("stat", ["-c", "%a", "\(host)/etc/kubernetes/pki/etcd"]).text == "755\n", "after \(step)")
            try expectNothingLost(step)
        }

        private func attempt(_ call: String, _ fault: String) throws -> CommandResult {
            let options = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=\(call)", "-e", "inject=\(call):\(fault)"]
            return try RunningCommand("strace", options + [SnapTool.executable()] + inPlace()).wait()
        }

        /// Faults a call at its first, second, … time, until there is no such time.
        private func atEveryStep(
            of call: String, by stride: Int, _ fault: String, _ body: (CommandResult, String) throws -> Void
        ) throws -> Int {
            var count = 0
            while true {
                try resetHost()
                let number = 1 + count * stride
                let result = try attempt(call, "\(fault):when=\(number)")
                guard result.status != 0 else { return count }
                count += 1
                try body(result, "\(call) \(number)")
            }
        }

        private static let calls = [
            ("renameat", 1, 5), ("linkat", 1, 3), ("mkdirat", 1, 5), ("unlinkat", 1, 1), ("fsync", 7, 5),
            ("syncfs", 1, 1),
            ("fchmod", 2, 3),
        ]

        @Test(arguments: calls)
        func killedAtEveryStep(call: String, stride: Int, minimumCount: Int) throws {
            let count = try atEveryStep(of: call, by: stride, "signal=SIGKILL") { result, step in
                #expect(result.status == SIGKILL, "\(step): \(result.errorText)")
                try expectNothingLost(step)
                let again = try SnapTool.attempt(inPlace())
                #expect(again.status == 0, "\(step): \(again.errorText)")
                try expectRestored(step)
                try expectKeptIsNamed(by: again, step)
            }
            #expect(count >= minimumCount)
        }

        @Test(arguments: calls)
        func failsAtEveryStep(call: String, stride: Int, minimumCount: Int) throws {
            let count = try atEveryStep(of: call, by: stride, "error=EIO") { result, step in
                #expect(result.status == 1, "\(step): \(result.errorText)")
                try expectNothingLost(step)
                if call == "renameat" { try expectKeptIsNamed(by: result, step) }
                let message = try #require(result.errorText.split(separator: "\n").first { $0.hasPrefix("error: ") })
                #expect(message.components(separatedBy: "Input/output error").count == 2, "\(step): \(message)")
                // What could not be removed is for the next run.
                if call != "unlinkat" { #expect(try stagedFiles() == [], "\(step)") }
                let again = try SnapTool.attempt(inPlace())
                #expect(again.status == 0, "\(step): \(again.errorText)")
                try expectRestored(step)
            }
            #expect(count >= minimumCount)
        }

        /// Keys that a killed restore has staged are gone after the next command that looks at the node, and in no archive.
        @Test(arguments: ["backup", "doctor", "certs"])
        func theNextCommandCleansUp(_ command: String) throws {
            try resetHost()
            // The first is of a directory, the second of a key.
            #expect(try attempt("renameat", "signal=SIGKILL:when=2").status == SIGKILL)
            #expect(try stagedFiles().count == 7)
            let recipient = ["-r", store.key.recipient]
            let arguments =
                switch command {
                case "backup": ["backup"] + recipient + store.server.flags() + store.flags
                case "doctor": ["doctor"] + recipient + store.server.flags() + store.flags
                default: ["certs"]
                }
            let dry = try SnapTool.attempt(["backup", "--dry-run", "--root", host] + recipient + store.server.flags())
            #expect([0, 3].contains(dry.status) && !dry.text.contains("placing"), "\(dry.errorText)")
            #expect(try stagedFiles().count == 7)
            let result = try SnapTool.attempt(arguments + ["--root", host])
            #expect([0, 3].contains(result.status), "\(result.errorText)")
            #expect(result.errorText.contains("left by an interrupted restore"))
            #expect(try stagedFiles() == [])
            #expect(try run("find", [host, "-name", "journal"]).text == "")
            guard command == "backup" else { return }
            let listed = try SnapTool.run(["describe", "latest", "-i", store.key.path, "-o", "json"] + store.flags)
            #expect(!listed.text.contains("placing"))
        }

        /// Killed at the rename of the first key, or of the third.
        @Test(arguments: [(2, false), (4, true)])
        func theNextCommandSaysWhatIsKept(renameNumber: Int, isReplaced: Bool) throws {
            try resetHost()
            #expect(try attempt("renameat", "signal=SIGKILL:when=\(renameNumber)").status == SIGKILL)
            let place = host + "/var/lib/etcd-snap-kept"
            #expect(try run("find", [place, "-name", "ca.key"]).text != "")
            let result = try SnapTool.attempt(["certs", "--root", host])
            let kept = try? FileManager.default.contentsOfDirectory(atPath: place)
            #expect((kept?.count ?? 0) == (isReplaced ? 1 : 0), "\(kept ?? [])")
            let isNamed = result.errorText.contains("rm -r \(place)/\(kept?.first ?? "")")
            #expect(isNamed == isReplaced, "\(result.errorText)")
            try expectNothingLost("\(renameNumber)")
            // Later ones go on naming it.
            let text = try SnapTool.run(inPlace()).text
            for name in kept ?? [] {
                #expect(text.contains("earlier restores; remove it with: rm -r \(place)/\(name)"), "\(text)")
            }
        }

        @Test func staticPodsComeLastAndEtcdsFirst() throws {
            try resetHost()
            let log = store.directory.file("renames")
            try run("strace", ["-f", "-qq", "-o", log, "-e", "trace=renameat", SnapTool.executable()] + inPlace())
            let lines = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n")
            let targets = lines.compactMap { line in
                line.contains(".etcd-snap-placing-")
                    ? line.split(separator: "\"").dropFirst(3).first.map(String.init) : nil
            }
            // The directory that none of them can do without was made before.
            #expect(targets.first == "etcd" && targets.count == 8, "\(targets)")
            let keys = Set(targets.dropFirst().prefix(5))
            #expect(keys == ["ca.key", "front-proxy-ca.key", "sa.key", "sa.pub"])
            #expect(targets.suffix(2) == ["etcd.yaml", "kube-apiserver.yaml"], "\(targets)")
        }

        /// A power loss takes what is not synced: no rename before the directories that keep what it replaces are.
        @Test func directoriesAreDurableBeforeTheNextRename() throws {
            try resetHost()
            let log = store.directory.file("calls")
            let calls = ["-f", "-y", "-qq", "-o", log, "-e", "trace=mkdirat,fsync,renameat"]
            try run("strace", calls + [SnapTool.executable()] + inPlace())
            var unsynced: [String: Set<String>] = [:]
            var (madeCount, renameCount) = (0, 0)
            for line in try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n") {
                // `mkdirat(7</directory>, "name", 0700) = 0`
                guard let start = line.firstIndex(of: "<"), let end = line.firstIndex(of: ">") else { continue }
                let directory = String(line[line.index(after: start)..<end])
                let names = line.split(separator: "\"", omittingEmptySubsequences: false)
                if line.contains("mkdirat("), !line.contains("EEXIST") {
                    unsynced[directory, default: []].insert(String(names[1]))
                    madeCount += 1
                } else if line.contains("fsync(") {
                    unsynced[directory] = nil
                } else if line.contains("renameat(") {
                    // A directory that is made under a temporary name is synced with its last one.
                    unsynced[directory]?.remove(String(names[1]))
                    let left = unsynced.filter { !$0.value.isEmpty }
                    #expect(left == [:], "before \(line)")
                    renameCount += 1
                }
            }
            #expect(madeCount >= 8 && renameCount == 8)
        }

        @Test func whatIsKeptIsSaidAndStaysOutOfStoresAndBackups() throws {
            try resetHost()
            let text = try SnapTool.run(inPlace()).text
            let kept = try #require(
                FileManager.default.contentsOfDirectory(atPath: "\(host)/var/lib/etcd-snap-kept").first)
            let path = "\(host)/var/lib/etcd-snap-kept/\(kept)"
            #expect(text.contains("kept in the clear in \(path); remove them with: rm -r \(path)"), "\(text)")
            #expect(try run("stat", ["-c", "%a", path, "\(host)/var/lib/etcd-snap-kept"]).text == "700\n700\n")
            let backup = ["backup", "--include", "/var/lib", "--root", host, "-r", store.key.recipient]
            let result = try SnapTool.attempt(backup + store.server.flags() + store.flags)
            #expect([0, 3].contains(result.status), "\(result.errorText)")
            let described = try SnapTool.json(["describe", "latest", "-i", store.key.path] + store.flags)
            let paths = described.manifest.entries.array.map(\.path.string)
            #expect(paths.contains("files/var/lib") && !paths.contains { $0.contains("etcd-snap-kept") })
            // Wherever the store is, nothing in the clear gets into it.
            try resetHost()
            for stored in ["\(host)/var/lib", "\(host)/var", host] {
                try run("mkdir", ["-p", stored])
                let path = store.directory.file("archive.tar.zst.age")
                try? FileManager.default.removeItem(atPath: path)
                try? FileManager.default.removeItem(atPath: store.directory.file("archive.json"))
                try SnapTool.run(["download", "latest", path] + store.flags)
                let arguments = inPlace().map { $0 == "latest" ? path : $0 == store.root ? stored : $0 }
                expectFailure(try SnapTool.attempt(arguments), 2, naming: stored)
            }
            #expect(contents("/etc/kubernetes/pki/ca.key") == Self.old)
        }

        /// This host itself has an etcd that runs, that of the test; nothing is placed, for nobody says yes.
        @Test func aControlPlaneThatRunsIsNotDisturbed() throws {
            let arguments = inPlace([]).filter { $0 != "--root" && $0 != host }
            let dry = try SnapTool.attempt(arguments + ["--dry-run"])
            #expect(dry.status == 1 && dry.text.contains("/etc/kubernetes/pki/ca.key"), "\(dry.errorText)")
            for result in [dry, try SnapTool.attempt(arguments)] {
                #expect(result.status == 1 && result.errorText.contains("etcd (process "), "\(result.errorText)")
                #expect(result.errorText.contains("hint: stop the kubelet") && result.errorText.contains("--force"))
            }
            let forced = try SnapTool.attempt(arguments + ["--force"])
            #expect(forced.status == 2 && forced.errorText.contains("--yes"), "\(forced.errorText)")
            #expect(forced.errorText.contains("goes on"), "\(forced.errorText)")
        }
    }
}
