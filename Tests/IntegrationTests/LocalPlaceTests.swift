import Foundation
import TestSupport
import Testing

extension Integration {
    /// What looks like a place elsewhere is no directory here: nobody may believe in a copy that was not made.
    @Suite(.timeLimit(.minutes(45))) struct LocalPlaceTests {
        @Test(arguments: [
            "file:///tmp/x", "host:/path", "user@host:path", "s3:bucket",
            "C:\\x",
            "~/x", "$HOME/x", "https://user:pw@host/x", #"\\server\share"#, "\"/tmp/z\"", "%h/x", "%i", " /tmp/y", "x ",
            "-",
        ])
        func placesElsewhereAreRefused(_ place: String) throws {
            let directory = try TemporaryDirectory()
            let configuration = try directory.write("store: '\(place)'\n", to: "config.yaml")
            let recipient = ["-r", try Laboratory.shared().key().recipient]
            for arguments in [
                ["backup", "--no-etcd", "--store", place] + recipient, ["list", "--store", place],
                ["list", "--config", configuration], ["doctor", "--store", place] + recipient,
            ] {
                let result = try run(
                    "sh", ["-c", "cd \"$0\" && exec \"$@\"", directory.path, try SnapTool.executable()] + arguments,
                    allowsFailure: true)
                #expect(result.status == 2, "\(arguments): \(result.errorText)")
                // A password in it is not shown.
                let shown = place.replacingOccurrences(of: "pw@", with: "…@")
                #expect(result.errorText.contains("./\(shown)"), "\(result.errorText)")
                #expect(!result.errorText.contains("pw@"))
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["config.yaml"])
        }

        /// A share, or a blank at the end of an absolute path, could only be meant otherwise by another spelling.
        @Test func otherSpellingsAreNamed() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            for (place, hint) in [
                ("//server/share", "write /server/share"), ("//server/share/deep", "write /server/share/deep"),
                ("/tmp/y ", "/tmp/y /"), ("/tmp/y\n", "leave it out"), ("'x'", "./'x'"),
            ] {
                for arguments in [
                    ["list", "--store", place], ["keygen", "-o", place],
                    ["restore", "latest", "--target", place, "-i", store.key.path] + store.flags,
                    ["restore", "etcd", "latest", "--data-dir", place, "-i", store.key.path] + store.flags,
                    ["download", "latest", place] + store.flags,
                ] {
                    let result = try SnapTool.attempt(arguments)
                    #expect(result.status == 2, "\(arguments): \(result.errorText)")
                    #expect(result.errorText.contains(hint), "\(result.errorText)")
                }
            }
        }

        @Test(arguments: ["//tmp/none", "/tmp//none", "/tmp/%h", "/tmp/a b", "./ x"])
        func pathsThatAreOnlyUnusualAreTaken(_ place: String) throws {
            #expect(try SnapTool.attempt(["list", "--store", place]).status == 4)
        }

        /// A store is copied off the host as it is, so nothing in the clear gets into it.
        @Test func plaintextStaysOutOfTheStore() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            for arguments in [
                ["restore", "latest", "--target", "\(store.root)/restored"],
                ["restore", "files", "latest", "--target", "\(store.root)/a/../restored", "--dry-run"],
                ["restore", "etcd", "latest", "--data-dir", "\(store.root)/restored"],
            ] {
                let result = try SnapTool.attempt(arguments + ["--store", store.root, "-i", store.key.path])
                #expect(result.status == 2, "\(arguments): \(result.errorText)")
                #expect(result.errorText.contains("is within the store"), "\(result.errorText)")
            }
            #expect(!FileManager.default.fileExists(atPath: "\(store.root)/restored"))
        }

        @Test func aDirectoryWithSuchANameMayBeMeant() throws {
            let directory = try TemporaryDirectory()
            let result = try run(
                "sh",
                [
                    "-c", "cd \"$0\" && exec \"$@\"", directory.path, try SnapTool.executable(), "list", "--store",
                    "./a:b",
                ],
                allowsFailure: true)
            #expect(result.status == 4, "\(result.errorText)")
        }
    }
}
