import Foundation
import TestSupport
import Testing

extension Integration {
    /// What is wrong with the backups that are there is a finding of the next one, which is made all the same, and it ends
    /// when that is repaired.
    @Suite struct StoreStateTests {
        private let store: TestStore
        private let arguments: [String]
        /// The archives of three backups, the oldest first.
        private let archives: [String]

        init() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            self.store = store
            let included = try store.directory.write("x", to: "included")
            let arguments =
                [
                    "backup", "-r", store.key.recipient, "--no-etcd", "--include", included, "--config",
                    try Laboratory.shared().plainConfiguration,
                ] + store.flags
            self.arguments = arguments
            archives = try (0..<3).map { _ in
                defer { Thread.sleep(forTimeInterval: 1.1) }
                return try SnapTool.json(arguments).path.string
            }
        }

        private func findings(_ arguments: [String]) throws -> (status: Int32, codes: [String], report: JSON) {
            let result = try SnapTool.attempt(arguments + ["-o", "json"])
            let report = try JSON(result.output)
            return (result.status, report.findings.array.map(\.code.string), report)
        }

        private func doctor() throws -> [String] {
            let doctor = ["doctor", "--no-discover", "-r", store.key.recipient] + store.server.flags() + store.flags
            return try findings(doctor).codes
        }

        private func id(_ index: Int) -> String { TestStore.id(of: archives[index]) }

        /// Each with what breaks it, the findings, and what repairs it.
        struct Damage: CustomTestStringConvertible, Sendable {
            let testDescription: String
            let script: String
            let codes: [String]
            let repair: String
        }

        static let damages = [
            Damage(
                testDescription: "a lost sidecar", script: "rm $2.json", codes: ["backup-sidecar-missing"],
                repair: "adopt 2"),
            Damage(
                testDescription: "the newest sidecar is lost", script: "rm $3.json", codes: ["backup-sidecar-missing"],
                repair: "adopt 3"),
            Damage(
                testDescription: "all sidecars are lost", script: "rm $1.json $2.json $3.json",
                codes: ["backup-sidecar-missing", "backup-sidecar-missing", "backup-sidecar-missing"],
                repair: "adopt 1 2 3"),
            Damage(
                testDescription: "swapped sidecars", script: "mv $1.json x; mv $2.json $1.json; mv x $2.json",
                codes: ["backup-damaged", "backup-damaged"], repair: "mv $1.json x; mv $2.json $1.json; mv x $2.json"),
            Damage(
                testDescription: "swapped sidecars, removed", script: "mv $1.json x; mv $2.json $1.json; mv x $2.json",
                codes: ["backup-damaged", "backup-damaged"], repair: "delete 1 2"),
            Damage(
                testDescription: "garbage for the newest sidecar", script: "head -c 500 /dev/urandom >$3.json",
                codes: ["backup-damaged"], repair: "delete 3"),
            Damage(
                testDescription: "an empty sidecar", script: ": >$3.json", codes: ["backup-damaged"],
                repair: "rm $3.json; adopt 3"),
            Damage(
                testDescription: "a number that no reader takes",
                script: "cp $3.json w; sed -i 's/\"sequence\" : 3/\"sequence\" : 9223372036854775807/' $3.json",
                codes: ["backup-damaged"], repair: "mv w $3.json"),
            Damage(
                testDescription: "the largest number",
                script: "cp $3.json w; sed -i 's/\"sequence\" : 3/\"sequence\" : 9007199254740992/' $3.json",
                codes: ["backup-missing"], repair: "mv w $3.json"),
            Damage(
                testDescription: "a changed sidecar",
                script: "cp $2.json w; sed -i 's/\"findingCount\" : 0/\"findingCount\" : 1/' $2.json",
                codes: ["backup-chain-broken"], repair: "mv w $2.json"),
            Damage(
                testDescription: "a changed sidecar, removed",
                script: "sed -i 's/\"findingCount\" : 0/\"findingCount\" : 1/' $3.json", codes: ["backup-chain-broken"],
                repair: "delete 3"),
            Damage(
                testDescription: "an archive that was cut short", script: "truncate -s -1 $1.tar.zst.age",
                codes: ["backup-damaged"], repair: "delete 1"),
            Damage(
                testDescription: "the record and the newest backup are gone",
                script: "rm chain.json $3.json $3.tar.zst.age",
                codes: ["backup-chain-unknown"], repair: ""),
        ]

