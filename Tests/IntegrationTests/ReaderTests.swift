import Foundation
import TestSupport
import Testing

extension Integration {
    /// `Tests/Reader/read_archive.py`, which was written from `docs/archive-format.md`, reads and checks every archive.
    @Suite struct ReaderTests {
        private static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent()

        private func attempt(
            _ archive: String, _ arguments: [String], environment: [String: String] = [:]
        ) throws -> CommandResult {
            let reader = Self.tests.appendingPathComponent("Reader/read_archive.py").path
            return try run(
                "python3", [reader, archive, "--sidecar", sidecar(of: archive)] + arguments, environment: environment,
                allowsFailure: true)
        }

        private func read(
            _ archive: String, _ arguments: [String], environment: [String: String] = [:]
        ) throws -> JSON {
            let result = try attempt(archive, arguments, environment: environment)
            #expect(result.status == 0, "\(result.errorText)")
            return try JSON(result.output)
        }

        private func key(_ store: TestStore) -> [String] {
            ["--identity", store.key.path, "--recipient", store.key.recipient]
        }

        @Test(arguments: EtcdVersion.installed)
        func archivesOfEtcdAlone(_ version: EtcdVersion) throws {
            let store = try TestStore(Laboratory.shared().server(version))
            let first = try store.makeBackup()
            let second = try store.makeBackup(["--verify", "consistent"])
            #expect(try read(first, key(store)).etcd[0].string == "etcd")
            let summary = try read(second, key(store) + ["--previous", sidecar(of: first)])
            #expect(summary.entryCount.int == 3)
            let swapped = try attempt(first, key(store) + ["--previous", sidecar(of: second)])
            #expect(swapped.status == 1 && swapped.errorText.contains("previousSidecarSHA256"), "\(swapped.errorText)")
        }

        /// Odd names, modes, owners and times, links of both kinds, attributes, and a file of several frames.
        @Test func anArchiveOfOddFiles() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let tree = try SourceTree.make(in: store.directory)
            try shell(
                "cd \"$1\"; echo e8 >$'n\\xe8'; echo e9 >$'n\\xe9'; ln $'n\\xe9' o-hard; ln -s $'n\\xe9' o-soft", tree)
            let summary = try read(store.makeBackup(["--include", tree]), key(store))
            #expect(summary.kinds.array.map(\.string) == ["directory", "file", "hardLink", "symbolicLink"])
            #expect(summary.attributeCount.int >= 3 && summary.frameCount.int >= 5)
            // The paths and sources of three files, and the targets of two links.
            #expect(summary.bytesCount.int == 8)
        }

        @Test func anArchiveOfANodeWithTwoEtcds() throws {
            let server = try Laboratory.shared().server(.v3_5)
            let store = try TestStore(server)
            let events = try EtcdServer.start(.v3_4)
            defer { events.kill() }
            let node = try ControlPlaneNode(in: store.directory, runs: server)
            try node.addEvents(events, beside: server)
            let arguments = ["backup", "--root", node.root, "-r", store.key.recipient]
            let archive = try SnapTool.json(arguments + server.flags() + store.flags).path.string
            let summary = try read(archive, key(store))
            #expect(summary.etcd.array.count == 2 && summary.entryCount.int > 35)
        }

        @Test func anArchiveForAKeyThatAPassphraseProtects() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_4))
            let passphrase = try store.directory.write("correct horse\n", to: "passphrase")
            let protected = store.directory.file("protected.txt")
            let made = try SnapTool.run(["keygen", "-o", protected, "--passphrase-file", passphrase])
            let recipient = made.errorText.split(separator: " ").last?.trimmingCharacters(in: .newlines) ?? ""
            let archive = try store.makeBackup(["-r", recipient])
            let payload = store.directory.file("payload")
            let typist = Self.tests.appendingPathComponent("Fixtures/age/type-passphrases.py").path
            try run("python3", [typist, "correct horse", "age", "-d", "-i", protected, "-o", payload, archive])
            let recipients = ["--recipient", recipient, "--recipient", store.key.recipient]
            #expect(try read(archive, ["--payload", payload] + recipients).entryCount.int == 3)
        }

        @Test func anArchiveThatResistsQuantumComputers() throws {
            let laboratory = try Laboratory.shared()
            let hybrid = try laboratory.key("hybrid", flags: ["--pq"])
            let store = try TestStore(laboratory.server(.v3_4))
            let arguments = ["backup", "--config", laboratory.plainConfiguration, "-r", hybrid.recipient]
            let archive = try SnapTool.json(arguments + store.server.flags() + store.flags).path.string
            let path = "\(EtcdVersion.toolsDirectory)/age-1.3:\(ProcessInfo.processInfo.environment["PATH"] ?? "")"
            let key = ["--identity", hybrid.path, "--recipient", hybrid.recipient]
            #expect(try read(archive, key, environment: ["PATH": path]).entryCount.int == 3)
        }

        /// Without this the tests above would mean little.
        @Test func theReaderSeesWhatIsWrong() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_4))
            let archive = try store.makeBackup()
            let other = try store.makeBackup()
            let original = try Data(contentsOf: URL(fileURLWithPath: sidecar(of: archive)))
            #expect(try read(archive, key(store)).entryCount.int == 3)
            for (field, value) in SidecarField.sealed {
                try changeSidecar(of: archive) { SidecarField.set(field, value, in: &$0) }
                let result = try attempt(archive, key(store))
                #expect(result.status == 1, "\(field): \(result.errorText)")
                try original.write(to: URL(fileURLWithPath: sidecar(of: archive)))
            }
            try changeSidecar(of: archive) { $0["formatVersion"] = 2 }
            #expect(try attempt(archive, key(store)).status == 2)
            try original.write(to: URL(fileURLWithPath: sidecar(of: archive)))
            try run("cp", [other, archive])
            #expect(try attempt(archive, key(store)).status == 1)
        }
    }
}
