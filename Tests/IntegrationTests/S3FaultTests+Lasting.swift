import Foundation
import TestSupport
import Testing

extension Integration {
    /// What does not pass within the time that is set: the run fails, says why, and leaves nothing.
    @Suite(.serialized) struct S3LastingFaultTests {
        typealias Fault = FaultProxy.Fault
        typealias Match = FaultProxy.Match

        struct Case: Sendable, CustomTestStringConvertible {
            var name: String
            var fault: Fault
            var match: Match
            var status: Int32
            var words: [String]
            var testDescription: String { name }

            init(_ name: String, _ fault: Fault, _ match: Match, _ status: Int32, _ words: String...) {
                (self.name, self.fault, self.match, self.status, self.words) = (name, fault, match, status, words)
            }
        }

        static let cases = [
            Case("500 in a part", .refuse(500, "InternalError"), .part(2, count: nil), 1, "TESTREQUEST", "part 2"),
            Case("500 at the beginning", .refuse(500, "InternalError"), .create(count: nil), 1, "TESTREQUEST"),
            Case("slow down at the end", .refuse(503, "SlowDown"), .complete(count: nil), 1, "TESTREQUEST", "SlowDown"),
            Case(
                "a long wait", .refuse(503, "SlowDown", fields: ["Retry-After": "900"]), .part(count: nil), 1,
                "SlowDown"),
            Case("a late error", .refuse(200, "InternalError"), .complete(count: nil), 1, "TESTREQUEST"),
            Case("denied", .refuse(403, "AccessDenied"), .part(2, count: nil), 1, "TESTREQUEST", "AccessDenied"),
            Case("a wrong secret", .refuse(403, "SignatureDoesNotMatch"), .create(count: nil), 8, "TESTREQUEST"),
            Case("expired", .refuse(403, "ExpiredToken"), .part(3, count: nil), 8, "TESTREQUEST", "ExpiredToken"),
            Case("skewed without a date", .refuse(403, "RequestTimeTooSkewed"), .part(count: nil), 8, "TESTREQUEST"),
            Case("no space", .answer(507, body: ""), .part(2, count: nil), 6, "507"),
            Case("the quota", .refuse(403, "QuotaExceeded"), .part(2, count: nil), 6, "TESTREQUEST", "quota"),
            Case("damage", .damageRequest(at: 99), .part(2, count: nil), 7, "BadDigest", "request"),
            Case("no bucket", .refuse(404, "NoSuchBucket"), .create(count: nil), 4, "NoSuchBucket"),
            Case("resets", .resetInRequest(after: 5_000_000), .part(2, count: nil), 1, "was lost"),
            Case("stalls", .stall(after: 5_000_000), .part(2, count: nil), 1, "2 seconds"),
            Case("the upload is gone", .refuse(404, "NoSuchUpload"), .part(3, count: nil), 4, "NoSuchUpload"),
            Case("no sidecar", .refuse(403, "AccessDenied"), .sidecar(count: nil), 1, "TESTREQUEST"),
            Case("a sidecar for later", .refuse(500, "InternalError"), .sidecar(count: nil), 1, "TESTREQUEST"),
            Case("a sidecar that is there", .replaceAnswer(500, body: ""), .sidecar(count: nil), 1, "500"),
            Case("a completion that is done", .replaceAnswer(500, body: ""), .complete(count: 1), 1, "500"),
        ]

