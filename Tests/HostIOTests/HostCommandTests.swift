import Foundation
import HostIO
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(45))) struct HostCommandTests {
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
        #expect(ContinuousClock.now - start < .seconds(40))
    }

    @Test func outputHasALimit() {
        var command = HostCommand("yes", [])
        command.limitByteCount = 100_000
        #expect(command.run() == .failed("wrote more than 100000 bytes"))
    }
}
