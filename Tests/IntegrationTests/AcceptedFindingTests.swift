import Foundation
import TestSupport
import Testing

extension Integration {
    /// What the configuration accepts is found and recorded, and sets the exit status no longer: as long as it says, and
    /// for what it says.
    @Suite(.timeLimit(.minutes(45))) struct AcceptedFindingTests {
        private static let subject = "\(KubeadmNode.pki)/sa.pub"
        private static let reason = "known, until the next rotation"

        private static func day(_ offset: Int) -> String {
            Date(timeIntervalSinceNow: TimeInterval(offset * 86_400)).formatted(.iso8601.year().month().day())
        }

        /// A node that lacks a file which its manifests name.
        private func node() throws -> KubeadmNode { try KubeadmNode.running("base", changes: "rm .\(Self.subject)") }

        private func accepting(
            _ node: KubeadmNode, code: String = "reference-missing", subject: String?, until: String?
        ) throws -> KubeadmNode.Outcome {
            let fields =
                ["code: \(code)", "reason: '\(Self.reason)'"]
                + (subject.map { ["subject: '\($0)'"] } ?? []) + (until.map { ["until: \($0)"] } ?? [])
            let configuration = try node.directory.write(
                "accept:\n  - {\(fields.joined(separator: ", "))}\n", to: "accept.yaml")
            return try node.backup(["--config", configuration])
        }

        private func manifest(_ outcome: KubeadmNode.Outcome) throws -> JSON {
            let key = try Laboratory.shared().key()
            return try SnapTool.json(["describe", outcome.report.path.string, "-i", key.path])
        }

        @Test func whatIsAcceptedIsRecorded() throws {
            let node = try node()
            for (subject, days) in [(nil, nil), (Self.subject, 1), ("*/pki/sa.*", 30)] as [(String?, Int?)] {
                let until = days.map(Self.day)
                let outcome = try accepting(node, subject: subject, until: until)
                #expect(outcome.status == 0, "\(outcome.errorText)")
                #expect(outcome.findings == ["error reference-missing \(Self.subject)"])
                #expect(!outcome.errorText.contains("error: "), "\(outcome.errorText)")
                let document = try manifest(outcome)
                for findings in [outcome.report.findings, document.manifest.findings] {
                    #expect(findings.array.count == 1)
                    #expect(findings[0].accepted.reason.string == Self.reason)
                    #expect(findings[0].accepted.until.string == until ?? "")
                    #expect(findings[0].severity.string == "error")
                }
                #expect(document.sidecar.findingCount.int == 0)
            }
        }

        @Test func whatIsNotAcceptedCounts() throws {
            let node = try node()
            let others: [(code: String, subject: String?, days: Int)] = [
                ("reference-missing", Self.subject, -1), ("reference-missing", nil, -1),
                ("reference-missing", "/etc/kubernetes/pki/sa.key", 1), ("reference-missing", "sa.pub", 1),
                ("pem-missing", Self.subject, 1),
            ]
            for (code, subject, days) in others {
                let outcome = try accepting(node, code: code, subject: subject, until: Self.day(days))
                #expect(outcome.status == 3, "\(code) \(subject ?? "") \(days)")
                #expect(outcome.findings == ["error reference-missing \(Self.subject)"])
                let document = try manifest(outcome)
                #expect(document.manifest.findings[0].accepted.reason.string == "")
                #expect(document.sidecar.findingCount.int == 1)
            }
        }

        /// One of two.
        @Test func theOtherFindingCounts() throws {
            let node = try KubeadmNode.running("base", changes: "rm .\(Self.subject) .\(KubeadmNode.pki)/apiserver.key")
            let outcome = try accepting(node, subject: Self.subject, until: Self.day(1))
            #expect(outcome.status == 3 && outcome.findings.count == 2, "\(outcome.findings)")
            let accepted = outcome.report.findings.array.filter { $0.accepted.reason.string == Self.reason }
            #expect(accepted.map(\.subject.string) == [Self.subject])
        }
    }
}
