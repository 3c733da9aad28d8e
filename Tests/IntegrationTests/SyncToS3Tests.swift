import Foundation
import TestSupport
import Testing

extension Integration {
    /// A directory and a bucket of a real server as two stores of one node.
    @Suite(.timeLimit(.minutes(45))) struct SyncToS3Tests {
        private let directory: TemporaryDirectory
        private let server: SeaweedServer
        private let etcd: EtcdServer
        private let key: Laboratory.Key
        private let configuration: String

        init() throws {
            directory = try TemporaryDirectory()
            server = try SeaweedServer([.init(key: "admin", secret: "secret", actions: ["Admin"])])
            let address = "http://127.0.0.1:\(server.port)"
            try run(
                "curl",
                [
                    "--silent", "--show-error", "--fail", "--request", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3",
                    "--user", "admin:secret", "\(address)/backups",
                ])
            let credentials = try directory.write(
                "[default]\naws_access_key_id = admin\naws_secret_access_key = secret\n", to: "credentials")
            try run("chmod", ["600", credentials])
            etcd = try Laboratory.shared().server(.v3_5)
            key = try Laboratory.shared().key()
            configuration = try directory.write(
                """
                discover: false
                hostFacts: false
                cluster: test
                node: node
                s3: {endpoint: "\(address)", region: us-east-1, credentials: \(credentials)}
                stores:
                - {name: local, location: \(directory.file("local")), retention: {keepLast: 1, floor: 1}}
                - {name: bucket, location: "s3://backups/nodes"}

                """, to: "config.yaml")
        }

        private func attempt(_ arguments: [String]) throws -> CommandResult {
            let own = ["STATE_DIRECTORY": directory.file("state"), "CACHE_DIRECTORY": directory.file("cache")]
            return try SnapTool.attempt(arguments + ["--config", configuration], environment: own)
        }

        private func makeBackup() throws -> String {
            let result = try attempt(["backup", "-r", key.recipient, "-o", "json"] + etcd.flags())
            #expect(result.status == 0, "\(result.errorText)")
            return try JSON(result.output).sidecar.archive.id.string
        }

        private func ids(_ store: String) throws -> [String] {
            let result = try attempt(["list", "--store", store, "-o", "json"])
            #expect([0, 4].contains(result.status), "\(result.errorText)")
            return try JSON(result.output).array.map(\.archive.id.string)
        }

        @Test func aBucketIsFilledAndFills() throws {
            let made = try (0..<3).map { _ in try makeBackup() }
            #expect(try ids("local") == made && ids("bucket") == made)
            let pruned = try attempt(["prune", "--yes"])
            #expect(pruned.status == 0, "\(pruned.errorText)")
            #expect(try ids("local") == [made[2]] && ids("bucket") == made)
            #expect(try attempt(["verify", made[0], "-i", key.path]).status == 0)
            // What was removed from either does not come back, unless told to.
            #expect(try attempt(["delete", made[1], "--yes", "--store", "bucket"]).status == 0)
            let sync = try attempt(["sync", "-o", "json"])
            #expect(sync.status == 0, "\(sync.errorText)")
            #expect(try JSON(sync.output).targets.array.map(\.copied.array.count) == [0, 0])
            let fresh = directory.file("fresh")
            #expect(try attempt(["sync", "--from", "bucket", "--to", fresh]).status == 0)
            #expect(try ids(fresh) == [made[0], made[2]])
            try run("rm", ["-r", directory.file("local")])
            try run("mv", [fresh, directory.file("local")])
            let next = try makeBackup()
            #expect(try ids("local") == [made[0], made[2], next] && ids("bucket") == [made[0], made[2], next])
            // A bucket that is begun anew is filled from the directory, with what that has.
            #expect(try attempt(["delete", made[0], "--yes", "--store", "bucket"]).status == 0)
            let back = try attempt(["sync", "--to", "bucket", "--include-removed"])
            #expect(back.status == 0, "\(back.errorText)")
            #expect(try ids("bucket") == [made[0], made[2], next])
            #expect(try attempt(["verify", made[0], "-i", key.path, "--store", "bucket"]).status == 0)
        }
    }
}
