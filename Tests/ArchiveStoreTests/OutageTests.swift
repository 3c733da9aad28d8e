import Foundation
import HostIO
import S3
import Synchronization
import Testing

@testable import ArchiveStore

@Suite struct OutageTests {
    private struct Fault: Error { var retry: ObjectError.Retry = .later }

    private func policy(_ patience: Duration) -> RetryPolicy {
        RetryPolicy(patience: patience, firstWait: .milliseconds(10), longestWait: .milliseconds(40))
    }

    private func retry(_ error: any Error) -> ObjectError.Retry { (error as? Fault)?.retry ?? .never }

    /// Many that fail one after another use up one patience, until something is done again.
    @Test func patienceIsForTheOutage() throws {
        let outage = Outage()
        var attempts: [Int] = []
        let start = ContinuousClock.now
        for _ in 0..<50 {
            var count = 0
            #expect(throws: Fault.self) {
                try policy(.milliseconds(300)).run(during: outage, retry: retry) { _ in
                    count += 1
                    throw Fault()
                }
            }
            attempts.append(count)
        }
        #expect(attempts[0] > 2 && attempts.dropFirst(3).allSatisfy { $0 == 1 }, "\(attempts)")
        #expect(ContinuousClock.now - start < .seconds(3))
        try policy(.milliseconds(300)).run(during: outage, retry: retry) { _ in }
        var count = 0
        #expect(throws: Fault.self) {
            try policy(.milliseconds(300)).run(during: outage, retry: retry) { _ in
                count += 1
                throw Fault()
            }
        }
        #expect(count > 2)
    }

    /// What others do meanwhile gives one that never succeeds no more time.
    @Test func successOfOthersDoesNotProlongAFailure() {
        let outage = Outage()
        let start = ContinuousClock.now
        #expect(throws: Fault.self) {
            try policy(.milliseconds(300)).run(during: outage, retry: retry) { _ in
                outage.noteSuccess()
                throw Fault()
            }
        }
        #expect(ContinuousClock.now - start < .seconds(2))
    }
}

@Suite struct CredentialRenewalTests {
    private struct Away: Error {}

    private func keys(_ id: String, endsIn seconds: Double?) throws -> S3Credentials {
        let secret = SecretBytes(count: 6) { $0.copyBytes(from: "secret".utf8) }
        return try S3Credentials(
            accessKeyID: id, secretAccessKey: secret, expiration: seconds.map { Date().addingTimeInterval($0) },
            origin: "a test")
    }

    /// A provider that gives each of these in turn; nil is a failure.
    private func provider(_ given: [S3Credentials?]) -> S3CredentialProvider {
        let index = Mutex(0)
        return S3CredentialProvider {
            let next = index.withLock { index in
                defer { index += 1 }
                return given[min(index, given.count - 1)]
            }
            guard let next else { throw Away() }
            return next
        }
    }

    @Test func thoseThatStillHoldAreUsedWhileNoOthersAreGiven() throws {
        let provider = provider([try keys("FIRST", endsIn: 200), nil, try keys("SECOND", endsIn: 3600)])
        #expect(try provider.credentials().accessKeyID == "FIRST")
        #expect(try provider.credentials().accessKeyID == "FIRST")
        #expect(try provider.credentials().accessKeyID == "SECOND")
    }

    @Test func thoseThatEndedAreNot() throws {
        let provider = provider([try keys("FIRST", endsIn: -1), nil, try keys("SECOND", endsIn: 3600)])
        #expect(try provider.credentials().accessKeyID == "FIRST")
        let error = #expect(throws: CredentialRenewalError.self) { try provider.credentials() }
        #expect(try RetryingS3Sender.retry(#require(error)) == .later)
        #expect(try provider.credentials().accessKeyID == "SECOND")
    }

    @Test func withoutAnyThereIsNothingToWaitFor() {
        let provider = provider([nil])
        let error = #expect(throws: Away.self) { try provider.credentials() }
        #expect(error.map { RetryingS3Sender.retry($0) } == .never)
    }

    @Test func refusedOnesAreReadAgain() throws {
        let first = try keys("FIRST", endsIn: nil)
        let provider = provider([first, nil, try keys("SECOND", endsIn: nil)])
        #expect(try provider.credentials().accessKeyID == "FIRST")
        #expect(throws: CredentialRenewalError.self) { try provider.credentials(insteadOf: first) }
        #expect(try provider.credentials(insteadOf: first).accessKeyID == "SECOND")
        // Another thread had the same refusal.
        #expect(try provider.credentials(insteadOf: first).accessKeyID == "SECOND")
    }
}