        @Test(arguments: damages)
        func itIsAFindingUntilItIsRepaired(damage: Damage) throws {
            try shell("cd \"$4\"; \(damage.script)", id(0), id(1), id(2), store.scopeDirectory)
            let dry = try findings(arguments + ["--dry-run"])
            #expect(dry.status == 3 && dry.codes.sorted() == damage.codes, "\(dry.codes)")
            #expect(try doctor().sorted() == damage.codes)
            let backup = try findings(arguments)
            #expect(backup.status == 3 && backup.codes.sorted() == damage.codes, "\(backup.codes)")
            for finding in backup.report.findings.array {
                #expect(finding.severity.string == "warning" && finding.advice.string != "")
            }
            // None is lost for what is wrong with those before, and none takes another's number.
            try SnapTool.run(["verify", backup.report.path.string, "-i", store.key.path])
            let isKnown = damage.codes != ["backup-chain-unknown"]
            #expect(backup.report.sidecar.sequence.int == (isKnown ? 4 : 3))

            try repair(damage.repair)
            let next = try findings(arguments)
            #expect(next.status == 0 && next.codes == [], "\(next.report.findings.array.map(\.message.string))")
            #expect(try doctor() == [])
            #expect(try SnapTool.attempt(["list"] + store.flags).status == 0)
        }

        /// Commands of this program with the numbers of archives, or of a shell in their directory.
        private func repair(_ script: String) throws {
            for step in script.split(separator: "; ") {
                let words = step.split(separator: " ")
                switch words[0] {
                case "adopt":
                    for word in words.dropFirst() {
                        let index = try #require(Int(word)) - 1
                        try SnapTool.run(["adopt", id(index), "-i", store.key.path] + store.flags)
                    }
                case "delete":
                    for word in words.dropFirst() {
                        let index = try #require(Int(word)) - 1
                        try SnapTool.run(["delete", id(index), "--yes"] + store.flags)
                    }
                default: try shell("cd \"$4\"; \(step)", id(0), id(1), id(2), store.scopeDirectory)
                }
            }
        }

        /// What is meant to stay can be accepted, and is shown all the same.
        @Test func itCanBeAccepted() throws {
            try run("rm", [sidecar(of: archives[1])])
            let accept = try store.directory.write(
                """
                discover: false
                hostFacts: false
                accept:
                - code: backup-sidecar-missing
                  subject: test/node/\(id(1))
                  reason: kept for a test
                """, to: "accept.yaml")
            let more = ["--config", accept]
            #expect(
                try findings(arguments.filter { !$0.hasSuffix("plain.yaml") && $0 != "--config" } + more).status == 0)
            let doctor = ["doctor", "-r", store.key.recipient] + store.server.flags() + store.flags + more
            let report = try findings(doctor).report
            #expect(report.findings[0].accepted.reason.string == "kept for a test")
        }

        /// Without the record nothing of this directory tells that there was a newer one; of several backups its lack is seen.
        @Test func aRecordThatIsGoneIsSaidOnce() throws {
            try run("rm", ["\(store.scopeDirectory)/chain.json"])
            let list = try SnapTool.attempt(["list"] + store.flags)
            #expect(list.status == 3 && list.errorText.contains("chain.json"), "\(list.errorText)")
            #expect(try findings(arguments).codes == ["backup-chain-unknown"])
            #expect(try findings(arguments).codes == [])
        }
    }
}
