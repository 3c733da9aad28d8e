import Foundation
import TestSupport
import Testing

extension Integration {
    /// What looks like a place elsewhere is no directory here: nobody may believe in a copy that was not made.
    @Suite(.timeLimit(.minutes(2))) struct LocalPlaceTests {
        @Test(arguments: [
            "s3://bucket/x", "file:///tmp/x", "host:/path", "user@host:path", "s3:bucket", "rclone:remote:path",
            "C:\\x",
            "~/x", "$HOME/x", "https://user:pw@host/x",
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
                #expect(result.errorText.contains("./\(place)"), "\(result.errorText)")
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["config.yaml"])
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
