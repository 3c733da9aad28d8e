import Foundation
import TestSupport
import Testing

@testable import S3

@Suite struct TimeTests {
    @Test(arguments: [
        (0, "19700101T000000Z", "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_399, "20000228T235959Z", "2000-02-28T23:59:59Z", "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "20000229T000000Z", "2000-02-29T00:00:00Z", "Tue, 29 Feb 2000 00:00:00 GMT"),
        (1_795_749_176, "20261127T031256Z", "2026-11-27T03:12:56Z", "Fri, 27 Nov 2026 03:12:56 GMT"),
        (4_107_542_399, "21000228T235959Z", "2100-02-28T23:59:59Z", "Sun, 28 Feb 2100 23:59:59 GMT"),
        (4_107_542_400, "21000301T000000Z", "2100-03-01T00:00:00Z", "Mon, 01 Mar 2100 00:00:00 GMT"),
    ])
    func timesAreWrittenAndRead(seconds: Int, basic: String, extended: String, http: String) {
        let date = Date(timeIntervalSince1970: Double(seconds))
        #expect(S3Time.basic(date) == basic && S3Time.extended(date) == extended)
        #expect(S3Time.parseExtended(extended) == date && S3Time.parseHTTP(http) == date)
        #expect(S3Time.parseExtended(extended.dropLast() + ".987654Z") == date)
    }

    /// Against Foundation's calendar.
    @Test func everyKindOfDayIsRight() {
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<20_000 {
            let date = Date(timeIntervalSince1970: Double(Int.random(in: 0..<16_725_225_600, using: &generator)))
            #expect(S3Time.extended(date) == date.formatted(.iso8601))
            #expect(S3Time.parseExtended(S3Time.extended(date)) == date)
        }
    }

    @Test(arguments: [
        "", "2026-11-27", "2026-11-27T03:12:56", "2026-11-27 03:12:56Z", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z", "2026-11-27T24:00:00Z", "2026-11-27T03:60:00Z", "2026-11-27T03:12:56+01:00",
        "+026-11-27T03:12:56Z", "2026-11-27T03:12:56.x1Z", "99999-11-27T03:12:56Z", "2026-00-27T03:12:56Z",
    ])
    func othersAreNone(text: String) {
        #expect(S3Time.parseExtended(text) == nil)
        #expect(S3Time.parseHTTP(text) == nil)
    }

    @Test(arguments: [
        "Fri 27 Nov 2026 03:12:56 GMT", "Fri, 27 Nov 2026 03:12:56 CET", "Fri, 31 Nov 2026 03:12:56 GMT",
        "Fri, 27 nov 2026 03:12:56 GMT", "Fri, 27 Nov 2026 3:12:56 GMT", "Friday, 27-Nov-26 03:12:56 GMT",
    ])
    func otherFieldsAreNone(text: String) { #expect(S3Time.parseHTTP(text) == nil) }
}
