import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

/// What a placement leaves on the way, and who removes it.
@Suite(.timeLimit(.minutes(45))) struct PlacementJournalTests {
    private let laboratory: Laboratory
    private let source: NodeTree
    private let target: NodeTree

    init() throws {
        laboratory = try Laboratory()
        (source, target) = (try NodeTree(), try NodeTree())
        try source.make(
            """
            mkdir -p etc/kubernetes/manifests etc/kubernetes/pki etc/kubernetes/x; printf key > etc/kubernetes/pki/ca.key
            ln etc/kubernetes/pki/ca.key etc/kubernetes/x/again; printf last > etc/zzz
            for name in kube-apiserver kube-controller-manager; do
                printf 'kind: Pod\nspec: {containers: [{command: [%s]}]}' $name > etc/kubernetes/manifests/$name.yaml
            done
            printf 'kind: Pod\nspec: {containers: [{name: data, command: [etcd]}]}' > etc/kubernetes/manifests/store.yaml
            """)
    }

    private func root() throws -> OpenDirectory { try OpenDirectory(path: target.path) }

    private func archive() throws -> ArchiveReader {
        try laboratory.archive { writer in
            try ControlPlaneCapture(into: writer, root: source.root).capture([
                FileReference(path: "/etc", captureClass: .component, referrer: "test", isRequired: true)
            ])
        }.reader
    }

    private func placement() throws -> FilePlacement {
        try FilePlacement(replacingIn: root(), strippedPrefix: ArchiveFormat.filesPrefix)
    }

    private func stage(_ reader: ArchiveReader, _ placement: FilePlacement) throws {
        try reader.forEachMember { member in
            let path = member.metadata.displayPath
            guard path.hasPrefix("files/") else { return try member.forEachPiece { _ in } }
            let captureClass: CaptureClass = path.contains("/manifests/") ? .staticPod : .caKey
            try placement.place(member, order: PlacementOrder(role: captureClass.rawValue))
        }
    }

    private func stagedFiles() throws -> [String] {
        try run("find", [target.path, "-name", ".etcd-snap-*"]).text.split(separator: "\n").map(String.init)
    }

    @Test func untilTheEndNothingChanges() throws {
        try target.make("mkdir -p etc/kubernetes/pki; printf old > etc/kubernetes/pki/ca.key")
        let before = try target.files()
        let reader = try archive()
        do {
            let placement = try placement()
            try stage(reader, placement)
            #expect(try stagedFiles().count == 6)
            #expect(try target.files().filter { !$0.contains("/.etcd-snap-") && !$0.hasPrefix("/var") } == before)
            // What the kubelet would read: no other name is there.
            let manifests = try FileManager.default.contentsOfDirectory(
                atPath: "\(target.path)/etc/kubernetes/manifests")
            #expect(manifests.count == 3 && manifests.allSatisfy { $0.hasPrefix(".") })
            withExtendedLifetime(placement) {}
        }
        // Given up: the tree is as it was, with no directory more.
        #expect(try target.files() == before)
        #expect(try run("find", [target.path, "-type", "d"]).text.split(separator: "\n").count == 4)
    }

    /// As a run that was killed leaves it.
    @Test func whatAKilledRunLeftIsRemovedByTheNext() throws {
        try target.make(
            """
            mkdir -p var/lib/etcd-snap-kept etc/a etc/b; chmod 700 var/lib/etcd-snap-kept
            printf key > etc/a/.etcd-snap-placing-0123456789abcdef; ln -s x etc/b/.etcd-snap-placing-ffffffffffffffff
            printf mine > etc/a/.etcd-snap-placing-mine; printf torn > etc/.etcd-snap-placing-0000000000000000
            printf 'etc/a\\000gone/x\\000../up\\000etc/b\\000etc' > var/lib/etcd-snap-kept/journal
            """)
        let outside = "\(target.directory.path)/.etcd-snap-placing-1111111111111111"
        try "kept".write(toFile: outside, atomically: true, encoding: .utf8)
        let removed = try PlacementJournal.removeLeftovers(below: root()).removed
        #expect(removed.count == 2 && removed[0].hasSuffix("etc/a/.etcd-snap-placing-0123456789abcdef"))
        // What no record names that is whole was not yet there.
        let left: Set = ["/etc/a/.etcd-snap-placing-mine", "/etc/.etcd-snap-placing-0000000000000000"]
        #expect(try target.files() == left)
        #expect(FileManager.default.fileExists(atPath: outside))
        #expect(!FileManager.default.fileExists(atPath: "\(target.path)/var/lib/etcd-snap-kept"))
        #expect(try PlacementJournal.removeLeftovers(below: root()) == .init())
    }

    @Test func whatALivingRunHoldsStays() throws {
        let reader = try archive()
        let placement = try placement()
        try stage(reader, placement)
        let staged = try stagedFiles()
        #expect(staged.count == 6)
        #expect(try PlacementJournal.removeLeftovers(below: root()) == .init())
        #expect(try stagedFiles() == staged)
        let error = #expect(throws: Failure.self) { try self.placement() }
        #expect(error?.code == .locked && error?.hint != nil)
        try placement.finish()
        #expect(try run("diff", ["-r", "\(source.path)/etc", "\(target.path)/etc"]).text == "")
        #expect(try stagedFiles().isEmpty)
    }

    @Test func captureLeavesOutWhatRestoresLeave() throws {
        try source.make(
            """
            printf key > etc/kubernetes/pki/.etcd-snap-placing-0123456789abcdef
            mkdir -p etc/lib/etcd-snap-kept/20260101T000000Z; printf old > etc/lib/etcd-snap-kept/20260101T000000Z/ca.key
            printf mine > etc/.etcd-snap-placing-mine
            """)
        var report = CaptureReport()
        let manifest = try laboratory.archive { writer in
            let capture = ControlPlaneCapture(into: writer, root: source.root)
            try capture.capture(
                ["/etc", "/etc/lib/etcd-snap-kept/20260101T000000Z"].map {
                    FileReference(path: $0, captureClass: .include, referrer: "test", isRequired: true)
                })
            report = capture.report
        }.manifest
        #expect(!manifest.entries.contains { $0.path.contains("kept") || $0.path.contains("0123456789abcdef") })
        #expect(manifest.entries.contains { $0.path.hasSuffix(".etcd-snap-placing-mine") })
        let skipped = Set(report.skipped.map(\.path))
        #expect(skipped == ["/etc/kubernetes/pki/.etcd-snap-placing-0123456789abcdef", "/etc/lib/etcd-snap-kept"])
    }

    /// An archive of another version may have such an entry all the same.
    @Test func placementPassesThemOver() throws {
        let (reader, manifest) = try laboratory.archive { writer in
            for name in [".etcd-snap-placing-0123456789abcdef", "file"] {
                let metadata = EntryMetadata(
                    path: Array("files/etc/\(name)".utf8), kind: .file, byteCount: 1, mode: 0o600,
                    modifiedAt: backupTime)
                try writer.add(metadata, role: "component", bytes: [1])
            }
        }
        let plain = FilePlacement(root: try root(), strippedPrefix: ArchiveFormat.filesPrefix)
        let plan = try plain.plan(for: manifest.entries.filter { $0.path.hasPrefix("files/") })
        #expect(plan.map(\.path) == ["/etc/file"])
        let placement = try placement()
        try stage(reader, placement)
        try placement.finish()
        #expect(try target.files() == ["/etc/file"])
    }

    /// Many in one second.
    @Test func everyRunKeepsInAPlaceOfItsOwn() throws {
        let reader = try archive()
        var places: Set<String> = []
        for round in 0..<5 {
            try target.make("mkdir -p etc; printf old\(round) > etc/zzz")
            let placement = try placement()
            try stage(reader, placement)
            try placement.finish()
            let kept = try #require(placement.keptPath)
            #expect(places.insert(kept).inserted)
            #expect(try String(contentsOfFile: "\(target.path)/\(kept)/etc/zzz", encoding: .utf8) == "old\(round)")
        }
        #expect(places.count == 5)
    }

    // MARK: Stores

    @Test func nothingIsKeptInAStore() throws {
        try target.make(
            """
            mkdir -p var/lib/etcd-snap/prod/cp-1/deep store/prod/cp-1 other/var/lib inside/var
            """)
        func check(_ root: String, _ stores: String...) throws {
            try KeptDirectory.check(
                in: OpenDirectory(path: "\(target.path)/\(root)"), isOutside: stores.map { "\(target.path)/\($0)" })
        }
        try check("", "var/lib/etcd-snap", "store", "missing")
        try check("other", "store")
        // The last does not exist yet.
        for store in ["var/lib", "var", "", "../node/var/./lib", "var/lib/etcd-snap-kept"] {
            let error = #expect(throws: Failure.self, "\(store)") { try check("", "store", store) }
            #expect(error?.code == .usage && error?.hint != nil)
        }
        // The root itself is in a store.
        try run("mv", ["\(target.path)/inside", "\(target.path)/store/prod/cp-1/inside"])
        #expect(throws: Failure.self) { try check("store/prod/cp-1/inside", "store") }
        try target.make("ln -s store link")
        #expect(throws: Failure.self) { try check("store/prod/cp-1/inside", "link") }
        // The directory itself is a store.
        try target.make("mkdir -p other/var/lib/etcd-snap-kept/cp-1")
        #expect(throws: Failure.self) { try check("other", "other/var/lib/etcd-snap-kept") }
    }
}
