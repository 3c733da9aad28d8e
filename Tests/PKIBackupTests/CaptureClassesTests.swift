import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

/// What a capture by references adds to one by paths: roots, classes, limits, what is left out.
@Suite(.timeLimit(.minutes(45))) struct CaptureClassesTests {
    let laboratory: Laboratory
    let tree: NodeTree

    init() throws {
        laboratory = try Laboratory()
        tree = try NodeTree()
    }

    private func reference(
        _ path: String, _ captureClass: CaptureClass = .component, isRequired: Bool = false
    ) -> FileReference {
        FileReference(path: path, captureClass: captureClass, referrer: "test", isRequired: isRequired)
    }

    private func capture(
        _ references: [FileReference], excludedPaths: [SkippedPath] = [], limits: CaptureLimits = CaptureLimits()
    ) throws -> (reader: ArchiveReader, entries: [ManifestEntry], report: CaptureReport) {
        var report = CaptureReport()
        let (reader, manifest) = try laboratory.archive { writer in
            let capture = ControlPlaneCapture(
                into: writer, root: tree.root, excludedPaths: excludedPaths, limits: limits)
            try capture.capture(references)
            report = capture.report
        }
        return (reader, manifest.entries.filter { $0.path.hasPrefix("files/") }, report)
    }

    @Test func pathsAreThoseOfTheNode() throws {
        try tree.touch(["/real/pki/a", "/real/other"])
        try tree.make("mkdir etc; ln -s /real etc/link; ln -s ../real/pki etc/relative")
        let (_, entries, report) = try capture([
            reference("/etc/link/pki"), reference("/etc/relative", isRequired: true),
        ])
        #expect(
            entries.map(\.path) == [
                "files/etc", "files/etc/link", "files/etc/relative", "files/real", "files/real/pki", "files/real/pki/a",
            ])
        #expect(report.findings.isEmpty)
    }

    @Test func absencesMatterOnlyWhereSomethingNeedsThem() throws {
        try tree.touch(["/a/file"])
        let (_, _, report) = try capture([
            reference("/none"), reference("/a/file/below"), reference("/needed", isRequired: true),
            FileReference(including: "/asked"),
        ])
        #expect(report.findings.map { "\($0.code) \($0.subject)" } == ["file-missing /needed", "file-missing /asked"])
    }

    @Test func hugeFilesAreRefusedAtOnce() throws {
        try tree.touch(["/a/small", "/b/small"])
        try tree.make("truncate -s 10G a/huge; truncate -s 200 b/state; truncate -s 10G b/named")
        let start = ContinuousClock.now
        let (_, entries, report) = try capture(
            [reference("/a"), reference("/b", .cniState), reference("/b/named", .certificate)],
            limits: CaptureLimits(standardByteCount: 1 << 20, byteCounts: [.cniState: 100]))
        #expect(ContinuousClock.now - start < .seconds(40))
        #expect(
            report.findings.map { "\($0.severity) \($0.code) \($0.subject)" } == [
                "error file-too-large /a/huge", "error file-too-large /b/named", "error file-too-large /b/state",
            ])
        #expect(entries.filter { $0.kind == .file }.map(\.path) == ["files/a/small", "files/b/small"])
        #expect(report.findings[0].message.contains("10737418240"))
    }

    @Test func excludedPathsAreSaid() throws {
        try tree.touch(["/k/pki/a", "/k/tmp/old/b", "/k/tmpfile"])
        let (_, entries, report) = try capture(
            [reference("/k"), reference("/k/tmp/old/b")],
            excludedPaths: [
                SkippedPath(path: "/k/tmp", reason: "old"), SkippedPath(path: "/elsewhere", reason: "x"),
            ])
        #expect(entries.filter { $0.kind == .file }.map(\.path) == ["files/k/pki/a", "files/k/tmpfile"])
        #expect(report.skipped == [SkippedPath(path: "/k/tmp", reason: "old")])
    }

    /// What is excluded takes what is below along, whatever names that and by which path.
    @Test func exclusionsCoverWhatIsNamedBelow() throws {
        try tree.touch(["/etc/cni/net.d/a", "/etc/kept", "/real/data/b", "/real/kept"])
        try tree.make("ln -s /real etc/link")
        func files(_ exclude: [String], _ excluded: [String]) throws -> (paths: [String], skipped: [String]) {
            var skipped: [String] = []
            let (_, manifest) = try laboratory.archive { writer in
                let capture = ControlPlaneCapture(
                    into: writer, root: tree.root, exclude: exclude,
                    excludedPaths: excluded.map { SkippedPath(path: $0, reason: "no") })
                try capture.capture(
                    ["/etc/cni/net.d", "/etc/link/data", "/etc/kept", "/real/kept", "/real/data/b"].map {
                        reference($0)
                    })
                skipped = capture.report.skipped.map(\.path)
                #expect(capture.report.findings.isEmpty)
            }
            let entries = manifest.entries.filter { $0.path.hasPrefix("files/") }
            return (entries.filter { $0.kind != .directory }.map { String($0.path.dropFirst(5)) }, skipped)
        }
        let all = ["/etc/cni/net.d/a", "/etc/kept", "/etc/link", "/real/data/b", "/real/kept"]
        #expect(try files([], []).paths == all)
        #expect(try files(["/etc/cni"], []).paths == Array(all[1...]))
        #expect(try files(["/real/data"], []).paths == ["/etc/cni/net.d/a", "/etc/kept", "/real/kept"])
        #expect(try files(["/etc/li?k"], []).paths == ["/etc/cni/net.d/a", "/etc/kept", "/real/data/b", "/real/kept"])
        let (paths, skipped) = try files([], ["/etc/cni", "/etc/link/data"])
        #expect(paths == ["/etc/kept", "/real/kept"])
        #expect(skipped == ["/etc/cni", "/etc/link/data", "/real/data"])
    }

    @Test func linksOutOfTheTreeAreSaid() throws {
        try tree.touch(["/pki/a", "/elsewhere/key", "/also/b"])
        try tree.make(
            """
            ln -s /elsewhere/key pki/escape; ln -s a pki/inside; ln -s ../also/b pki/other; ln -s /nothing pki/dangling
            ln -s loop pki/loop; ln -s .. pki/up
            """)
        let (_, entries, report) = try capture([reference("/pki"), reference("/also")])
        #expect(
            report.findings.map { "\($0.severity) \($0.code) \($0.subject)" } == [
                "warning link-leaves-tree /pki/escape", "warning link-loop /pki/loop",
            ])
        #expect(!entries.contains { $0.path.contains("elsewhere") })
        #expect(entries.filter { $0.kind == .symbolicLink }.count == 6)
        // What was asked for by path is reported, but nothing is wrong with it.
        let (_, _, included) = try capture([FileReference(including: "/pki")])
        #expect(included.findings.isEmpty)
        #expect(included.skipped.map(\.path) == ["/pki/escape", "/pki/loop", "/pki/other"])
    }

    @Test func whatCannotBeReadIsAFindingAndTheRestIsCaptured() throws {
        guard isRoot else { return }
        try tree.touch(["/pki/a", "/pki/closed/b", "/pki/secret", "/pki/z"])
        try tree.make("chmod 000 pki/closed; chmod 000 pki/secret; chmod 755 . pki")
        try run("chmod", ["755", tree.directory.path])
        // As another user, for root may read everything.
        let (_, entries, report) = try withFileUser(65_534) { try capture([reference("/pki")]) }
        #expect(
            report.findings.map { "\($0.code) \($0.subject)" } == [
                "file-unreadable /pki/closed", "file-unreadable /pki/secret",
            ])
        #expect(entries.filter { $0.kind == .file }.map(\.path) == ["files/pki/a", "files/pki/z"])
        #expect(report.findings.allSatisfy { $0.advice != nil })
    }

    @Test func pipesAmongNetworksAreSkipped() throws {
        try tree.touch(["/etc/cni/net.d/10.conflist"])
        try tree.make("mkfifo etc/cni/net.d/pipe; mkfifo named")
        let (_, entries, report) = try capture([
            reference("/etc/cni/net.d", .cniConfiguration), reference("/named", .certificate, isRequired: true),
        ])
        #expect(report.skipped.map(\.path) == ["/etc/cni/net.d/pipe", "/named"])
        #expect(report.findings.isEmpty)
        #expect(entries.last?.role == "cni-configuration")
    }

    @Test func aSecondCaptureTakesOnlyWhatIsNew() throws {
        try tree.touch(["/a/b/c", "/a/d", "/e"])
        let (_, manifest) = try laboratory.archive { writer in
            let capture = ControlPlaneCapture(into: writer, root: tree.root)
            for path in ["/a/b", "/a", "/a/b/c", "/a", "/e", "/"] { try capture.capture([reference(path)]) }
            #expect(capture.report.fileCount == 3)
        }
        let paths = manifest.entries.map(\.path)
        #expect(Set(paths).count == paths.count && paths.contains("files/a/d"))
    }

    @Test func aSurveySaysWhatACaptureTakes() throws {
        let tree = try NodeTree.kubeadm()
        let layout = tree.discover()
        var surveyed: [SurveyedPath] = []
        let report = try CaptureSurvey.survey(
            layout.references, root: tree.root, excludedPaths: layout.excludedPaths
        ) { surveyed.append($0) }
        let (_, manifest) = try laboratory.archive { writer in
            let capture = ControlPlaneCapture(into: writer, root: tree.root, excludedPaths: layout.excludedPaths)
            try capture.capture(layout.references)
            #expect(capture.report.fileCounts == report.fileCounts)
            #expect(capture.report.byteCount == report.byteCount)
        }
        let files = manifest.entries.filter { $0.kind == .file && $0.path.hasPrefix("files/") }
        #expect(surveyed.map { "files\($0.path) \($0.captureClass.rawValue)" } == files.map { "\($0.path) \($0.role)" })
        #expect(surveyed.first { $0.path.hasSuffix("/sa.key") }?.referrer.contains("service-account") == true)
    }

    @Test func progressIsTold() throws {
        try tree.touch((0..<20).map { "/d/\($0)" })
        var told: [Int] = []
        _ = try laboratory.archive { writer in
            let capture = ControlPlaneCapture(into: writer, root: tree.root) { count, _ in told.append(count) }
            try capture.capture([reference("/d")])
        }
        #expect(told == Array(1...20))
    }

    @Test func epochsNameWhatChanged() throws {
        let tree = try NodeTree.kubeadm()
        try tree.write("kind: EncryptionConfiguration\n", to: "/etc/kubernetes/enc.yaml")
        try tree.touch(["/etc/cni/net.d/a", "/etc/kubernetes/pki/gone.crt"])
        let layout = tree.discover()
        func epoch() throws -> CaptureEpoch { try CaptureEpoch.digest(of: layout.references, root: tree.root) }
        let before = try epoch()
        #expect(before.digests.count == 28)
        #expect(try epoch() == before)
        try tree.make(
            """
            echo more >> etc/kubernetes/enc.yaml; chmod 640 etc/kubernetes/pki/ca.key; rm etc/kubernetes/pki/gone.crt
            echo x > etc/kubernetes/pki/new.key; echo x > etc/cni/net.d/a; touch etc/kubernetes/pki/ca.crt
            """)
        let changes = before.changes(to: try epoch())
        #expect(
            changes == [
                "/etc/kubernetes/enc.yaml", "/etc/kubernetes/pki/ca.key", "/etc/kubernetes/pki/gone.crt",
                "/etc/kubernetes/pki/new.key",
            ])
    }

    /// Names that are the same as text and not as bytes.
    @Test func epochsTellNamesApart() throws {
        try tree.make("mkdir -p d; for n in 350 351; do echo a >\"$(printf \"d/\\\\$n.key\")\"; done")
        let references = [FileReference(path: "/d", captureClass: .privateKey, referrer: "test", isRequired: true)]
        func epoch() throws -> CaptureEpoch { try CaptureEpoch.digest(of: references, root: tree.root) }
        let before = try epoch()
        #expect(before.digests.count == 2)
        for name in [350, 351] {
            let last = try epoch()
            try tree.make("echo more >>\"$(printf 'd/\\\(name).key')\"")
            #expect(last.changes(to: try epoch()) == ["/d/\u{FFFD}.key"], "\(name)")
        }
    }

    @Test(arguments: [
        ("ca.key", "", CaptureClass.caKey), ("etcd-ca.key", "", .caKey), ("ca-key.pem", "", .caKey),
        ("front-proxy-ca.crt", "", .caCertificate), ("ca.pem", "", .caCertificate),
        ("apiserver-key.pem", "", .privateKey),
        ("cacti.crt", "", .certificate), ("sa.pub", "", .serviceAccountKey), ("sa-old.key", "", .serviceAccountKey),
        ("odd-name", "-----BEGIN EC PRIVATE KEY-----\n", .privateKey),
        ("odd", "-----BEGIN CERTIFICATE-----\n", .certificate),
        ("both.pem", "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n", .privateKey),
        ("odd", "-----BEGIN PUBLIC KEY-----\n", .serviceAccountKey),
        ("x.conf", "kind: Config\nclusters: []\n", .kubeconfig),
        ("x", #"{"kind":"EncryptionConfiguration"}"#, .encryptionConfiguration),
        ("encryption-state.json", #"{"kind":"x"}"#, .component), ("encryption-config.yaml", "a: b\n", .component),
        ("x", "apiVersion: audit.k8s.io/v1\nkind: Policy\n", .auditPolicy), ("x", "kind: Policy\n", .component),
        ("x", "metadata:\n  kind: Pod\n", .component), ("x", "kind: Pod\n", .staticPod), ("x", "kind", .component),
    ])
    func classesByNameAndContents(name: String, content: String, expected: CaptureClass) {
        let found = CaptureClassifier.classify(
            "/d/\(name)", reference: .component, isNamed: false, prefix: Array(content.utf8))
        #expect(found == expected)
        #expect(
            CaptureClassifier.classify("/d/\(name)", reference: .include, isNamed: false, prefix: Array(content.utf8))
                == .include)
        #expect(
            CaptureClassifier.classify("/d/\(name)", reference: .caKey, isNamed: true, prefix: Array(content.utf8))
                == .caKey)
    }
}