        @Test(arguments: cases)
        func theRunFailsAndLeavesNothing(_ fault: Case) throws {
            let isDone = fault.name == "a completion that is done"
            let store = try S3TestStore(Laboratory.shared().bulkServer(.v3_5), retrySeconds: isDone ? 0 : 1)
            store.proxy.inject(fault.fault, into: fault.match)
            let result = try store.attempt(store.backup())
            #expect(result.status == fault.status, "\(result.errorText)")
            for word in fault.words { #expect(result.errorText.contains(word), "\(result.errorText)") }
            #expect(result.errorText.contains("error: ") && result.text == "")
            #expect(try store.listed() == [])
            try store.expectOnly([])
        }

        /// Nothing can be removed either: the run after has noted what.
        @Test func whatCanNotBeRemovedIsNoted() throws {
            let store = try S3TestStore(Laboratory.shared().bulkServer(.v3_5), retrySeconds: 1)
            let first = try store.makeBackupID()
            store.proxy.inject(.refuse(500, "InternalError"), into: .part(3, count: nil))
            store.proxy.inject(.refuse(500, "InternalError"), into: .abort(count: nil))
            #expect(try store.attempt(store.backup()).status == 1)
            #expect(try store.client.uploads(store.scope).count == 1)
            #expect(try store.listed() == [first] && store.notes().count == 1)
            // That it still can't be is said, and stops no backup.
            store.proxy.reset()
            store.proxy.inject(.refuse(500, "InternalError"), into: .abort(count: nil))
            let second = try store.attempt(store.backup())
            #expect(
                second.status == 0 && second.errorText.contains("could not remove the upload of"), "\(second.errorText)"
            )
            #expect(try store.client.uploads(store.scope).count == 1 && store.notes().count == 1)
            let result = try store.expectNextRunSucceeds(after: store.listed())
            #expect(result.errorText.contains("removed the upload of"), "\(result.errorText)")
        }

        /// A server that has no room left says that it failed.
        @Test func theServerIsFull() throws {
            let server = try S3Client.startServer(volumes: (8, 10))
            defer { server.stop() }
            let store = try S3TestStore(Laboratory.shared().bulkServer(.v3_5), server: server, retrySeconds: 2)
            let first = try store.makeBackupID()
            let result = try store.attempt(store.backup())
            #expect(result.status == 1 && result.errorText.contains("request "), "\(result.errorText)")
            #expect(try store.listed() == [first])
            try store.expectOnly([first])
            #expect(try store.attempt(["verify", "-i", store.key.path] + store.flags()).status == 0)
        }

        /// Patience is for the outage, not for each request of it.
        @Test func aDeadServerIsWaitedForOnce() throws {
            let store = try S3TestStore(Laboratory.shared().server(.v3_5), retrySeconds: 3)
            for _ in 0..<3 { try store.makeBackupID() }
            try run("rm", ["-r", store.directory.file("cache")])
            for fault in [Fault.refuse(500, "InternalError"), .stall(after: 0), .resetInRequest(after: 0)] {
                store.proxy.reset()
                store.proxy.inject(fault, into: .init("GET", key: ".json", count: nil))
                let start = ContinuousClock.now
                let result = try store.attempt(["list"] + store.flags())
                #expect(result.status == 1 && result.errorText.contains("error: "), "\(result.errorText)")
                #expect(ContinuousClock.now - start < .seconds(12))
            }
            store.proxy.close()
            let start = ContinuousClock.now
            let result = try store.attempt(["list"] + store.flags())
            expectFailure(result, 1, naming: "no connection to")
            #expect(ContinuousClock.now - start < .seconds(8))
        }

        @Test(arguments: [SIGTERM, SIGINT])
        func aSignalEndsAnUpload(_ signal: Int32) throws {
            let waits: [(Fault, Match)] = [
                (.stall(after: 3_000_000), .part(2, count: nil)), (.refuse(500, "InternalError"), .part(2, count: nil)),
                (.stall(after: 0), .create(count: nil)), (.stall(after: 0), .complete(count: nil)),
            ]
            for (fault, match) in waits {
                let store = try S3TestStore(
                    Laboratory.shared().bulkServer(.v3_5), retrySeconds: 300, settings: ["stallSeconds: 300"])
                store.proxy.inject(fault, into: match)
                let backup = try store.start(store.backup())
                while backup.isRunning, store.proxy.faultyRequests.isEmpty { usleep(5000) }
                usleep(300_000)
                let start = ContinuousClock.now
                backup.signal(signal)
                let result = try backup.wait(seconds: 30)
                #expect(ContinuousClock.now - start < .seconds(6))
                expectFailure(result, 128 + signal, naming: "signal \(signal)")
                #expect(try store.listed() == [])
                try store.expectOnly([])
            }
        }
    }
}
