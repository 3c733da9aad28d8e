import Foundation
import Synchronization
import TestSupport
import Testing

extension Integration {
    /// What goes wrong between a backup and its server for a while: the run goes on, and there is one archive.
    @Suite(.serialized) struct S3FaultTests {
        typealias Fault = FaultProxy.Fault

        private func store(_ retrySeconds: Int = 60, _ settings: [String] = []) throws -> S3TestStore {
            try S3TestStore(Laboratory.shared().bulkServer(.v3_5), retrySeconds: retrySeconds, settings: settings)
        }

        /// How often something is written to standard error.
        private func count(_ text: String, in result: CommandResult) -> Int {
            result.errorText.components(separatedBy: text).count - 1
        }

        @Test func aBackupOfSeveralPartsPassesTheProxy() throws {
            let store = try store()
            try store.expectOneGoodBackup()
            let requests = store.proxy.requests
            #expect(requests.filter { $0.query.contains("partNumber=") }.count >= 4)
            #expect(requests.allSatisfy { $0.status.map { $0 < 500 } == true })
        }

        @Test func serverErrorsAreTriedAgain() throws {
            let store = try store()
            store.proxy.inject(.refuse(500, "InternalError"), into: .create())
            store.proxy.inject(.refuse(500, "InternalError"), into: .part(2, count: 2))
            store.proxy.inject(.answer(502, body: "<html>bad gateway</html>"), into: .part(3))
            store.proxy.inject(.refuse(429, "TooManyRequests"), into: .part(4))
            store.proxy.inject(.refuse(500, "InternalError"), into: .complete())
            store.proxy.inject(.refuse(503, "ServiceUnavailable"), into: .sidecar())
            try store.expectOneGoodBackup()
            #expect(store.proxy.faultyRequests.count == 7)
        }

        @Test func whoAsksToSlowDownIsWaitedFor() throws {
            let store = try store()
            store.proxy.inject(.refuse(503, "SlowDown", fields: ["Retry-After": "3"]), into: .part(2))
            store.proxy.inject(.refuse(503, "SlowDown", fields: ["Retry-After": "2"]), into: .sidecar())
            try store.expectOneGoodBackup()
            let requests = store.proxy.requests
            for (text, least) in [("partNumber=2&", 3.0), (".json", 2.0)] {
                let times = requests.filter { $0.method == "PUT" && ($0.path + "?" + $0.query).contains(text) }.map(
                    \.time)
                #expect(
                    times.count == 2 && times[1] - times[0] >= .seconds(least)
                        && times[1] - times[0] < .seconds(least + 3))
            }
        }

        @Test func connectionsAreResetInTheMiddle() throws {
            let store = try store()
            store.proxy.inject(.resetInRequest(after: 0), into: .create())
            store.proxy.inject(.resetInRequest(after: 5_000_000), into: .part(2))
            store.proxy.inject(.resetInRequest(after: 100), into: .part(3))
            store.proxy.inject(.resetInResponse(after: 0), into: .part(4))
            store.proxy.inject(.resetInResponse(after: 40), into: .complete())
            store.proxy.inject(.resetInRequest(after: 200), into: .sidecar())
            try store.expectOneGoodBackup()
            #expect(store.proxy.faultyRequests.count == 6)
        }

        @Test func aSocketStandsStill() throws {
            let store = try store()
            store.proxy.inject(.stall(after: 0), into: .create())
            store.proxy.inject(.stall(after: 3_000_000), into: .part(2))
            store.proxy.inject(.stall(after: 100), into: .sidecar())
            let start = ContinuousClock.now
            try store.expectOneGoodBackup()
            #expect(store.proxy.faultyRequests.count == 3 && ContinuousClock.now - start >= .seconds(6))
        }

        /// The server finds bytes that are not those of the checksum.
        @Test func bytesAreChangedOnTheWay() throws {
            let store = try store()
            store.proxy.inject(.damageRequest(at: 1_000_000), into: .part(2))
            store.proxy.inject(.damageRequest(at: 5), into: .part(3, count: 2))
            store.proxy.inject(.damageRequest(at: 50), into: .sidecar())
            try store.expectOneGoodBackup()
            #expect(store.proxy.faultyRequests.map(\.status) == [400, 400, 400, 400])
        }

        /// The keys expire after the first part; others are in their file by then, or a little later.
        @Test(arguments: [0, 2])
        func keysExpireInTheMiddle(lateness: UInt32) throws {
            let store = try store()
            let isRotated = Mutex(false)
            store.proxy.inject(
                .rewrite { [store] head in
                    guard head["Authorization"]?.contains("Credential=\(S3Client.administrator.key)/") == true else {
                        return nil
                    }
                    let isFirst = isRotated.withLock { rotated in
                        defer { rotated = true }
                        return !rotated
                    }
                    if isFirst, lateness == 0 { try? store.writeCredentials(S3Client.deputy) }
                    if isFirst, lateness > 0 {
                        Thread.detachNewThread {
                            sleep(lateness)
                            try? store.writeCredentials(S3Client.deputy)
                        }
                    }
                    return .refuse(403, "ExpiredToken")
                }, into: .init("PUT", query: "partNumber=", skip: 1, count: nil))
            try store.expectOneGoodBackup()
            #expect(store.proxy.requests.contains { $0.status == 403 })
        }

