import Certificates
import Foundation
import PKIBackup
import SealedArchive
import Testing

/// One defect put into a healthy control plane, and every finding that follows from it.
struct Defect: CustomTestStringConvertible, Sendable {
    let name: String
    let expected: [String]
    var snapshot: SnapshotFacts?
    let seed: @Sendable (ControlPlaneTree) throws -> Void

    init(
        _ name: String, _ expected: [String], snapshot: SnapshotFacts? = nil,
        seed: @escaping @Sendable (ControlPlaneTree) throws -> Void
    ) {
        self.name = name
        self.expected = expected
        self.snapshot = snapshot
        self.seed = seed
    }

    var testDescription: String { name }
}

@Suite struct SeededDefectTests {
    @Test func `a healthy control plane has no findings`() throws {
        let member = EtcdMemberRecord(
            id: "1", name: "cp0", peerURLs: ["https://192.0.2.10:2380"], clientURLs: ["https://192.0.2.10:2379"],
            isLearner: false)
        let tree = try ControlPlaneTree.kubeadm()
        #expect(summary(tree.findings()) == [])
        #expect(summary(tree.findings(snapshot: SnapshotFacts(members: ["etcd": [member]]))) == [])
    }

    @Test(arguments: Defect.keys + Defect.authorities + Defect.certificates)
    func `a defect of keys or certificates gives exactly its findings`(_ defect: Defect) throws {
        try check(defect)
    }

    @Test(arguments: Defect.contents + Defect.kubeconfigs)
    func `a defect of a file's content gives exactly its findings`(_ defect: Defect) throws {
        try check(defect)
    }

    @Test(arguments: Defect.identities + Defect.tokenKeys + Defect.spares)
    func `a defect of an identity, a key for tokens or a copy gives exactly its findings`(_ defect: Defect) throws {
        try check(defect)
    }

    @Test(arguments: Defect.encryption + Defect.members)
    func `a defect that the snapshot shows gives exactly its findings`(_ defect: Defect) throws {
        try check(defect)
    }

    @Test(arguments: Defect.harmless) func `what is unusual and sound has no findings`(_ defect: Defect) throws {
        try check(defect)
    }

    private func check(_ defect: Defect) throws {
        let tree = try ControlPlaneTree.kubeadm()
        try defect.seed(tree)
        let findings = tree.findings(snapshot: defect.snapshot)
        #expect(summary(findings) == defect.expected.sorted())
        for finding in findings {
            #expect(finding.advice?.isEmpty == false)
            #expect(!finding.message.isEmpty && !finding.message.hasSuffix(".") && !finding.message.contains("\n"))
        }
    }
}
