import Foundation
import Testing

/// What the units of systemd promise: a run that was missed is made up for, and one that failed is tried again within
/// minutes, unless the next can't be better.
@Suite struct BackupUnitTests {
    private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// The settings of a unit by `Section.Name`, in order where one is given several times.
    private func settings(_ unit: String) throws -> [String: [String]] {
        let file = Self.repository.appendingPathComponent("systemd/\(unit)")
        var section = ""
        var settings: [String: [String]] = [:]
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") where !line.hasPrefix("#") {
            if line.hasPrefix("[") {
                section = String(line.dropFirst().dropLast())
            } else {
                let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                settings["\(section).\(parts[0])", default: []].append(try #require(parts.last))
            }
        }
        return settings
    }

    private func seconds(_ span: String) throws -> Int {
        let match = try #require(span.wholeMatch(of: #/(\d+)(s|min|h)/#), "\(span)")
        return try #require(Int(match.1)) * (match.2 == "s" ? 1 : match.2 == "min" ? 60 : 3600)
    }

    /// The statuses of `docs/exit-codes.md` by name.
    private func exitCodes() throws -> [String: String] {
        let file = Self.repository.appendingPathComponent("docs/exit-codes.md")
        let rows = try String(contentsOf: file, encoding: .utf8).matches(of: #/\| (\d) \| ([a-z ]+) \|/#)
        return Dictionary(uniqueKeysWithValues: rows.map { (String($0.2), String($0.1)) })
    }

    @Test func aRunThatFailsIsTriedAgainWithinMinutes() throws {
        let service = try settings("etcd-snap-backup.service")
        // systemd before 244 refuses to start a oneshot service that is restarted.
        #expect(service["Service.Type"] == ["simple"])
        #expect(service["Service.Restart"] == ["on-failure"])
        let pause = try seconds(#require(service["Service.RestartSec"]?.last))
        #expect((30...300).contains(pause))
        // Without an end to it a node that stays broken would be backed up all day; etcd may take 15 minutes.
        let interval = try seconds(#require(service["Unit.StartLimitIntervalSec"]?.last))
        let burst = try #require(Int(service["Unit.StartLimitBurst"]?.last ?? ""))
        #expect(burst * pause < interval && burst * pause >= 15 * 60)
    }

    @Test func statusesMeanWhatTheirDocumentSays() throws {
        let codes = try exitCodes()
        let service = try settings("etcd-snap-backup.service")
        let list = try #require(service["Service.RestartPreventExitStatus"]?.last)
        let hopeless = Set(list.split(separator: " ").map(String.init))
        #expect(hopeless == Set(["usage", "no space", "untrusted", "too few stores"].compactMap { codes[$0] }))
        #expect(hopeless == ["2", "6", "8", "9"])
        #expect(service["Service.SuccessExitStatus"] == [try #require(codes["findings"])])
    }

    @Test func aMissedRunIsMadeUpFor() throws {
        let timer = try settings("etcd-snap-backup.timer")
        #expect(timer["Timer.Persistent"] == ["true"])
        #expect(timer["Timer.OnCalendar"]?.count == 1)
        #expect(timer["Install.WantedBy"] == ["timers.target"])
        // A calendar starts the service of the timer's own name.
        #expect(timer["Timer.Unit"] == nil)
    }

    /// What prunes and synchronises is tried again while a backup runs, and has no more powers than it needs.
    @Test(arguments: ["prune", "sync", "drill latest"]) func housekeeping(command: String) throws {
        let name = command.prefix { $0 != " " }
        let service = try settings("etcd-snap-\(name).service")
        #expect(service["Service.ExecStart"]?.last?.contains("etcd-snap \(command) --config") == true)
        #expect(service["Service.Type"] == ["simple"] && service["Service.Restart"] == ["on-failure"])
        #expect(service["Service.SuccessExitStatus"] == ["3"])
        let hopeless = try #require(service["Service.RestartPreventExitStatus"]?.last).split(separator: " ")
        #expect(!hopeless.contains("5") && hopeless.contains("2"))
        #expect(service["Service.CapabilityBoundingSet"] == [""])
        let timer = try settings("etcd-snap-\(name).timer")
        #expect(timer["Timer.Persistent"] == ["true"] && timer["Timer.OnCalendar"]?.count == 1)
        #expect(timer["Timer.Unit"] == nil && timer["Install.WantedBy"] == ["timers.target"])
    }

    /// A drill needs a key, which no node of a control plane has: without it the unit does nothing.
    @Test func drillsAreForHostsWithAKey() throws {
        let service = try settings("etcd-snap-drill.service")
        let conditions = try #require(service["Unit.ConditionPathExists"])
        let key = try #require(conditions.last)
        #expect(conditions.count == 2 && service["Service.ExecStart"]?.last?.hasSuffix(" -i \(key)") == true)
        let codes = try exitCodes()
        let list = try #require(service["Service.RestartPreventExitStatus"]?.last).split(separator: " ").map(
            String.init)
        let hopeless = ["usage", "not found", "no space", "integrity", "untrusted"]
        #expect(list == hopeless.compactMap { codes[$0] } && service["Service.MemoryMax"] == nil)
    }

    @Test(arguments: ["backup", "prune", "sync", "drill"]) func nothingOfTheMemoryIsLeftBehind(command: String) throws {
        let service = try settings("etcd-snap-\(command).service")
        #expect(service["Service.LimitCORE"] == ["0"] && service["Service.MemorySwapMax"] == ["0"])
        #expect(service["Service.UMask"] == ["0077"] && service["Service.StateDirectoryMode"] == ["0700"])
    }
}
