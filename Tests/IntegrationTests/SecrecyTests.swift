import Foundation
import TestSupport
import Testing

extension Integration {
    /// Nothing secret leaves the program but sealed, watched by strace.
    @Suite struct SecrecyTests {
        private static let canary = "canary-6b1f0c9d-and-no-other-text-like-it"
        private let store: TestStore
        private let traces: String

        init() throws {
            let server = try Laboratory.shared().server(.v3_5)
            store = try TestStore(server)
            traces = store.directory.file("trace")
            try server.etcdctl("put", "/secret/\(Self.canary)", Self.canary)
            // Among random bytes zstd leaves text as it is, so that a lack of encryption would show.
            try shell(
                "mkdir \"$1\"; (head -c 300000 /dev/urandom; printf %s \"$2\"; head -c 300000 /dev/urandom) >\"$1/secret\"",
                store.directory.file("tree"), Self.canary)
        }

        /// Runs a command under strace, with an empty directory for temporary files that has to stay empty.
        private func trace(_ arguments: [String]) throws -> [Substring] {
            let temporary = store.directory.file("temporary")
            try run("mkdir", ["-p", temporary])
            let calls =
                "trace=execve,openat,open,creat,read,pread64,readv,write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg"
            let options = ["-f", "-qq", "-s", "4194304", "-o", traces, "-e", calls]
            let command = try RunningCommand(
                "strace", options + [SnapTool.executable()] + arguments, environment: ["TMPDIR": temporary])
            let result = try command.wait(seconds: 180)
            #expect(result.status == 0, "\(result.errorText)")
            #expect(!result.errorText.contains(Self.canary) && !result.text.contains(Self.canary))
            #expect(try FileManager.default.contentsOfDirectory(atPath: temporary) == [])
            let trace = try Data(contentsOf: URL(fileURLWithPath: traces))
            return String(decoding: trace, as: UTF8.self).split(separator: "\n")
        }

        private func calls(_ lines: [Substring], _ names: [String]) -> [Substring] {
            lines.filter { line in names.contains { line.contains(" \($0)(") } }
        }

        /// The paths that were opened for writing.
        private func written(_ lines: [Substring]) -> [String] {
            calls(lines, ["openat", "open", "creat"])
                .filter { $0.contains("O_WRONLY") || $0.contains("O_RDWR") || $0.contains("creat(") }
                .filter { !$0.contains(" = -1 ") }
                .compactMap { line in line.split(separator: "\"").dropFirst().first.map(String.init) }
        }

        @Test func aBackupWritesNothingInTheClear() throws {
            let lines = try trace(store.backup(["-v", "--include", store.directory.file("tree")]))
            let reads = calls(lines, ["read", "pread64", "readv"])
            let writes = calls(lines, ["write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg"])
            // That it shows where it is read says that strace would have shown it elsewhere.
            #expect(reads.contains { $0.contains(Self.canary) })
            #expect(writes.contains { $0.contains("age-encryption.org/v1") })
            #expect(!writes.contains { $0.contains(Self.canary) })
            // Nor compressed, in the clear: the magic number of zstd.
            #expect(!writes.contains { $0.contains("(\\265/\\375") })
            #expect(calls(lines, ["execve"]).count == 1)
            for path in written(lines) {
                let isOurs = path.hasPrefix(".pending-") || path == ".lock"
                #expect(isOurs || path == "/dev/null" || path.hasPrefix("/proc/"), "\(path)")
            }
            try expectNowhere(in: store.root)
        }

        @Test func readersWriteNothing() throws {
            let archive = try store.makeBackup(["--include", store.directory.file("tree")])
            for arguments in [["verify"], ["describe"]] {
                let lines = try trace(arguments + ["-i", store.key.path] + store.flags)
                // strace has seen the archive being read.
                #expect(lines.contains { $0.contains(".tar.zst.age") })
                let paths = written(lines).filter { $0 != "/dev/null" && !$0.hasPrefix("/proc/") }
                #expect(paths == [], "\(arguments)")
                let writes = calls(lines, ["write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg"])
                #expect(!writes.contains { $0.contains(Self.canary) || $0.contains("AGE-SECRET-KEY") })
            }
            // A control of the control: here it has to come out.
            let plaintext = try SnapTool.run(["unseal", archive, "-i", store.key.path]).output
            #expect(plaintext.range(of: Data(Self.canary.utf8)) != nil)
        }

        /// The public description does not tell the names of files, nor values of etcd.
        private func expectNowhere(in root: String) throws {
            let result = try RunningCommand("grep", ["-r", "-a", "-l", Self.canary, root]).wait()
            #expect(result.status == 1 && result.text == "", "\(result.text)")
        }
    }
}
