import Foundation
import HostIO
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(45))) struct ChildProcessTests {
    private static let patience = ChildProcess.Patience(seconds: 60)

    private func shell(_ script: String, _ input: ChildProcess.Input = .nothing) throws -> ChildProcess {
        try ChildProcess("/bin/sh", ["-c", script], environment: ["PATH=/usr/bin:/bin"], input: input)
    }

    private func output(_ child: ChildProcess) throws -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = try buffer.withUnsafeMutableBytes { try child.read(into: $0, .init(seconds: 60)) }
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer[..<count]
        }
    }

    private func write(_ child: ChildProcess, _ count: Int) throws -> Bool {
        try [UInt8](repeating: 7, count: count).withUnsafeBytes { try child.write($0, stallSeconds: 60) }
    }

    @Test func streamsAndEnds() throws {
        let child = try shell("wc -c; echo bad >&2; exit 7", .stream)
        #expect(try write(child, 3_000_000))
        child.endInput()
        #expect(try output(child).trimmingCharacters(in: .whitespacesAndNewlines) == "3000000")
        #expect(try child.waitForEnd(Self.patience) == .status(7))
        #expect(child.errorText == "bad\n")
        #expect(try shell("kill -9 $$").waitForEnd(Self.patience) == .signal(9))
        #expect(try output(shell("cat", .bytes(Array("all".utf8)))) == "all")
        #expect(try output(shell("cat; env | cut -d= -f1 | sort | tr '\\n' ' '")) == "PATH PWD ")
        #expect(throws: SystemCallError.self) { try ChildProcess("/nonexistent", [], environment: []) }
    }

    /// The program sees no end when there was none.
    @Test func inputThatBreaksIsNoEnd() throws {
        for count in [0, 1, 100_000, 3_000_000] {
            let whole = try shell("cat >/dev/null 2>&1", .stream)
            #expect(try write(whole, count))
            whole.endInput()
            #expect(try whole.waitForEnd(Self.patience) == .status(0))
            let broken = try shell("cat >/dev/null 2>&1", .stream)
            #expect(try write(broken, count))
            broken.breakInput()
            #expect(try broken.waitForEnd(Self.patience) == .status(1), "\(count)")
        }
    }

    @Test func inputOfAKilledProcessIsNoEnd() async throws {
        let directory = try TemporaryDirectory()
        let result = directory.file("result")
        await #expect(processExitsWith: .signal(SIGKILL)) { [result = result as String] in
            let child = try ChildProcess(
                "/bin/sh", ["-c", "cat >/dev/null 2>&1; echo $? > \(result).new; mv \(result).new \(result)"],
                environment: ["PATH=/usr/bin:/bin"], input: .stream)
            _ = try [UInt8](repeating: 7, count: 500_000).withUnsafeBytes { try child.write($0, stallSeconds: 60) }
            kill(getpid(), SIGKILL)
        }
        for _ in 0..<200 where !FileManager.default.fileExists(atPath: result) { usleep(50_000) }
        #expect(try String(contentsOfFile: result, encoding: .utf8) == "1\n")
    }

    @Test func aProgramThatReadsNoMoreIsNoticed() throws {
        let child = try shell("exec <&-; exit 3", .stream)
        #expect(try !write(child, 3_000_000))
        #expect(try child.waitForEnd(Self.patience) == .status(3))
    }

    @Test func waitingHasLimits() throws {
        let start = ContinuousClock.now
        let child = try shell("sleep 60", .stream)
        #expect(throws: ChildProcess.Interruption.timedOut) {
            try [UInt8](repeating: 7, count: 9_000_000).withUnsafeBytes { try child.write($0, stallSeconds: 0.3) }
        }
        #expect(throws: ChildProcess.Interruption.timedOut) { try child.waitForEnd(.init(seconds: 0.3)) }
        #expect(child.kill() == .signal(9))
        // One that closes everything and goes on, and one whose child holds its standard error.
        #expect(throws: ChildProcess.Interruption.timedOut) {
            try shell("exec >&- 2>&-; sleep 60").waitForEnd(.init(seconds: 0.3))
        }
        #expect(try shell("sleep 60 & exit 4").waitForEnd(Self.patience) == .status(4))
        #expect(ContinuousClock.now - start < .seconds(30))
    }

    @Test func errorsAreTakenInAndOnlyTheirEndIsKept() throws {
        let child = try shell("head -c 2000000 /dev/zero >&2; cat; echo last >&2", .stream)
        #expect(try write(child, 10))
        child.endInput()
        #expect(try output(child).utf8.count == 10)
        #expect(try child.waitForEnd(Self.patience) == .status(0))
        #expect(child.errorText.hasSuffix("last\n") && child.errorText.utf8.count <= 32 << 10)
    }

    /// A program that is started meanwhile holds nothing of another one's open.
    @Test func childrenDoNotShareStreams() async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<40 {
                group.addTask {
                    let child = try ChildProcess(
                        "/bin/sh", ["-c", "cat; ls /proc/$$/fd | wc -l"], environment: ["PATH=/usr/bin:/bin"],
                        input: .stream)
                    _ = try [1, 2, 3].withUnsafeBytes { try child.write($0, stallSeconds: 60) }
                    child.endInput()
                    return try child.waitForEnd(.init(seconds: 30)) == .status(0)
                }
            }
            for try await isDone in group { #expect(isDone) }
        }
    }
}
