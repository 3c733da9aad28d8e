import Foundation
import HostIO
import SealedArchive
import Testing

@testable import Operations

/// How long a rebuild is said to take.
@Suite struct RebuildForecastTests {
    /// A drill of a database of 1 GB that took 8 s to restore, 4 s to start and 1 s for files.
    private func drill(
        _ started: TimeInterval = 0, without stage: String? = nil, seconds: Double = 8, size: Int = 1_000_000_000
    ) -> DrillRecord {
        let archive = ArchiveHeader(
            id: BackupID(time: Date(timeIntervalSince1970: started)), cluster: "prod", node: "cp-1",
            createdAt: Date(timeIntervalSince1970: started))
        var record = DrillRecord(
            of: archive, manifestSHA256: "00", startedAt: Date(timeIntervalSince1970: started),
            host: .init(coreCount: 2, availableMemory: nil, isScratchInMemory: true))
        record.databases = [.init(name: "etcd", size: size, revision: 1, serverVersion: nil)]
        let took = ["files": 1, "raised restore": seconds, "raised boot": 4]
        let whole = DrillRecord.requiredStages.map { ($0, nil as String?) }
        let ofDatabase = DrillRecord.requiredStagesOfDatabases.map { ($0, "etcd" as String?) }
        record.stages = (whole + ofDatabase).filter { $0.0 != stage }.map { name, etcd in
            .init(name: name, etcd: etcd, outcome: .passed, detail: "", durationSeconds: took[name] ?? 100)
        }
        record.recoverySeconds = 13
        return record
    }

    @Test func withoutADrillUsualRatesCount() {
        let forecast = RebuildForecast(databaseByteCount: 3_000_000_000, fileByteCount: 0, drills: [])
        #expect(forecast.restoreSeconds == 32 && forecast.startSeconds == 70 && forecast.minutes == 4)
        #expect(forecast.basis.contains("no drill"))
    }

    @Test func aDrillCountsInProportion() {
        let forecast = RebuildForecast(databaseByteCount: 3_000_000_000, fileByteCount: 0, drills: [drill()])
        #expect(forecast.restoreSeconds == 27 && forecast.startSeconds == 72)
        #expect(forecast.basis.contains("prod/cp-1/") && forecast.basis.contains("in 13 s"))
    }

    /// Starting programs takes most of a small drill's time, whatever the size.
    @Test func aSmallDrillIsNotMultiplied() {
        let small = drill(seconds: 0.2, size: 372_736)
        let forecast = RebuildForecast(databaseByteCount: 1_000_372_736, fileByteCount: 0, drills: [small])
        #expect(forecast.restoreSeconds == 13 && forecast.startSeconds == 67)
        #expect(RebuildForecast(databaseByteCount: 200_000, fileByteCount: 0, drills: [small]).minutes == 4)
    }

    @Test func theNewestDrillThatPassedCounts() {
        let drills = [drill(1, seconds: 20), drill(3, without: "boot", seconds: 50), drill(2)]
        let forecast = RebuildForecast(databaseByteCount: 1_000_000_000, fileByteCount: 0, drills: drills)
        #expect(forecast.restoreSeconds == 11)
        let none = RebuildForecast(databaseByteCount: 1, fileByteCount: 0, drills: [drill(without: "compaction")])
        #expect(none.basis.contains("no drill"))
    }
}
