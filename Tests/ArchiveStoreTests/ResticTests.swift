import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import ArchiveStore

/// That our rules keep what `restic forget` keeps by the rules of the same names.
@Suite(.timeLimit(.minutes(45))) struct ResticTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    private func restic(_ arguments: [String]) throws -> Data {
        let password = scratch.file("password")
        if !FileManager.default.fileExists(atPath: password) { try scratch.write("x", to: "password") }
        let environment = [
            "TZ=UTC", "RESTIC_REPOSITORY=\(scratch.file("repository"))", "RESTIC_PASSWORD_FILE=\(password)",
            "RESTIC_CACHE_DIR=\(scratch.file("cache"))",
        ]
        return try run("env", environment + ["restic", "--quiet", "--json"] + arguments).output
    }

    private struct Snapshot: Decodable {
        var time: String
    }
    private struct Group: Decodable {
        var keep: [Snapshot]?
    }

    @Test func theSameStay() throws {
        let calendar = RetentionCalendar.utc
        let newest = try #require(
            calendar.date(from: DateComponents(year: 2026, month: 11, day: 26, hour: 12, minute: 7)))
        // Close to each other, on both sides of midnights and months, and with holes of years.
        let hours = [
            0, 1, 2, 3, 11, 12, 13, 24, 30, 61, 84, 85, 170, 400, 619, 620, 1_400, 1_401, 7_900, 9_000, 26_000,
        ]
        let times = hours.reversed().map { newest - Double($0) * 3600 }
        _ = try restic(["init"])
        let file = try scratch.write("x", to: "file")
        for time in times {
            let text = time.formatted(.iso8601).replacing("T", with: " ").replacing("Z", with: "")
            _ = try restic(["backup", "--time", text, "--host", "node", file])
        }
        for flags in [
            "--keep-last 3", "--keep-hourly 4", "--keep-daily 3", "--keep-daily 30", "--keep-weekly 3",
            "--keep-monthly 2", "--keep-monthly 99", "--keep-yearly 2", "--keep-within 3d12h", "--keep-within 1m",
            "--keep-within 1y2m", "--keep-last 2 --keep-daily 2 --keep-monthly 3 --keep-yearly 9",
        ] {
            let output = try restic(["forget", "--dry-run"] + flags.split(separator: " ").map(String.init))
            let groups = try JSONDecoder().decode([Group].self, from: output)
            let expected = (groups.first?.keep ?? []).map { String($0.time.prefix(19)) }.sorted()
            let candidates = times.map { RetentionCandidate(createdAt: $0, hasSnapshot: true, level: .structural) }
            var rules = rules(flags)
            rules.floor.count = 0
            let plan = RetentionPlan(candidates, rules: rules, now: newest)
            let kept = times.indices.filter { !plan.reasons[$0].isEmpty }.map {
                String(times[$0].formatted(.iso8601).prefix(19))
            }
            #expect(kept == expected, "\(flags)")
            #expect(!expected.isEmpty && expected.count < times.count, "\(flags) tells nothing")
        }
    }

    private func rules(_ flags: String) -> RetentionRules {
        var rules = RetentionRules()
        let words = flags.split(separator: " ").map(String.init)
        for index in stride(from: 0, to: words.count, by: 2) {
            let value = words[index + 1]
            switch words[index] {
            case "--keep-last": rules.last = Int(value)
            case "--keep-hourly": rules.hourly = Int(value)
            case "--keep-daily": rules.daily = Int(value)
            case "--keep-weekly": rules.weekly = Int(value)
            case "--keep-monthly": rules.monthly = Int(value)
            case "--keep-yearly": rules.yearly = Int(value)
            default: rules.within = RetentionPeriod(value)
            }
        }
        return rules
    }
}
