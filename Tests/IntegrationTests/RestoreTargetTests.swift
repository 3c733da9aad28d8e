import Foundation
import TestSupport
import Testing

extension Integration {
    /// Targets that are no plain local disk: mounts, directories that others made, file systems that refuse.
    @Suite(.enabled(if: geteuid() == 0, "mounting and owners need root")) struct RestoreTargetTests {
        private static let member = ["--name", "m0", "--initial-cluster", "m0=http://127.0.0.1:1"]
        private let store: TestStore
        private let source: String

        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_5))
            source = try SourceTree.make(in: store.directory)
            try shell(
                #"""
                cd "$1"; touch named; setfattr -n 'user.sp ace' -v 1 named; setfattr -n 'user.é' -v 2 named
                setfattr -n 'user.a=%41b' -v 3 named; setfattr -n $'user.\xff\xfe' -v 4 named
                setfattr -n $'user.\xff\xfd' -v 5 named
                touch -d '1965-03-01T00:00:00.25Z' sparse
                """#, source)
            try store.makeBackup(["--include", source])
        }

        private func restore(_ target: String, _ more: [String] = []) -> [String] {
            ["restore", "latest", "-i", store.key.path, "--target", target] + store.flags + more
        }

        private func restoreEtcd(_ data: String, _ more: [String] = []) -> [String] {
            ["restore", "etcd", "latest", "-i", store.key.path, "--data-dir", data] + store.flags + Self.member + more
        }

        private func inPlace(_ root: String) -> [String] {
            ["restore", "files", "latest", "-i", store.key.path, "--in-place", "--root", root, "--this-node", "node"]
                + store.flags + ["--only", "include", "--yes"]
        }

        private func traced(_ calls: String, _ fault: String, _ arguments: [String]) throws -> CommandResult {
            try traced([(calls, fault)], arguments)
        }

        private func traced(_ faults: [(calls: String, fault: String)], _ arguments: [String]) throws -> CommandResult {
            let calls = faults.map(\.calls).joined(separator: ",")
            let options = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=\(calls)"]
            let injected = faults.flatMap { ["-e", "inject=\($0.calls):\($0.fault)"] }
            // What other tests leave is not this one's to clean up and to tell.
            return try RunningCommand(
                "strace", options + injected + [SnapTool.executable()] + arguments,
                environment: ["XDG_STATE_HOME": "/dev/null"]
            ).wait()
        }

        private func attributes(_ path: String) throws -> String {
            try run("getfattr", ["-d", "-m", "-", "--absolute-names", path]).text.split(separator: "\n").dropFirst()
                .joined(separator: "\n")
        }

        @Test func namesOfAttributesComeBack() throws {
            let target = store.directory.file("named")
            try SnapTool.run(restore(target))
            #expect(try attributes("\(source)/named").count { $0 == "=" } >= 5)
            #expect(try attributes("\(target)/files\(source)/named") == attributes("\(source)/named"))
            #expect(try differences(source, "\(target)/files\(source)") == "")
            let files = ["\(source)/sparse", "\(target)/files\(source)/sparse"]
            let found = try files.map { try run("stat", ["-c", "%y %b", $0]).text }
            #expect(found[0] == found[1] && found[0].contains(".250000000"))
        }

        @Test(arguments: ["EINVAL", "ENOSPC", "E2BIG", "EOPNOTSUPP", "EPERM", "ERANGE"])
        func refusedAttributesAreCounted(error: String) throws {
            let target = store.directory.file("refused")
            let host = store.directory.file("host")
            try run("mkdir", [host])
            for (arguments, root) in [(restore(target), "\(target)/files"), (inPlace(host), host)] {
                let result = try traced("fsetxattr", "error=\(error)", arguments)
                #expect(result.status == 0, "\(result.errorText)")
                let warnings = result.errorText.split(separator: "\n").filter { $0.hasPrefix("warning: ") }
                #expect(warnings.count == 1 && warnings.first?.contains("restorecon") == true, "\(warnings)")
                #expect(try run("stat", ["-c", "%u:%g %a", "\(root)\(source)/setuid"]).text == "1234:5678 4755\n")
                // With classes named, empty directories are nobody's.
                let flags = [
                    "-aHn", "--itemize-changes", "-c", "--exclude=/empty", "--exclude=/sticky", "--exclude=/shared",
                ]
                let copied = try run("rsync", flags + ["\(source)/", "\(root)\(source)/"])
                #expect(copied.text == "")
            }
        }

        /// vfat and exfat (EPERM), CIFS (EOPNOTSUPP) and others have no links: a further name becomes a copy, and what can't
        /// be there is left out and named.
        @Test(arguments: ["EPERM", "EOPNOTSUPP", "ENOSYS"], ["symlinkat", "linkat", "symlinkat,linkat"])
        func fileSystemsWithoutLinks(error: String, calls: String) throws {
            try shell(#"cd "$1"; ln dangling dangling2"#, source)
            try store.makeBackup(["--include", source])
            let target = store.directory.file("linkless")
            let host = store.directory.file("host")
            try run("mkdir", [host])
            let contents = #"cd "$1"; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum"#
            let links = #"cd "$1"; find . -type l -printf '%p %l\n' | LC_ALL=C sort"#
            for (arguments, root) in [(restore(target), "\(target)/files"), (inPlace(host), host)] {
                let result = try traced(calls.split(separator: ",").map { (String($0), "error=\(error)") }, arguments)
                #expect(result.status == 0, "\(result.errorText)")
                #expect(try shell(contents, source).text == shell(contents, "\(root)\(source)").text)
                let hasLinks = !calls.contains("symlinkat")
                #expect(try shell(links, "\(root)\(source)").text == (hasLinks ? shell(links, source).text : ""))
                let warnings = result.errorText.split(separator: "\n").filter { $0.hasPrefix("warning: ") }
                #expect(warnings.count == (hasLinks ? 0 : 1), "\(warnings)")
                guard let warning = warnings.first else { continue }
                #expect(warning.contains("4 symbolic links") && warning.contains("\"\(root)\(source)/dangling\""))
                #expect(warning.contains("has no symbolic links") && !warning.contains("lsattr"), "\(warning)")
            }
            let flags = try ["\(target)/files", host].map {
                try run("stat", ["-c", "%h", "\($0)\(source)/large"]).text
            }
            #expect(flags == (calls.contains(",") || calls == "linkat" ? ["1\n", "1\n"] : ["3\n", "3\n"]))
        }

        /// What is refused is named by the place that the file gets, each of a kind.
        @Test func refusalsNameTheFile() throws {
            let target = store.directory.file("refused")
            let host = store.directory.file("host")
            try run("mkdir", [host])
            for (arguments, root) in [(restore(target), "\(target)/files"), (inPlace(host), host)] {
                let result = try traced("fsetxattr", "error=EPERM:when=1", arguments + ["-o", "json"])
                let refused = try JSON(result.output).refused
                let paths = refused.paths.attribute.array.map(\.string)
                #expect(paths.count == 1 && paths[0].hasPrefix("\(root)\(source)"), "\(paths)")
                #expect(refused.firstReason.string.contains("\"\(paths.first ?? "?")\""))
                #expect(result.errorText.contains("\"\(paths.first ?? "?")\""), "\(result.errorText)")
                #expect(!result.errorText.contains("placing") && !result.errorText.contains(".pending"))
            }
        }

        @Test func whatIsNotAboutAttributesFails() throws {
            let target = store.directory.file("broken")
            #expect(try traced("fsetxattr", "error=EIO", restore(target)).status == 1)
            #expect(!FileManager.default.fileExists(atPath: target))
        }

        /// A program that was another user's does not become one that runs as root.
        @Test func ownersThatAreNotKnownHere() throws {
            for (index, arguments) in [restore(store.directory.file("mine")), inPlace(store.directory.file("ns"))]
                .enumerated()
            {
                try run("mkdir", ["-p", store.directory.file("ns")])
                let result = try RunningCommand("unshare", ["-Ur", SnapTool.executable()] + arguments).wait()
                #expect(result.status == 0 && result.errorText.contains("owners"), "\(result.errorText)")
                let root = index == 0 ? "\(store.directory.file("mine"))/files" : store.directory.file("ns")
                #expect(try run("stat", ["-c", "%u %a", "\(root)\(source)/setuid"]).text == "0 755\n")
                #expect(try run("cmp", ["\(root)\(source)/large", "\(source)/large"]).status == 0)
            }
        }

        /// Some have no hard links either; then the files to restore have none.
        @Test(arguments: [
            ("EINVAL", nil), ("ENOSYS", nil), ("EPERM", nil), ("EINVAL", "EPERM"), ("EINVAL", "EOPNOTSUPP"),
        ])
        func fileSystemsWithoutFlagsOfRename(error: String, linkError: String?) throws {
            let faults = [("renameat2", "error=\(error)")] + (linkError.map { [("linkat", "error=\($0)")] } ?? [])
            let place = store.directory
            if linkError != nil {
                try shell("rm \"$1/hard1\" \"$1/pki/hard2\"", source)
                try store.makeBackup(["--include", source])
            }
            let commands = [
                restore(place.file("r")), restoreEtcd(place.file("e"), ["--wal-dir", place.file("w")]),
                ["keygen", "-o", place.file("key")], ["download", "latest", place.file("copy")] + store.flags,
                inPlace(place.file("host")), store.backup(),
            ]
            try run("mkdir", [place.file("host")])
            for command in commands {
                let result = try traced(faults, command)
                #expect(result.status == 0, "\(command): \(result.errorText)")
            }
            try SnapTool.run(["verify", "latest", "-i", store.key.path] + store.flags)
            try SnapTool.run(["verify", place.file("copy"), "-i", store.key.path])
            #expect(try differences(source, "\(place.file("r"))/files\(source)") == "")
            let made = ["e/member/snap/db", "w/0000000000000000-0000000000000000.wal", "key"].map(place.file)
            for path in made { #expect(access(path, R_OK) == 0, "\(path)") }
            // What is there is not replaced on such a file system either.
            for command in [["keygen", "-o", place.file("key")], restore(place.file("r"))] {
                expectFailure(try traced(faults, command), 1, naming: place.path)
            }
            #expect(try shell("find \"$1\" -name '.pending*'", place.path).text == "")
        }

        /// A file system mounted for one test.
        private final class Mount {
            let path: String
            init(at path: String, holdsLostAndFound: Bool) throws {
                self.path = path
                try shell("mkdir -p \"$1\"; mount -t tmpfs none \"$1\"", path)
                if holdsLostAndFound { try run("mkdir", ["\(path)/lost+found"]) }
            }
            deinit { _ = try? run("umount", ["--lazy", path], allowsFailure: true) }
        }

        /// A header holds less than some file systems do; what is left out is said, the rest and the other files are kept.
        @Test func moreAttributesThanAHeaderHolds() throws {
            let mount = try Mount(at: store.directory.file("from"), holdsLostAndFound: false)
            try shell(
                #"""
                cd "$1"; echo content >full; echo content >other; setfattr -n user.small -v 1 full other
                value=$(head -c 60000 /dev/zero | tr '\0' v)
                for number in $(seq 10 29); do setfattr -n user.large$number -v "$value" full; done
                """#, mount.path)
            let result = try SnapTool.attempt(store.backup(["--include", mount.path, "-o", "json"]))
            #expect(result.status == 3, "\(result.errorText)")
            let findings = try JSON(result.output).findings.array
            #expect(findings.map(\.code.string) == ["attributes-too-large"])
            #expect(findings.first?.subject.string == "\(mount.path)/full")
            let target = try Mount(at: store.directory.file("to"), holdsLostAndFound: false)
            try SnapTool.run(restore(target.path))
            let before = try attributes("\(mount.path)/full").split(separator: "\n")
            let after = try attributes("\(target.path)/files\(mount.path)/full").split(separator: "\n")
            #expect(before.count == 21 && after.count == 17 && Set(after).isSubset(of: before))
            for line in before {
                let name = String(line.prefix { $0 != "=" })
                let isSaid = findings.first?.message.string.contains("\"\(name)\"") == true
                #expect(isSaid != after.contains(line), "\(name)")
            }
            #expect(after.contains("user.small=\"1\""))
            try run("diff", ["-r", mount.path, "\(target.path)/files\(mount.path)"])
            #expect(try attributes("\(target.path)/files\(mount.path)/other") == "user.small=\"1\"")
        }

        @Test(arguments: [true, false]) func mountPointsAreFilled(holdsLostAndFound: Bool) throws {
            let mount = try Mount(at: store.directory.file("mount"), holdsLostAndFound: holdsLostAndFound)
            try SnapTool.run(restore(mount.path))
            #expect(try differences(source, "\(mount.path)/files\(source)") == "")
            expectFailure(try SnapTool.attempt(restore(mount.path)), 1, naming: mount.path)
            #expect(try shell("find \"$1\" -name '.pending*'", mount.path).text == "")
            let lost = try FileManager.default.contentsOfDirectory(atPath: mount.path).contains("lost+found")
            #expect(lost == holdsLostAndFound)
        }

        @Test(arguments: [true, false]) func dataDirectoriesThatAreMountPointsBoot(holdsLostAndFound: Bool) throws {
            let data = try Mount(at: store.directory.file("data"), holdsLostAndFound: holdsLostAndFound)
            let log = try Mount(at: store.directory.file("log"), holdsLostAndFound: false)
            let arguments = restoreEtcd(data.path, ["--wal-dir", log.path])
            // Killed when the log has its name and the data has not, and then again.
            let killed = try traced("renameat2", "signal=SIGKILL:when=2", arguments)
            #expect(killed.status == SIGKILL, "\(killed.errorText)")
            try SnapTool.run(arguments)
            let server = try EtcdServer.start(
                .v3_5, pki: store.server.pki, flags: ["--data-dir=\(data.path)", "--wal-dir=\(log.path)"])
            defer { server.kill() }
            #expect(try server.allKeys().count > 300)
        }

        @Test func aBindMountIsAMountPointToo() throws {
            let path = store.directory.file("bound")
            try shell("mkdir \"$1\" \"$1.from\"; mount --bind \"$1.from\" \"$1\"", path)
            defer { _ = try? run("umount", ["--lazy", path], allowsFailure: true) }
            try SnapTool.run(restore(path))
            #expect(try differences(source, "\(path).from/files\(source)") == "")
        }

        @Test func allMembersIntoAMountPoint() throws {
            let mount = try Mount(at: store.directory.file("all"), holdsLostAndFound: true)
            let arguments =
                ["restore", "etcd", "latest", "-i", store.key.path, "--data-dir", mount.path, "--all-members"]
                + ["--initial-cluster", "a=http://127.0.0.1:1,b=http://127.0.0.1:2"] + store.flags
            try SnapTool.run(arguments)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: mount.path).sorted() == ["a", "b", "lost+found"])
        }

        /// An empty directory that another user's etcd is to have, as packages make it.
        @Test(arguments: EtcdVersion.installed) func dataOfAnotherUserBoots(version: EtcdVersion) throws {
            let data = store.directory.file("data")
            try shell("chmod 755 \"$2\"; mkdir -m 0700 \"$1\"; chown 4711:4712 \"$1\"", data, store.directory.path)
            let inode = try run("stat", ["-c", "%i", data]).text
            let result = try SnapTool.attempt(restoreEtcd(data))
            #expect(result.status == 0 && result.errorText.contains("4711:4712"), "\(result.errorText)")
            #expect(try run("stat", ["-c", "%i", data]).text == inode)
            #expect(try run("find", [data, "!", "-uid", "4711", "-o", "!", "-gid", "4712"]).text == "")
            try expectBoots(version, data, as: "4711", "4712")
        }

        private func expectBoots(_ version: EtcdVersion, _ data: String, as user: String, _ group: String) throws {
            let ready = store.directory.file("log-\(user)")
            let program = version.path(of: "etcd")
            let command = try RunningCommand(
                "timeout",
                ["-k", "1", "20", "setpriv", "--reuid", user, "--regid", group, "--clear-groups", "bash", "-c"] + [
                    #"""
                    exec "$0" --name m0 --data-dir "$1" --listen-client-urls http://127.0.0.1:0 \
                        --advertise-client-urls http://127.0.0.1:1 --listen-peer-urls http://127.0.0.1:0 \
                        --initial-advertise-peer-urls http://127.0.0.1:1 --initial-cluster m0=http://127.0.0.1:1
                    """#, program, data,
                ])
            let end = ContinuousClock.now + .seconds(15)
            while command.isRunning, ContinuousClock.now < end, !command.errorText.contains("became leader") {
                usleep(50_000)
            }
            #expect(command.errorText.contains("became leader"), "\(ready): \(command.errorText.suffix(2000))")
            command.signal(SIGTERM)
            _ = try? command.wait(seconds: 10)
        }

        @Test func theOwnerIsNamed() throws {
            let data = store.directory.file("owned")
            try SnapTool.run(restoreEtcd(data, ["--owner", "1234:1235"]))
            #expect(try run("find", [data, "!", "-uid", "1234", "-o", "!", "-gid", "1235"]).text == "")
            let named = store.directory.file("named-owner")
            try SnapTool.run(restoreEtcd(named, ["--owner", "nobody"]))
            let expected = try shell("echo $(id -u nobody):$(id -g nobody)").text
            #expect(try run("stat", ["-c", "%u:%g", "\(named)/member/snap/db"]).text == expected)
            expectFailure(
                try SnapTool.attempt(restoreEtcd(store.directory.file("x"), ["--owner", "no such"])), 2,
                naming: "no such")
        }

        /// Half-way an error is said once, with what was done by then.
        @Test func anErrorHalfWayIsSaidOnce() throws {
            var wasHalfWay = false
            for number in 1...20 where !wasHalfWay {
                let root = store.directory.file("half-\(number)")
                try run("mkdir", [root])
                let result = try traced("renameat,renameat2", "error=EIO:when=\(number)", inPlace(root))
                guard result.errorText.contains("replaced before") else { continue }
                wasHalfWay = true
                let said = result.errorText.split(separator: "\n").filter { $0.hasPrefix("error: ") }.joined()
                #expect(said.components(separatedBy: "cannot rename").count == 2, "\(result.errorText)")
            }
            #expect(wasHalfWay)
        }

        @Test func theCapturedOwnerIsApplied() throws {
            let node = try ControlPlaneNode(in: store.directory, runs: store.server)
            try node.change("mkdir -p var/lib/etcd; chown 997:996 var/lib/etcd; chmod 700 var/lib/etcd")
            let flags = ["--store", store.directory.file("node-store"), "--cluster", "test", "--node", "node"]
            _ = try SnapTool.attempt(
                ["backup", "--root", node.root, "-r", store.key.recipient] + store.server.flags() + flags)
            let record = try SnapTool.json(["describe", "-i", store.key.path] + flags).manifest.etcd[0].dataDirectory
            #expect(record.owner.string == "997:996" && record.path.string == "/var/lib/etcd")
            let data = store.directory.file("data")
            let result = try SnapTool.attempt(
                ["restore", "etcd", "latest", "-i", store.key.path, "--data-dir", data] + flags + Self.member)
            #expect(result.status == 0 && result.errorText.contains("997:996"), "\(result.errorText)")
            #expect(try run("find", [data, "!", "-uid", "997", "-o", "!", "-gid", "996"]).text == "")
        }

        /// What is replaced is kept where the link leads within the root; where it leads nowhere that is said with the plan.
        @Test func aLinkAboveWhatIsKept() throws {
            let host = store.directory.file("linked")
            try shell("mkdir -p \"$1/var\" \"$1/data/lib\" \"$1$2\"; ln -s /data/lib \"$1/var/lib\"", host, source)
            try shell("echo old >\"$1$2/named\"", host, source)
            let report = try SnapTool.json(inPlace(host))
            #expect(report.keptPath.string.hasPrefix("\(host)/data/lib/etcd-snap-kept/"))
            #expect(try String(contentsOfFile: report.keptPath.string + "\(source)/named", encoding: .utf8) == "old\n")
            try shell("rm \"$1/var/lib\"; ln -s /nowhere \"$1/var/lib\"", host)
            for more in [["--dry-run"], []] {
                let result = try SnapTool.attempt(inPlace(host) + more)
                expectFailure(result, 1, naming: "\(host)/var/lib")
            }
            try shell("rm \"$1/var/lib\"; mkdir \"$1/var/lib\"; ln -s /data \"$1/var/lib/etcd-snap-kept\"", host)
            expectFailure(try SnapTool.attempt(inPlace(host)), 1, naming: "symbolic link")
        }

        /// The token, and with it the IDs, are those of the restore itself; data that is not Kubernetes' is watched too.
        @Test func aDryRunShowsNothingThatWillBeOtherwise() throws {
            let data = store.directory.file("dry")
            let plan = try SnapTool.json(restoreEtcd(data, ["--dry-run"]))
            #expect(plan["initialClusterToken"].value == nil && plan.clusterID.value == nil)
            let given = ["--initial-cluster-token", "mine"]
            let planned = try SnapTool.json(restoreEtcd(data, given + ["--dry-run"]))
            let made = try SnapTool.json(restoreEtcd(data, given))
            for field in ["initialClusterToken", "clusterID", "revision", "owner"] {
                #expect("\(made[field])" == "\(planned[field])", "\(field)")
            }
            #expect(made.revisionBump.int == 1_000_000_000)
            let same = try SnapTool.json(restoreEtcd(store.directory.file("same"), ["--no-bump"]))
            #expect(same.revisionBump.int == 0)
        }

        /// Whatever is read as a file of identities.
        @Test(arguments: ["UTF-16", "UTF-16LE", "UTF-16BE", "UTF-8"])
        func aSealedIdentityIsAFindingInEachEncoding(encoding: String) throws {
            let directory = store.directory.file("with-key")
            try shell("mkdir \"$1\"; iconv -t \(encoding) \"$2\" >\"$1/some.txt\"", directory, store.key.path)
            try SnapTool.run(store.backup())
            try SnapTool.run(["verify", "latest", "-i", "\(directory)/some.txt"] + store.flags)
            let result = try SnapTool.attempt(store.backup(["--include", directory]))
            #expect(result.status == 3 && result.errorText.contains("identity-captured"), "\(result.errorText)")
        }

        @Test func aSealedIdentityIsAFinding() throws {
            let directory = store.directory.file("with-key")
            try shell("mkdir \"$1\"; { echo '# mine'; cat \"$2\"; } >\"$1/some.txt\"", directory, store.key.path)
            let result = try SnapTool.attempt(store.backup(["--include", directory]))
            #expect(result.status == 3 && result.errorText.contains("identity-captured"), "\(result.errorText)")
            #expect(result.errorText.contains("\(directory)/some.txt"))
            #expect(result.errorText.contains("is in this backup now"))
            let dry = try SnapTool.attempt(store.backup(["--include", directory, "--dry-run"]))
            #expect(dry.status == 3 && dry.text.contains("which a backup takes"), "\(dry.text)")
        }
    }
}
