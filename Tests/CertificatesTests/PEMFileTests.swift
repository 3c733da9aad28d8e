import Foundation
import Testing

@testable import Certificates

@Suite(.timeLimit(.minutes(45))) struct PEMFileTests {
    @Test func linesOfEveryKind() {
        let block = "-----BEGIN X-----\r\nAQI=\r\n-----END X-----"
        let text = "\n\ntext\n\(block)\n\n \t\n\(block)"
        #expect(PEMFile(Array(text.utf8)).blocks.map(\.content) == [[1, 2], [1, 2]])
        #expect(PEMFile([]).blocks.isEmpty && PEMFile([0x0A]).problems.isEmpty)
        #expect(PEMFile(Array("\n\n-----BEGIN X-----\n".utf8)).problems == ["the block at line 3 has no END line"])
    }

    /// Memory is that of the process, so the least of several runs counts: other tests run beside this one.
    @Test func aFileOfLineBreaksNeedsNoMemory() throws {
        let bytes = [UInt8](repeating: 0x0A, count: 4 << 20)
        let growths = try (0..<4).map { _ in
            // proc_pid_clear_refs(5): the peak is that from now on.
            try Data("5".utf8).write(to: URL(filePath: "/proc/self/clear_refs"))
            let before = try kilobytes("VmRSS:")
            #expect(PEMFile(bytes).blocks.isEmpty)
            return try kilobytes("VmHWM:") - before
        }
        #expect(growths.min() ?? .max < 64 << 10, "\(growths) KiB")
    }

    private func kilobytes(_ key: String) throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix(key) })
        return try #require(line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) })
    }
}