        /// The server's clock is 20 minutes off, and it refuses signatures of more than 15.
        @Test(arguments: [1200, -1200])
        func theClockIsOff(_ offset: Int) throws {
            let store = try store()
            store.proxy.inject(
                .rewrite { head in
                    let formatter = DateFormatter()
                    formatter.locale = Locale(identifier: "en_US_POSIX")
                    formatter.timeZone = TimeZone(identifier: "GMT")
                    formatter.dateFormat = "yyyyMMdd'T'HHmmss'Z'"
                    let now = Date().addingTimeInterval(Double(offset))
                    guard let signed = head["x-amz-date"].flatMap({ formatter.date(from: $0) }),
                        abs(signed.timeIntervalSince(now)) < 900
                    else { return .refuse(403, "RequestTimeTooSkewed", fields: ["Date": FaultProxy.date(now)]) }
                    // The real server's clock is right.
                    S3Client.signAgain(&head)
                    return nil
                }, into: .init(count: nil))
            let result = try store.expectOneGoodBackup()
            #expect(count("this host's clock", in: result) == 1, "\(result.errorText)")
            #expect(result.errorText.contains(offset > 0 ? "behind" : "ahead of"))
            #expect(store.proxy.requests.filter { $0.status == 403 }.count == 1)
        }

        /// The status of a completion is sent before it is known whether it succeeds.
        @Test(arguments: ["", "\n", "   \n  \n      "])
        func aCompletionFailsUnderASuccessfulStatus(_ blanks: String) throws {
            let store = try store()
            store.proxy.inject(.refuse(200, "InternalError", before: blanks), into: .complete())
            try store.expectOneGoodBackup()
            #expect(store.proxy.faultyRequests.count == 1)
        }

        @Test func answersAreLost() throws {
            let store = try store()
            store.proxy.inject(.loseAnswer, into: .create())
            store.proxy.inject(.loseAnswer, into: .part(2))
            store.proxy.inject(.loseAnswer, into: .complete())
            store.proxy.inject(.loseAnswer, into: .sidecar())
            let result = try store.expectOneGoodBackup()
            #expect(store.proxy.faultyRequests.count == 4, "\(result.errorText)")
            // What is told from another writer's is a refusal of the second attempt.
            #expect(store.proxy.requests.contains { $0.method == "PUT" && $0.status == 412 })
        }

        /// Some servers no longer know an upload that was completed.
        @Test func aCompletionIsDoneAndForgotten() throws {
            let store = try store()
            store.proxy.inject(.loseAnswer, into: .complete())
            store.proxy.inject(.refuse(404, "NoSuchUpload"), into: .complete(skip: 1))
            try store.expectOneGoodBackup()
            #expect(store.proxy.faultyRequests.count == 2)
        }

        /// Done, and an error of the server's is all that comes back.
        @Test func answersAreReplaced() throws {
            let store = try store()
            let fault = Fault.replaceAnswer(500, body: "")
            for match in [FaultProxy.Match.create(), .part(2), .complete(count: 2), .sidecar(count: 2)] {
                store.proxy.inject(fault, into: match)
            }
            try store.expectOneGoodBackup()
            #expect(store.proxy.faultyRequests.count == 6)
        }

        /// Nothing listens for half a minute in the middle of an upload.
        @Test func connectionsAreRefusedForHalfAMinute() throws {
            let store = try store(90)
            let proxy = store.proxy
            proxy.inject(
                .first {
                    Thread.detachNewThread {
                        proxy.close()
                        sleep(30)
                        try? proxy.open()
                    }
                    sleep(1)
                }, into: .part(2))
            let result = try store.expectOneGoodBackup()
            #expect(result.errorText.contains("no connection to"))
        }

        @Test func theServerIsNotThereYet() throws {
            let store = try store()
            let proxy = store.proxy
            proxy.close()
            Thread.detachNewThread {
                sleep(3)
                try? proxy.open()
            }
            try store.expectOneGoodBackup()
        }

        /// A line that is slow is no outage.
        @Test func theLineIsSlow() throws {
            let store = try store()
            store.proxy.limit(bytesPerSecond: 12 << 20)
            let result = try store.expectOneGoodBackup()
            #expect(count("trying again", in: result) == 0, "\(result.errorText)")
        }
    }
}
