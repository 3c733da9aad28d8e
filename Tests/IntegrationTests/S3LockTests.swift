import Foundation
import TestSupport
import Testing

extension Integration {
    /// Backups that nobody may remove for a while.
    @Suite(.serialized) struct S3LockTests {
        private static let identity = SeaweedServer.Identity(
            key: "LOCKER", secret: "lockslockslocks", actions: ["Admin"])
        private let directory: TemporaryDirectory

        init() throws {
            directory = try TemporaryDirectory()
            let keys = try directory.write(
                "aws_access_key_id = \(Self.identity.key)\naws_secret_access_key = \(Self.identity.secret)\n",
                to: "keys")
            try run("chmod", ["0600", keys])
            for name in ["state", "cache"] { try run("mkdir", ["-m", "0700", directory.file(name)]) }
        }

        private func makeBucket(_ name: String, on url: String, isLockable: Bool = true) throws {
            for _ in 0..<50 {
                let made = try run(
                    "curl",
                    [
                        "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--aws-sigv4", "aws:amz:us-east-1:s3", "-u",
                        "\(Self.identity.key):\(Self.identity.secret)", "-X", "PUT", "-H",
                        "x-amz-bucket-object-lock-enabled: \(isLockable)", "\(url)/\(name)",
                    ], allowsFailure: true)
                if made.text == "200" { return }
                usleep(200_000)
            }
            throw TestSupportError("there is no bucket")
        }

        /// A configuration of a store in a bucket, with a lock or without.
        private func write(_ name: String, _ url: String, lock: String?) throws -> String {
            try directory.write(
                """
                discover: false
                hostFacts: false
                cluster: test
                store: s3://\(name)/etcd
                s3: {endpoint: "\(url)", region: us-east-1, credentials: \(directory.file("keys")), proxy: ""}

                """ + (lock.map { "lock: \($0)\n" } ?? ""), to: "\(name)-\(lock == nil ? "free" : "locked").yaml")
        }

        private func attempt(
            _ arguments: [String], _ configuration: String, node: String = "node"
        ) throws -> CommandResult {
            try SnapTool.attempt(
                arguments + ["--config", configuration]
                    + (["prune", "delete", "describe"].contains(arguments[0]) ? [] : ["--node", node]),
                environment: ["STATE_DIRECTORY": directory.file("state"), "CACHE_DIRECTORY": directory.file("cache")])
        }

        private func backUp(_ configuration: String, node: String = "node", _ more: [String] = []) throws -> JSON {
            let laboratory = try Laboratory.shared()
            let result = try attempt(
                ["backup", "-r", laboratory.key().recipient, "-o", "json", "--every-node"]
                    + laboratory.server(.v3_5).flags() + more, configuration, node: node)
            #expect(result.status == 0 || result.status == 3, "\(result.errorText)")
            return try JSON(result.output)
        }

        @Test func whatIsLockedStaysAndTheRestGoes() throws {
            let server = try SeaweedServer([Self.identity])
            defer { server.stop() }
            try makeBucket("plain", on: server.url, isLockable: false)
            let plain = try write("plain", server.url, lock: "{mode: governance, days: 1}")
            let laboratory = try Laboratory.shared()
            let backup = try ["backup", "-r", laboratory.key().recipient] + laboratory.server(.v3_5).flags()
            expectFailure(try attempt(backup, plain), 1, naming: "objects of this bucket can't be locked")
            try makeBucket("held", on: server.url)
            let locked = try write("held", server.url, lock: "{mode: compliance, days: 2}")
            let free = try write("held", server.url, lock: nil)
            let first = try backUp(free).reference.string
            let held = try backUp(locked)
            #expect(held.findings.array.isEmpty, "\(held)")
            let other = try backUp(free).reference.string
            let elsewhere = try backUp(free, node: "cp-2").reference.string
            for _ in 0..<2 { _ = try backUp(free) }
            _ = try backUp(free, node: "cp-2")
            let described = try attempt(["describe", held.reference.string], free)
            #expect(described.text.contains("compliance"), "\(described.text)")
            let lock = try JSON(attempt(["describe", held.reference.string, "-o", "json"], free).output).lock
            #expect(lock.mode.string == "compliance" && lock.until.string > held.sidecar.completedAt.string)
            #expect(try JSON(attempt(["describe", first, "-o", "json"], free).output).lock.value == nil)
            for flag in ["--dry-run", "--yes"] {
                expectFailure(
                    try attempt(["delete", held.reference.string, flag], free), 1, naming: held.reference.string,
                    "compliance", "until 20")
            }
            #expect(try attempt(["delete", first, "--dry-run"], free).status == 0)
            // One that is locked keeps none of the others, and no other node's.
            let prune = ["prune", "--keep-last", "1", "--floor", "1", "--yes"]
            let pruned = try attempt(prune, locked)
            expectFailure(pruned, 1, naming: held.reference.string, "until 20", first, other, elsewhere)
            let left = try JSON(attempt(["list", "-o", "json"], free).output).array.map(\.archive.id.string)
            #expect(left.count == 2 && left.contains { held.reference.string.hasSuffix($0) }, "\(left)")
            // What says that they are removed is not locked: the next such record takes its place.
            _ = try backUp(free)
            #expect(try attempt(prune, locked).status == 1)
            #expect(try records(of: "held", on: server) == 1)
        }

        /// How many records of removals there are of the node.
        private func records(of bucket: String, on server: SeaweedServer) throws -> Int {
            let listed = try run(
                "curl",
                [
                    "-sS", "--aws-sigv4", "aws:amz:us-east-1:s3", "-u", "\(Self.identity.key):\(Self.identity.secret)",
                    "\(server.url)/\(bucket)?list-type=2&prefix=etcd%2Ftest%2Fnode%2Fremoved",
                ])
            return listed.text.components(separatedBy: "<Key>").count - 1
        }

        /// moto forgets the lock of an upload in parts.
        @Test func aServerThatForgetsLocksIsFound() throws {
            let server = try MotoServer()
            try makeBucket("forgetful", on: server.url)
            let locked = try write("forgetful", server.url, lock: "{mode: governance, days: 30}")
            #expect(try backUp(locked).findings.array.isEmpty)
            let large = directory.file("large")
            try run("dd", ["if=/dev/urandom", "of=\(large)", "bs=1M", "count=40", "status=none"])
            let report = try backUp(locked, ["--include", large])
            let finding = try #require(report.findings.array.first)
            #expect(finding.code.string == "not-locked" && finding.message.string.contains("30 days"), "\(report)")
            #expect(finding.subject.string == report.reference.string)
        }
    }
}
