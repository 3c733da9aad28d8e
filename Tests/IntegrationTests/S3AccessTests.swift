import Foundation
import TestSupport
import Testing

extension Integration {
    /// Whom a run trusts, and what it needs rights to.
    @Suite(.serialized) struct S3AccessTests {
        /// What a node needs at the least.
        private static func policy(denying: [String] = [], in store: S3TestStore) -> String {
            let resource = "\"Resource\":[\"arn:aws:s3:::\(S3Client.bucket)/\(store.prefix)/test/node/*\"]"
            let user = "\"Principal\":{\"AWS\":\"arn:aws:iam::000000000000:user/\(S3Client.guest.key)\"}"
            var statements = ["{\"Effect\":\"Allow\",\(user),\"Action\":[\"s3:PutObject\"],\(resource)}"]
            if !denying.isEmpty {
                let actions = denying.map { "\"\($0)\"" }.joined(separator: ",")
                statements.append("{\"Effect\":\"Deny\",\(user),\"Action\":[\(actions)],\(resource)}")
            }
            return "{\"Version\":\"2012-10-17\",\"Statement\":[\(statements.joined(separator: ","))]}"
        }

        @Test func aServerOfAnAuthorityOfItsOwn() throws {
            let pki = try Laboratory.shared().pki()
            let server = try S3Client.startServer(pki: pki)
            defer { server.stop() }
            let store = try S3TestStore(Laboratory.shared().bulkServer(.v3_5), server: server, retrySeconds: 5)
            let good = store.backup(isDirect: true, ["--s3-ca", pki.caPath])
            let result = try store.attempt(good)
            #expect(result.status == 0, "\(result.errorText)")
            let reading = store.flags(isDirect: true) + ["--s3-ca", pki.caPath]
            #expect(try store.attempt(["verify", "-i", store.key.path] + reading).status == 0)
            let other = try TestPKI(name: "other")
            for flags in [["--s3-ca", other.caPath], []] {
                let start = ContinuousClock.now
                let refused = try store.attempt(store.backup(isDirect: true, flags))
                expectFailure(refused, 8, naming: "127.0.0.1:\(server.port)", "not signed by a trusted authority")
                #expect(refused.errorText.contains("--s3-ca"), "\(refused.errorText)")
                #expect(ContinuousClock.now - start < .seconds(4), "trust does not come with time")
            }
            let plain = try store.attempt(
                store.backup(isDirect: true) + ["--s3-endpoint", "http://127.0.0.1:\(server.port)"])
            #expect(plain.status != 0 && plain.errorText.contains("error: "), "\(plain.errorText)")
        }

        /// Neither reading nor listing: the host remembers what it needs of its last backup.
        @Test func anIdentityThatMayOnlyWrite() throws {
            let store = try S3TestStore(Laboratory.shared().bulkServer(.v3_5), identity: S3Client.writer)
            try expectChain(store)
        }

        /// A policy of the bucket that the server enforces; without the right to abort what failed stays for a rule of the
        /// bucket.
        @Test(arguments: [[], ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject"]])
        func theSmallestPolicy(denied: [String]) throws {
            let server = try S3Client.startServer()
            defer { server.stop() }
            let store = try S3TestStore(
                Laboratory.shared().bulkServer(.v3_5), server: server, retrySeconds: 2, identity: S3Client.guest)
            let policy = try store.client.send(
                "PUT", "/\(S3Client.bucket)", query: "policy=", body: Self.policy(denying: denied, in: store))
            #expect(policy.status == 204 || policy.status == 200, "\(policy)")
            try expectChain(store)
            store.proxy.inject(.refuse(500, "InternalError"), into: .part(2, count: nil))
            #expect(try store.attempt(store.backup()).status == 1)
            store.proxy.reset()
            let left = try store.client.uploads(store.scope).count
            #expect(left == (denied.isEmpty ? 0 : 1))
            let next = try store.attempt(store.backup())
            #expect(next.status == 0, "\(next.errorText)")
            #expect(try store.notes() == [])
            // Another node's place is closed to it.
            let other = try store.attempt(store.backup(["--node", "other"]).filter { $0 != "" })
            #expect(other.status == 1 && other.errorText.contains("AccessDenied"), "\(other.errorText)")
        }

        /// Answers that are lost can't be looked after, and are right all the same.
        @Test func answersAreLostOfAnIdentityThatMayOnlyWrite() throws {
            let store = try S3TestStore(Laboratory.shared().bulkServer(.v3_5), identity: S3Client.writer)
            for match in [FaultProxy.Match.create(), .part(2), .complete(), .sidecar()] {
                store.proxy.inject(.loseAnswer, into: match)
            }
            // Some servers no longer know an upload that was completed.
            store.proxy.inject(.refuse(404, "NoSuchUpload"), into: .complete(skip: 1))
            try expectChain(store)
            #expect(store.proxy.faultyRequests.count == 5)
        }

        /// Makes two backups and reads them as somebody who may.
        private func expectChain(_ store: S3TestStore) throws {
            for _ in 0..<2 {
                let result = try store.attempt(store.backup())
                #expect(result.status == 0, "\(result.errorText)")
            }
            try store.writeCredentials(S3Client.administrator)
            let list = try store.attempt(["list", "-o", "json"] + store.flags(isDirect: true))
            #expect(list.status == 0, "\(list.errorText)")
            let sequences = try JSON(list.output).array.map(\.sequence.int).sorted()
            #expect(sequences.count == 2 && sequences[1] == sequences[0] + 1)
            #expect(try store.attempt(["verify", "-i", store.key.path] + store.flags(isDirect: true)).status == 0)
            #expect(try store.notes() == [])
            try store.writeCredentials(store.identity)
        }
    }
}
