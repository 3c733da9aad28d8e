import Foundation
import TestSupport
import Testing

extension Integration {
    /// An archive that is not whole is noticed by every command that reads it, and leaves nothing behind.
    @Suite struct DamagedArchiveTests {
        /// The size of a sealed chunk of an age payload: 64 KiB and the tag.
        private static let chunkSize = 65_536 + 16

        private let store: TestStore
        private let archive: String
        private let bytes: Data
        private let headerSize: Int

        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_5))
            // Incompressible, so that there are some chunks.
            try shell("head -c 400000 /dev/urandom >\"$1\"", store.directory.file("random"))
            archive = try store.makeBackup(["--include", store.directory.file("random")])
            bytes = try Data(contentsOf: URL(fileURLWithPath: archive))
            headerSize = try SnapTool.json(["list"] + store.flags)[0].object.headerSize.int
        }

        /// Puts other bytes in the archive's place and expects one command to refuse them with 7 or 8.
        private func expectRefusal(
            _ damaged: Data, _ command: Command, _ what: String, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            try damaged.write(to: URL(fileURLWithPath: archive))
            let target = store.directory.file("target")
            let key = ["-i", store.key.path]
            let result: CommandResult
            switch command {
            case .verify: result = try SnapTool.attempt(["verify"] + key + store.flags)
            case .restore: result = try SnapTool.attempt(["restore", "--target", target] + key + store.flags)
            case .restoreFile: result = try SnapTool.attempt(["restore", archive, "--target", target] + key)
            case .download: result = try SnapTool.attempt(["download", "latest", target] + store.flags)
            }
            #expect(
                result.status == 7 || result.status == 8, "\(what), \(command): \(result.status): \(result.errorText)",
                sourceLocation: sourceLocation)
            expectFailure(result, result.status, naming: archive, sourceLocation: sourceLocation)
            let left = try FileManager.default.contentsOfDirectory(atPath: store.directory.path)
            #expect(Set(left) == ["random", "store"], "\(what), \(command)", sourceLocation: sourceLocation)
        }

        private enum Command: CaseIterable {
            case verify, restore, restoreFile, download
        }

        @Test func anyTruncation() throws {
            let boundaries = stride(from: headerSize + 16, through: bytes.count, by: Self.chunkSize).flatMap {
                [$0 - 1, $0, $0 + 1]
            }
            #expect(boundaries.count >= 18)
            for length in boundaries where length < bytes.count {
                for command in Command.allCases { try expectRefusal(bytes.prefix(length), command, "\(length) bytes") }
            }
            var random = SeededGenerator(seed: 3)
            for index in 0..<200 {
                let length =
                    index < 60 ? index * (headerSize + 20) / 60 : Int.random(in: 0..<bytes.count, using: &random)
                let command = Command.allCases[index % Command.allCases.count]
                try expectRefusal(bytes.prefix(length), command, "\(length) bytes")
            }
        }

        @Test func bitsOfTheHeader() throws {
            for index in 0..<headerSize {
                var damaged = bytes
                damaged[index] ^= 1 << UInt8(index % 8)
                // The digest that a download checks leaves the header out, which a rewrap may change.
                try expectRefusal(damaged, index % 2 == 0 ? .restoreFile : .verify, "header byte \(index)")
            }
        }

        @Test func bitsOfTheBody() throws {
            var random = SeededGenerator(seed: 5)
            for index in 0..<80 {
                let place = Int.random(in: headerSize..<bytes.count, using: &random)
                var damaged = bytes
                damaged[place] ^= 1 << UInt8(index % 8)
                try expectRefusal(damaged, Command.allCases[index % Command.allCases.count], "byte \(place)")
            }
        }

        @Test func bytesBehindTheEnd() throws {
            let chunk = bytes[(bytes.count - Self.chunkSize)...]
            for tail in [Data([0]), Data([10]), Data(count: 16), Data(count: Self.chunkSize), Data(chunk), bytes] {
                for command in Command.allCases {
                    try expectRefusal(bytes + tail, command, "\(tail.count) bytes more")
                }
            }
        }

        @Test func otherFiles() throws {
            let zip = store.directory.file("x.zip")
            try run("python3", ["-m", "zipfile", "-c", zip, store.directory.file("random")])
            let zipped = try Data(contentsOf: URL(fileURLWithPath: zip))
            try FileManager.default.removeItem(atPath: zip)
            let plain = try run("age", ["-r", store.key.recipient], input: Data("hello".utf8)).output
            for (name, data) in [
                ("zip", zipped), ("empty", Data()), ("zeros", Data(count: 100_000)), ("plain age", plain),
            ] {
                for command in Command.allCases { try expectRefusal(data, command, name) }
            }
        }

        @Test func theWrongKey() throws {
            let other = try Laboratory.shared().key("other")
            let target = store.directory.file("target")
            for arguments in [["verify"], ["describe"], ["restore", "--target", target]] {
                let result = try SnapTool.attempt(arguments + ["-i", other.path] + store.flags)
                expectFailure(result, 8, naming: archive)
            }
            expectFailure(try SnapTool.attempt(["unseal", archive, "-i", other.path]), 8, naming: archive)
            #expect(!FileManager.default.fileExists(atPath: target))
            for arguments in [["unseal", archive], ["restore", "--target", target] + store.flags] {
                expectFailure(try SnapTool.attempt(arguments), 2, naming: "identity")
            }
            let damagedKey = try store.directory.write("AGE-SECRET-KEY-1QQQQ\n", to: "bad.txt")
            let result = try SnapTool.attempt(["unseal", archive, "-i", damagedKey])
            #expect([2, 7, 8].contains(result.status) && result.errorText.contains("bad.txt"), "\(result.errorText)")
            #expect(!result.errorText.contains("QQQQ"))
        }

        @Test func anotherArchiveInItsPlace() throws {
            let other = try TestStore(Laboratory.shared().server(.v3_5))
            let replacement = try Data(contentsOf: URL(fileURLWithPath: other.makeBackup()))
            for command in [Command.verify, .restore, .download] {
                try expectRefusal(replacement, command, "another archive")
            }
        }

        @Test func sidecars() throws {
            let sidecar = archive.replacingOccurrences(of: ".tar.zst.age", with: ".json")
            let original = try Data(contentsOf: URL(fileURLWithPath: sidecar))
            for damaged in [
                Data(), Data("{}".utf8), original.prefix(original.count / 2), Data([0xFF, 0xFE]), Data("[]".utf8),
            ] {
                try damaged.write(to: URL(fileURLWithPath: sidecar))
                let result = try SnapTool.attempt(["list"] + store.flags)
                #expect(result.status == 7 && result.errorText.contains(sidecar), "\(result.errorText)")
                #expect(try SnapTool.attempt(["verify", "-i", store.key.path] + store.flags).status == 7)
            }
            try original.write(to: URL(fileURLWithPath: sidecar))
            try FileManager.default.removeItem(atPath: archive)
            let result = try SnapTool.attempt(["list"] + store.flags)
            #expect(result.status == 7 && result.errorText.contains("no archive"), "\(result.errorText)")
        }

        @Test func pathsThatAreNoArchives() throws {
            for path in [store.directory.path, store.directory.file("missing.age")] {
                let result = try SnapTool.attempt(["unseal", path, "-i", store.key.path])
                #expect([1, 4, 7].contains(result.status))
                expectFailure(result, result.status, naming: path, hasHint: result.errorText.contains("hint: "))
            }
            let missing = store.directory.file("missing.tar.zst.age")
            let arguments = ["restore", missing, "-i", store.key.path, "--target", store.directory.file("target")]
            expectFailure(try SnapTool.attempt(arguments), 4, naming: missing)
            try run("mkdir", [missing])
            expectFailure(try SnapTool.attempt(arguments), 7, naming: missing)
        }
    }
}
