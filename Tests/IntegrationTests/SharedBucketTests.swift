import Foundation
import TestSupport
import Testing

extension Integration {
    /// Three masters that share a bucket, each with what it remembers of it.
    @Suite(.serialized) struct SharedBucketTests {
        private static let identity = SeaweedServer.Identity(
            key: "AKIDMASTERS", secret: "mastersmastersmasters", actions: ["Admin", "Read", "Write", "List"])

        /// A bucket on a server that has begun to know its identities.
        private func makeBucket(on server: SeaweedServer) throws {
            for _ in 0..<50 {
                let made = try run(
                    "curl",
                    [
                        "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--aws-sigv4", "aws:amz:us-east-1:s3", "-u",
                        "\(Self.identity.key):\(Self.identity.secret)", "-X", "PUT", "\(server.url)/masters",
                    ], allowsFailure: true)
                if made.text == "200" { return }
                usleep(200_000)
            }
            throw TestSupportError("there is no bucket")
        }

        @Test func aSlotHasOneSnapshotAndARestoreJoinsIt() throws {
            let seaweed = try SeaweedServer([Self.identity])
            defer { seaweed.stop() }
            try makeBucket(on: seaweed)
            let servers = try EtcdServer.startCluster(.v3_5, memberCount: 3, pki: Laboratory.shared().pki())
            defer { for server in servers { server.kill() } }
            for index in 0..<40 { try servers[0].etcdctl("put", "/registry/pods/ns/p\(index)", "\(index)") }
            let directory = try TemporaryDirectory()
            let credentials = try directory.write(
                "aws_access_key_id = \(Self.identity.key)\naws_secret_access_key = \(Self.identity.secret)\n",
                to: "keys")
            try run("chmod", ["0600", credentials])
            let masters = try Masters(
                servers, store: "s3://masters/etcd", takeOverMinutes: 2,
                settings: """
                    s3: {endpoint: "\(seaweed.url)", region: us-east-1, credentials: \(credentials), proxy: ""}
                    """)
            let first = try masters.makeBackup(0)
            #expect(first.hasSnapshot)
            for index in 1...2 {
                let shared = try masters.makeBackup(index).sidecar.sharedSnapshots[0]
                #expect(shared.reference.string == first.reference.string)
            }
            try masters.delete(first.reference.string)
            let start = ContinuousClock.now
            let reports = try masters.makeBackups([0, 1, 2])
            #expect(ContinuousClock.now - start < .seconds(100))
            let taken = reports.filter(\.hasSnapshot).map(\.reference.string)
            #expect(taken.count == 1, "\(taken)")
            let files = try #require(reports.first { !$0.hasSnapshot })
            #expect(files.sidecar.sharedSnapshots[0].reference.string == taken.first)
            let data = masters.directory.file("data")
            let restored = try masters.attempt(
                [
                    "restore", "etcd", files.reference.string, "-i", masters.key.path, "--data-dir", data, "--no-bump",
                    "--name", "m0", "--initial-cluster", "m0=http://127.0.0.1:1",
                ])
            #expect(restored.status == 0 && restored.errorText.contains(taken.first ?? ""), "\(restored.errorText)")
            let server = try EtcdServer.start(.v3_5, flags: ["--data-dir=\(data)"])
            defer { server.kill() }
            #expect(try server.allKeys().count == 40)
        }
    }
}
