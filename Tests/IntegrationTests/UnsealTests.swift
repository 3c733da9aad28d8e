import Foundation
import TestSupport
import Testing

extension Integration {
    /// `unseal` opens age files of anybody.
    @Suite struct UnsealTests {
        private let directory: TemporaryDirectory
        private let key: Laboratory.Key
        private let plaintext: String
        private let bytes: Data

        init() throws {
            directory = try TemporaryDirectory()
            key = try Laboratory.shared().key()
            plaintext = directory.file("plaintext")
            // Several chunks and a part of one.
            try shell("head -c 300001 /dev/urandom >\"$1\"", plaintext)
            bytes = try Data(contentsOf: URL(fileURLWithPath: plaintext))
        }

        @Test func opensFilesOfAge() throws {
            let sealed = directory.file("sealed.age")
            try run("age", ["-r", key.recipient, "-o", sealed, plaintext])
            #expect(try SnapTool.run(["unseal", "-i", key.path, sealed]).output == bytes)
            let input = try Data(contentsOf: URL(fileURLWithPath: sealed))
            #expect(try SnapTool.run(["unseal", "-i", key.path, "-"], input: input).output == bytes)
            let armored = directory.file("armored.age")
            try run("age", ["-a", "-r", key.recipient, "-o", armored, plaintext])
            #expect(try SnapTool.run(["unseal", "-i", key.path, armored]).output == bytes)
            let text = try Data(contentsOf: URL(fileURLWithPath: armored))
            #expect(try SnapTool.run(["unseal", "-i", key.path, "-"], input: text).output == bytes)
        }

        @Test func decompressesUnlessItIsToldNotTo() throws {
            let sealed = directory.file("sealed.zst.age")
            try shell("zstd -c \"$1\" | age -r \"$2\" >\"$3\"", plaintext, key.recipient, sealed)
            #expect(try SnapTool.run(["unseal", "-i", key.path, sealed]).output == bytes)
            let raw = try SnapTool.run(["unseal", "--raw", "-i", key.path, sealed]).output
            #expect(raw.starts(with: [0x28, 0xB5, 0x2F, 0xFD]))
            #expect(try run("zstd", ["-dc"], input: raw).output == bytes)
        }

        @Test func opensAnEmptyFile() throws {
            let sealed = directory.file("empty.age")
            try shell("age -r \"$1\" </dev/null >\"$2\"", key.recipient, sealed)
            #expect(try SnapTool.run(["unseal", "-i", key.path, sealed]).output == Data())
        }

        @Test func opensOurArchives() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let archive = try store.makeBackup()
            let tar = try SnapTool.run(["unseal", "-i", key.path, archive]).output
            let names = try run("tar", ["t"], input: tar).text.split(separator: "\n")
            #expect(names == ["etcd-snap.json", "etcd/etcd.db", "manifest.json"])
            #expect(try shell("age -d -i \"$1\" \"$2\" | zstd -d", key.path, archive).output == tar)
        }

        /// Our key generator protects a key with a passphrase; only the passphrase opens it, and that file of it.
        @Test func takesProtectedIdentities() throws {
            let passphrase = try directory.write("correct horse\nthis line does not count\n", to: "passphrase")
            let protected = directory.file("protected.txt")
            let made = try SnapTool.run(["keygen", "-o", protected, "--passphrase-file", passphrase])
            let recipient = made.errorText.split(separator: " ").last?.trimmingCharacters(in: .newlines) ?? ""
            let text = try String(contentsOfFile: protected, encoding: .utf8)
            #expect(text.hasPrefix("-----BEGIN AGE ENCRYPTED FILE-----") && !text.contains("AGE-SECRET-KEY"))
            let sealed = directory.file("sealed.age")
            try run("age", ["-r", recipient, "-o", sealed, plaintext])
            let unseal = ["unseal", "-i", protected, sealed]
            #expect(try SnapTool.run(unseal + ["--passphrase-file", passphrase]).output == bytes)
            expectFailure(try SnapTool.attempt(unseal), 2, naming: "protected.txt")
            let wrong = try directory.write("wrong horse\n", to: "wrong")
            let refused = try SnapTool.attempt(unseal + ["--passphrase-file", wrong])
            expectFailure(refused, 8, naming: "protected.txt")
            #expect(!refused.errorText.contains("horse"))
            // The file itself is an age file too, sealed with the passphrase.
            let identity = try SnapTool.run(["unseal", protected, "--passphrase-file", passphrase]).text
            #expect(identity.contains("AGE-SECRET-KEY-1"))
            let plain = try directory.write(identity, to: "plain.txt")
            #expect(try run("age", ["-d", "-i", plain, sealed]).output == bytes)
        }

        @Test func keysAreNeverOverwritten() throws {
            let path = try directory.write("precious", to: "key.txt")
            expectFailure(try SnapTool.attempt(["keygen", "-o", path]), 1, naming: "key.txt")
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "precious")
            let new = directory.file("new.txt")
            try SnapTool.run(["keygen", "-o", new])
            let attributes = try FileManager.default.attributesOfItem(atPath: new)
            #expect(attributes[.posixPermissions] as? Int == 0o600)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
                    == ["key.txt", "new.txt", "plaintext"])
        }
    }
}
