import Age
import Foundation
import TestSupport
import Testing

/// Files that go to and fro between this module and the age program.
///
/// `age` is taken from PATH, and a second, newer one (1.3 or later, which knows post-quantum keys) from `age-1.3/` in
/// the directory of tools.
struct AgeTool: Sendable, CustomTestStringConvertible {
    let path: String
    let readsPostQuantum: Bool
    var testDescription: String { path }

    static let all: [AgeTool] = {
        let environment = ProcessInfo.processInfo.environment
        let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let tools =
            environment["ETCD_SNAP_TEST_TOOLS"].map { URL(filePath: $0) } ?? repository.appending(path: ".tools")
        return [
            AgeTool(path: "/usr/bin/age", readsPostQuantum: false),
            AgeTool(path: tools.appending(path: "age-1.3/age").path, readsPostQuantum: true),
        ]
    }()

    /// Runs the program, with a terminal that types `passphrases` if there are any.
    func run(_ arguments: [String], passphrases: [String] = []) throws -> Int32 {
        let process = Process()
        if passphrases.isEmpty {
            process.executableURL = URL(filePath: path)
            process.arguments = arguments
        } else {
            process.executableURL = URL(filePath: "/usr/bin/env")
            let script = Fixture.directory.appending(path: "type-passphrases.py").path
            process.arguments = ["python3", script, passphrases.joined(separator: "\u{1F}"), path] + arguments
        }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }
}

extension TemporaryDirectory {
    fileprivate func write(_ bytes: [UInt8], to name: String) throws -> String {
        try Data(bytes).write(to: URL(filePath: file(name)))
        return file(name)
    }

    fileprivate func read(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: file(name)))) }
}

@Suite
struct AgeToolTests {
    private static let chunk = PayloadFormat.chunkByteCount
    private static let edges = [
        0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 16 * chunk, 257 * chunk, 258 * chunk,
    ]

    @Test(arguments: AgeTool.all, edges)
    func classicFilesGoBothWays(tool: AgeTool, byteCount: Int) throws {
        let scratch = try TemporaryDirectory()
        let identity = try X25519Identity.generate()
        let plaintext = pattern(byteCount)
        let key = try scratch.write(IdentityFile.render(identity, createdAt: Date()), to: "key")
        let ours = try scratch.write(encrypt(plaintext, for: [identity.recipient], workerCount: 2), to: "ours.age")
        #expect(try tool.run(["-d", "-i", key, "-o", scratch.file("back"), ours]) == 0)
        // Some versions make no file if there is nothing to put in it.
        if byteCount > 0 { #expect(try scratch.read("back") == plaintext) }
        let plain = try scratch.write(plaintext, to: "plain")
        for (flags, name) in [([], "binary.age"), (["-a"], "armored.age")] {
            #expect(try tool.run(["-r", identity.recipient.string] + flags + ["-o", scratch.file(name), plain]) == 0)
            #expect(try decryptStream(scratch.read(name), with: [identity]) == plaintext)
        }
        #expect(try decryptRandomAccess(scratch.read("binary.age"), with: [identity]) == plaintext)
    }

    @Test(arguments: AgeTool.all)
    func severalRecipientsAndArmor(tool: AgeTool) throws {
        let scratch = try TemporaryDirectory()
        let identities = try (0..<3).map { _ in try X25519Identity.generate() }
        let file = try encrypt(Fixture.hello, for: identities.map { $0.recipient })
        for (index, identity) in identities.enumerated() {
            let key = try scratch.write(IdentityFile.render(identity, createdAt: Date()), to: "key")
            let path = try scratch.write(index == 0 ? Armor.encode(file) : file, to: "file")
            #expect(try tool.run(["-d", "-i", key, "-o", scratch.file("back"), path]) == 0)
            #expect(try scratch.read("back") == Fixture.hello)
        }
    }

    @Test(arguments: AgeTool.all)
    func passphrasesGoBothWays(tool: AgeTool) throws {
        let scratch = try TemporaryDirectory()
        let plaintext = pattern(70_000)
        let recipient = try ScryptRecipient(passphrase: Fixture.passphrase, logN: 12)
        let ours = try scratch.write(encrypt(plaintext, for: [recipient]), to: "ours.age")
        let status = try tool.run(["-d", "-o", scratch.file("back"), ours], passphrases: ["correct horse"])
        #expect(status == 0)
        #expect(try scratch.read("back") == plaintext)
        #expect(try tool.run(["-d", "-o", scratch.file("no"), ours], passphrases: ["battery staple"]) != 0)
        let plain = try scratch.write(plaintext, to: "plain")
        let twice = ["correct horse", "correct horse"]
        #expect(try tool.run(["-p", "-o", scratch.file("theirs.age"), plain], passphrases: twice) == 0)
        let identity = try ScryptIdentity(passphrase: Fixture.passphrase)
        #expect(try decryptStream(scratch.read("theirs.age"), with: [identity]) == plaintext)
    }

    @Test(
        arguments: AgeTool.all.filter { $0.readsPostQuantum }, [0, 1, chunk, chunk + 1])
    func postQuantumFilesGoBothWays(tool: AgeTool, byteCount: Int) throws {
        let scratch = try TemporaryDirectory()
        let identity = try HybridIdentity.generate()
        let plaintext = pattern(byteCount)
        let key = try scratch.write(IdentityFile.render(identity, createdAt: Date()), to: "key")
        let file = try encrypt(plaintext, for: [identity.recipient, HybridIdentity.generate().recipient])
        let ours = try scratch.write(file, to: "ours.age")
        #expect(try tool.run(["-d", "-i", key, "-o", scratch.file("back"), ours]) == 0)
        if byteCount > 0 { #expect(try scratch.read("back") == plaintext) }
        let plain = try scratch.write(plaintext, to: "plain")
        #expect(try tool.run(["-r", identity.recipient.string, "-o", scratch.file("theirs.age"), plain]) == 0)
        #expect(try decryptRandomAccess(scratch.read("theirs.age"), with: [identity]) == plaintext)
    }

    @Test(arguments: AgeTool.all)
    func bothRefuseTheSameDamage(tool: AgeTool) throws {
        let scratch = try TemporaryDirectory()
        let identity = try X25519Identity.generate()
        let key = try scratch.write(IdentityFile.render(identity, createdAt: Date()), to: "key")
        let file = try encrypt(pattern(2 * Self.chunk), for: [identity.recipient])
        let cut = Array(file.dropLast(PayloadFormat.sealedChunkByteCount))
        var flipped = file
        flipped[file.count / 2] ^= 4
        for bytes in [cut, flipped, file + [0], Array(file.prefix(170))] {
            let path = try scratch.write(bytes, to: "damaged")
            #expect(try tool.run(["-d", "-i", key, "-o", scratch.file("back"), path]) != 0)
            #expect(kind { _ = try decryptRandomAccess(bytes, with: [identity]) } != nil)
        }
    }
}
