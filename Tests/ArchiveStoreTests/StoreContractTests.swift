import Foundation
import HostIO
import SealedArchive
import Synchronization
import TestSupport
import Testing

@testable import ArchiveStore

/// What every store promises, on every kind of store; each promise is tried in a place of its own.
@Suite struct StoreContractTests {
    @Test(arguments: StoreKind.allCases) func isHeld(by kind: StoreKind) throws {
        let laboratory = try ContractStore(kind)
        for promise in StorePromise.all {
            do {
                try promise.check(StorePromise.Place(laboratory, promise.name))
            } catch {
                Issue.record(error, "\(kind.rawValue): \(promise.name)")
            }
        }
    }

    @Test(arguments: StoreKind.allCases.filter { $0 != .local }) func objectsAreHeld(by kind: StoreKind) throws {
        let laboratory = try ContractStore(kind)
        for promise in ObjectPromise.all where promise.isOfRclone || !kind.isOfRclone {
            do {
                try promise.check(try laboratory.objects(promise.name))
            } catch {
                Issue.record(error, "\(kind.rawValue): \(promise.name)")
            }
        }
    }
}

/// A promise of stores.
private struct StorePromise: Sendable {
    let name: String
    let check: @Sendable (Place) throws -> Void

    /// Where a promise is tried.
    struct Place {
        let laboratory: ContractStore
        let store: any Store
        let name: String
        let steps: StoreLaboratory

        init(_ laboratory: ContractStore, _ name: String) throws {
            self.laboratory = laboratory
            self.name = name
            store = try laboratory.store(name)
            steps = StoreLaboratory(root: "")
        }

        func scope(_ node: String = "cp-0", cluster: String = "prod") throws -> StoreScope {
            try StoreScope(cluster: cluster, node: node)
        }

        /// Expects that no file of a drill is left.
        func expectNoDrills() throws {
            let names =
                laboratory.kind == .local
                ? try FileManager.default.subpathsOfDirectory(atPath: store.name)
                : try laboratory.objects(name).objects(below: "", behind: nil).map(\.key)
            #expect(names.filter { $0.contains("drill") } == [])
        }

        @discardableResult
        func add(_ second: Int, to scope: StoreScope) throws -> StoredBackup {
            try steps.add(second, to: scope, in: store)
        }
    }

    static let all: [StorePromise] = [
        StorePromise(name: "what-is-published-is-listed-and-read", check: whatIsPublished),
        StorePromise(name: "large-archives-are-whole", check: largeArchives),
        StorePromise(name: "what-is-discarded-was-never-there", check: whatIsDiscarded),
        StorePromise(name: "nothing-is-replaced", check: nothingIsReplaced),
        StorePromise(name: "lists-are-in-order", check: listsAreInOrder),
        StorePromise(name: "removed-is-gone", check: removedIsGone),
        StorePromise(name: "nothing-is-removed-while-what-was-is-unknown", check: removalsAreKnown),
        StorePromise(name: "one-writer-for-each-scope", check: oneWriter),
        StorePromise(name: "numbers-go-on", check: numbersGoOn),
        StorePromise(name: "an-orphan-can-be-adopted", check: orphans),
        StorePromise(name: "a-sidecar-without-archive-is-damage", check: sidecarAlone),
        StorePromise(name: "what-was-never-published-goes", check: abandoned),
        StorePromise(name: "what-is-not-there-on-purpose-is-known", check: absences),
        StorePromise(name: "the-newest-drill-counts-and-goes-with-its-archive", check: drills),
    ]

    private static func drill(of backup: StoredBackup, _ second: Double) throws -> DrillDocument {
        let record = DrillRecord(
            of: backup.sidecar.archive, manifestSHA256: backup.sidecar.manifestSHA256,
            startedAt: Date(timeIntervalSince1970: second),
            host: .init(coreCount: 1, availableMemory: nil, isScratchInMemory: true))
        return try DrillDocument(record, page: Array("page \(second)".utf8))
    }

    @Sendable private static func drills(_ place: Place) throws {
        let scope = try place.scope()
        let backups = try (0..<2).map { try place.add($0, to: scope) }
        #expect(try place.store.list().backups.allSatisfy { $0.drill == nil })
        for second in [5.0, 6] {
            try place.store.writer(for: scope).keep(drill(of: backups[0], second), of: backups[0])
            // Names have whole seconds and something random, which does not tell their order.
            Thread.sleep(forTimeInterval: 1.1)
        }
        var listing = try place.store.list()
        #expect(listing.problems.isEmpty && listing.chain.isEmpty && listing.unpublished.isEmpty)
        #expect(listing.backups.map(\.id) == backups.map(\.id))
        #expect(listing.backups.map { $0.drill?.startedAt.timeIntervalSince1970 } == [6, nil])
        // One of other bytes under the same name is of no backup that is there.
        var other = try drill(of: backups[1], 7).record
        other.manifestSHA256 = "another"
        try place.store.writer(for: scope).keep(DrillDocument(other, page: []), of: backups[1])
        listing = try place.store.list()
        #expect(listing.backups[1].drill == nil && listing.problems.isEmpty)
        try place.store.writer(for: scope).delete(backups[0])
        let gone = try #require(throws: Failure.self) {
            try place.store.writer(for: scope).keep(drill(of: backups[0], 8), of: backups[0])
        }
        #expect(gone.code == .notFound)
        listing = try place.store.list()
        #expect(listing.backups.map(\.id) == [backups[1].id] && listing.problems.isEmpty && listing.chain.isEmpty)
        try place.store.writer(for: scope).delete(backups[1])
        try place.expectNoDrills()
    }

    @Sendable private static func whatIsPublished(_ place: Place) throws {
        let scope = try place.scope()
        let backup = try place.add(0, to: scope)
        #expect(backup.reference == "prod/cp-0/\(backup.id)")
        #expect(place.store.location(of: backup).hasSuffix("\(backup.reference).tar.zst.age"))
        let listing = try place.store.list()
        #expect(listing.backups.map(\.id) == [backup.id])
        #expect(listing.problems.isEmpty && listing.chain.isEmpty && listing.unpublished.isEmpty)
        let bytes = try place.store.open(backup)
        #expect(bytes.byteCount == backup.sidecar.object.size)
        try backup.sidecar.object.checkHeader(of: bytes)
        #expect(try place.store.interruptedRemovals(cluster: nil, node: nil).isEmpty)
    }

    /// Several parts, each different, read back in pieces of any size.
    @Sendable private static func largeArchives(_ place: Place) throws {
        let writer = try place.store.writer(for: place.scope())
        let id = place.steps.id(1)
        let pending = try writer.begin(id)
        var generator = SeededGenerator(seed: 11)
        var content: [UInt8] = []
        for size in [1, 70_000, 16 << 20, (16 << 20) - 1, 1 << 20, 3] {
            let piece = randomBytes(size, &generator)
            content += piece
            try piece.withUnsafeBytes { try pending.write($0) }
        }
        let stored = try pending.stored()
        #expect(stored.byteCount == content.count)
        #expect(isEqual(try stored.bytes(at: 0, count: content.count + 10), content[...]))
        for _ in 0..<40 {
            let offset = Int.random(in: 0..<content.count, using: &generator)
            let count = Int.random(in: 0..<(6 << 20), using: &generator)
            let expected = content[offset..<min(offset + count, content.count)]
            #expect(isEqual(try stored.bytes(at: offset, count: count), expected))
        }
        #expect(try stored.bytes(at: content.count - 5, count: 100) == content.suffix(5))
        #expect(try stored.bytes(at: content.count, count: 1).isEmpty)
        pending.discard()
        #expect(try place.store.list().backups.isEmpty)
    }

    @Sendable private static func whatIsDiscarded(_ place: Place) throws {
        let scope = try place.scope()
        try place.add(0, to: scope)
        for size in [0, 100, 20 << 20, 40 << 20] {
            let pending = try place.store.writer(for: scope).begin(place.steps.id(5 + size))
            try [UInt8](repeating: 7, count: size).withUnsafeBytes { try pending.write($0) }
            let listing = try place.store.list()
            #expect(listing.backups.count == 1 && listing.unreadable.isEmpty && listing.unpublished.isEmpty)
            if size == 40 << 20 { _ = try pending.stored() }
            #expect(try place.store.list().backups.count == 1)
            pending.discard()
        }
        let listing = try place.store.list()
        #expect(listing.backups.count == 1 && listing.unreadable.isEmpty && listing.unpublished.isEmpty)
        if let objects = place.store as? ObjectStore {
            #expect(try objects.objects.removeLeftovers(below: "", before: .distantFuture).isEmpty)
            #expect(try objects.objects.objects(below: "", behind: nil).count == 2)
        }
    }

    @Sendable private static func nothingIsReplaced(_ place: Place) throws {
        let scope = try place.scope()
        let backup = try place.add(3, to: scope)
        let writer = try place.store.writer(for: scope)
        #expect(throws: (any Error).self) {
            let (pending, sidecar) = try place.steps.seal(backup.id, with: writer, at: backup.sidecar.archive.createdAt)
            defer { pending.discard() }
            try pending.publish(SidecarDocument(sidecar))
        }
        let after = try #require(try place.store.list().backups.first)
        #expect(after.sidecarBytes == backup.sidecarBytes)
        try after.sidecar.object.checkHeader(of: place.store.open(after))
    }

    @Sendable private static func listsAreInOrder(_ place: Place) throws {
        for (index, node) in ["cp-1", "cp-0", "cp-0", "cp-00", "cp-1"].enumerated() {
            try place.add(10 + index, to: place.scope(node))
        }
        try place.add(30, to: place.scope("cp-0", cluster: "prod-2"))
        let listing = try place.store.list()
        #expect(
            listing.backups.map { "\($0.scope) \($0.sidecar.sequence)" } == [
                "prod/cp-0 1", "prod/cp-0 2", "prod/cp-00 1", "prod/cp-1 1", "prod/cp-1 2", "prod-2/cp-0 1",
            ])
        #expect(listing.problems.isEmpty && listing.chain.isEmpty)
        #expect(try place.store.list(cluster: "prod", node: "cp-0").backups.count == 2)
        #expect(try place.store.list(cluster: "prod", node: nil).backups.count == 5)
        #expect(try place.store.list(cluster: nil, node: "cp-0").backups.count == 3)
        #expect(try place.store.list(cluster: "pro", node: nil).backups.isEmpty)
        #expect(try place.store.list(cluster: "prod", node: "cp").backups.isEmpty)
    }

    @Sendable private static func removedIsGone(_ place: Place) throws {
        let scope = try place.scope()
        let other = try place.add(99, to: place.scope("cp-9"))
        let backups = try (0..<6).map { try place.add($0, to: scope) }
        var removed: [BackupID] = []
        try place.store.writer(for: scope).delete([backups[1], backups[2], backups[5]]) { removed.append($0.id) }
        #expect(removed == [backups[1].id, backups[2].id, backups[5].id])
        let listing = try place.store.list()
        #expect(listing.backups.map(\.id) == [backups[0].id, backups[3].id, backups[4].id, other.id])
        #expect(listing.problems.isEmpty && listing.chain.isEmpty && listing.unpublished.isEmpty)
        #expect(throws: Failure.self) { try place.store.writer(for: scope).delete(backups[1]) }
        #expect(throws: (any Error).self) {
            try place.store.open(backups[1]).bytes(at: 0, count: 10)
        }
        // Another host sees the same, and no number is given twice.
        let elsewhere = try place.laboratory.store(place.name, host: "two")
        #expect(try elsewhere.list().chain.isEmpty)
        #expect(try elsewhere.writer(for: scope).nextLink(after: elsewhere.list()).sequence == 7)
        try place.store.writer(for: scope).delete(backups[0])
        #expect(try elsewhere.list().chain.isEmpty)
    }

    /// A record of removals that is damaged would be replaced by one that lacks what it said.
    @Sendable private static func removalsAreKnown(_ place: Place) throws {
        guard let store = place.store as? ObjectStore else { return }
        let scope = try place.scope()
        let backups = try (0..<3).map { try place.add($0, to: scope) }
        try store.writer(for: scope).delete(backups[0])
        let record = try #require(
            try store.objects.objects(below: "\(scope)/", behind: nil).map(\.key).first { $0.contains("/removed-") })
        let bytes = try store.objects.bytes(of: record, limit: 10_000).bytes
        #expect(try store.objects.remove([record]).isEmpty)
        try store.objects.create(record, Array(bytes.dropLast(2)))
        #expect(try store.list().chain.map(\.code) == [.record])
        #expect { try store.writer(for: scope).delete(backups[1]) } throws: { ($0 as? Failure)?.code == .integrity }
        #expect(try store.objects.bytes(of: record, limit: 10_000).bytes == Array(bytes.dropLast(2)))
        #expect(try store.list().backups.map(\.id) == [backups[1].id, backups[2].id])
        #expect(try store.objects.remove([record]).isEmpty)
        try store.objects.create(record, bytes)
        try store.writer(for: scope).delete(backups[1])
        #expect(try store.list().chain.isEmpty && store.list().backups.map(\.id) == [backups[2].id])
    }

    /// A store that is filled from another one, with gaps of every kind.
    @Sendable private static func absences(_ place: Place) throws {
        let scope = try place.scope()
        let backups = try (0..<6).map { try place.add($0, to: scope) }
        try place.store.writer(for: scope).delete([backups[0], backups[2]]) { _ in }
        let source = try place.store.list()
        let copy = try place.laboratory.store("\(place.name)-copy")
        let writer = try copy.writer(for: scope)
        func bring(_ indices: Int...) throws {
            for backup in indices.map({ backups[$0] }) {
                let pending = try writer.begin(backup.id)
                let file = try place.store.open(backup)
                try file.bytes(at: 0, count: file.byteCount).withUnsafeBytes { try pending.write($0) }
                try pending.publish(SidecarDocument(of: backup))
            }
        }
        try writer.note(copy.list().absent(in: scope, of: [source], leavingOut: [backups[1]]))
        try bring(5, 3, 4)
        var listing = try copy.list()
        #expect(listing.chain.isEmpty && listing.backups.map(\.id) == backups[3...].map(\.id))
        #expect(backups.map(listing.hasRemoved) == [true, true, true, false, false, false])
        #expect(try writer.nextLink(after: listing) == place.store.writer(for: scope).nextLink(after: source))
        #expect(listing.absent(in: scope, of: [source], leavingOut: []).isEmpty)
        // What was left out, or removed here, comes back.
        try writer.delete([backups[4], backups[5]]) { _ in }
        #expect(try copy.list().chain.isEmpty && copy.list().hasRemoved(backups[4]))
        try writer.takeBack([backups[1], backups[4]])
        try bring(1, 4)
        listing = try copy.list()
        #expect(listing.chain.isEmpty && listing.backups.map(\.id) == [1, 3, 4].map { backups[$0].id })
        #expect(backups.map(listing.hasRemoved) == [true, false, true, false, false, true])
        try writer.delete(backups[1])
        listing = try copy.list()
        #expect(listing.chain.isEmpty && listing.hasRemoved(backups[1]) && listing.backups.count == 2)
    }

    @Sendable private static func oneWriter(_ place: Place) throws {
        let writer = try place.store.writer(for: place.scope())
        #expect { _ = try place.store.writer(for: place.scope()) } throws: { ($0 as? Failure)?.code == .locked }
        _ = try place.store.writer(for: place.scope("cp-1"))
        withExtendedLifetime(writer) {}
    }

    @Sendable private static func numbersGoOn(_ place: Place) throws {
        let scope = try place.scope()
        let first = try place.add(0, to: scope)
        let second = try place.add(1, to: scope)
        #expect(second.sidecar.sequence == 2)
        #expect(second.sidecar.previousSidecarSHA256 == first.sidecarSHA256)
        let again = try place.laboratory.store(place.name)
        let link = try again.writer(for: scope).nextLink(after: again.list())
        #expect(link.sequence == 3 && link.previousSidecarSHA256 == second.sidecarSHA256)
        // Who may not list knows what this host has written.
        if place.store is ObjectStore {
            #expect(try again.writer(for: scope).nextLink(after: StoreListing()) == link)
        }
    }

    @Sendable private static func orphans(_ place: Place) throws {
        let scope = try place.scope()
        let backup = try place.add(0, to: scope)
        try place.removeSidecar(of: backup)
        let writer = try place.store.writer(for: scope)
        #expect(try place.store.list().backups.isEmpty)
        #expect(try place.store.open(backup.id, in: scope).byteCount == backup.sidecar.object.size)
        try writer.adopt(SidecarDocument(of: backup))
        #expect(try place.store.list().backups.first?.sidecarBytes == backup.sidecarBytes)
        #expect(throws: Failure.self) { try writer.adopt(SidecarDocument(of: backup)) }
    }

    /// Archives that never had a sidecar go; those that lost theirs stay.
    @Sendable private static func abandoned(_ place: Place) throws {
        guard let store = place.store as? ObjectStore else { return }
        let scope = try place.scope()
        for second in [10, 20] { try place.add(second, to: scope) }
        let lost = try place.add(30, to: scope)
        try place.add(40, to: scope)
        let upload = try store.objects.begin("\(scope)/\(place.steps.id(50)).tar.zst.age", byteCount: nil) { _ in }
        try [UInt8](repeating: 1, count: 17 << 20).withUnsafeBytes { try upload.write($0) }
        let unpublished = [5, 15, 45].map { place.steps.id($0) }
        for id in unpublished {
            let pending = try store.writer(for: scope).begin(id)
            try [1, 2, 3].withUnsafeBytes { try pending.write($0) }
            _ = try pending.stored()
        }
        try place.removeSidecar(of: lost)
        #expect(try store.list().unpublished.count == 4)
        #expect(try store.removeAbandoned(cluster: nil, node: nil, before: .distantPast).isEmpty)
        let removed = try store.removeAbandoned(cluster: "prod", node: nil, before: .distantFuture)
        #expect(removed.count == 3, "\(removed)")
        let after = try store.list()
        #expect(after.unpublished.map(\.backup.id) == [lost.id, unpublished[2]])
        #expect(after.backups.count == 3)
        upload.discard()
    }

    @Sendable private static func sidecarAlone(_ place: Place) throws {
        let scope = try place.scope()
        let backup = try place.add(0, to: scope)
        let kept = try place.add(1, to: scope)
        try place.removeArchive(of: backup)
        let listing = try place.store.list()
        #expect(listing.backups.map(\.id) == [kept.id])
        let damaged = try #require(listing.unreadable.first)
        #expect(damaged.id == backup.id && damaged.failure.code == .integrity)
        try place.store.writer(for: scope).remove(damaged)
        let after = try place.store.list()
        #expect(after.unreadable.isEmpty && after.chain.isEmpty && after.backups.count == 1)
    }
}

extension StorePromise.Place {
    /// Removes an object behind the store's back.
    fileprivate func remove(_ key: String) throws {
        if let objects = store as? ObjectStore {
            #expect(try objects.objects.remove([key]).isEmpty)
        } else {
            try run("rm", ["\(store.name)/\(key)"])
        }
    }

    fileprivate func removeSidecar(of backup: StoredBackup) throws {
        try remove("\(backup.scope)/\(backup.sidecarName)")
    }

    fileprivate func removeArchive(of backup: StoredBackup) throws {
        try remove("\(backup.scope)/\(backup.archiveName)")
    }
}

/// A promise of places of objects.
private struct ObjectPromise: Sendable {
    let name: String
    let check: @Sendable (any ObjectStorage) throws -> Void
    /// Whether it is promised of remotes of rclone too.
    var isOfRclone = true

    static let all: [ObjectPromise] = [
        ObjectPromise(name: "created-once", check: createdOnce),
        ObjectPromise(name: "one-of-eight", check: oneOfEight, isOfRclone: false),
        ObjectPromise(name: "pages", check: pages, isOfRclone: false),
        ObjectPromise(name: "missing", check: missing),
        ObjectPromise(name: "uploads-are-ended", check: uploadsAreEnded, isOfRclone: false),
    ]

    @Sendable private static func createdOnce(_ objects: any ObjectStorage) throws {
        try objects.create("a/b/c.json", [1, 2, 3])
        #expect { try objects.create("a/b/c.json", [4]) } throws: { ($0 as? ObjectError)?.kind == .exists }
        let (object, bytes) = try objects.bytes(of: "a/b/c.json", limit: 10)
        #expect(bytes == [1, 2, 3] && object.byteCount == 3)
        #expect(try objects.object("a/b/c.json")?.byteCount == 3)
        #expect(try objects.objects(below: "a/", behind: nil).first?.tag == object.tag)
        #expect(throws: (any Error).self) { try objects.bytes(of: "a/b/c.json", limit: 2) }
    }

    @Sendable private static func oneOfEight(_ objects: any ObjectStorage) throws {
        let winners = Mutex<[UInt8]>([])
        DispatchQueue.concurrentPerform(iterations: 8) { index in
            if (try? objects.create("race", [UInt8(index)])) != nil { winners.withLock { $0.append(UInt8(index)) } }
        }
        let won = winners.withLock { $0 }
        #expect(won.count == 1)
        #expect(try objects.bytes(of: "race", limit: 1).bytes == won)
    }

    @Sendable private static func pages(_ objects: any ObjectStorage) throws {
        let keys = (0..<1100).map { "c\($0 % 3)/n-\($0 % 5)/\($0 * 7919 % 1100).json" }
        DispatchQueue.concurrentPerform(iterations: keys.count) { index in
            do { try objects.create(keys[index], [0]) } catch { Issue.record(error) }
        }
        let sorted = keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        #expect(try objects.objects(below: "", behind: nil).map(\.key) == sorted)
        #expect(try objects.objects(below: "c1/", behind: nil).map(\.key) == sorted.filter { $0.hasPrefix("c1/") })
        #expect(try objects.directories(below: "") == ["c0", "c1", "c2"])
        #expect(try objects.directories(below: "c2/") == ["n-0", "n-1", "n-2", "n-3", "n-4"])
        #expect(try objects.remove(keys).isEmpty)
        #expect(try objects.objects(below: "", behind: nil).isEmpty)
    }

    @Sendable private static func missing(_ objects: any ObjectStorage) throws {
        #expect(try objects.object("no/such/thing") == nil)
        #expect { _ = try objects.bytes(of: "no/such/thing", limit: 10) } throws: {
            ($0 as? ObjectError)?.kind == .absent
        }
        #expect(try objects.remove(["no/such/thing", "nor/this", "nor/that", "at/all"]).isEmpty)
        #expect(try objects.objects(below: "no/", behind: nil).isEmpty)
        try objects.create("some", [1, 2, 3])
        var buffer = [UInt8](repeating: 0, count: 10)
        let longer = StoredObject(key: "some", byteCount: 10)
        #expect { _ = try buffer.withUnsafeMutableBytes { try objects.read(longer, at: 0, into: $0) } } throws: {
            ($0 as? ObjectError)?.kind == .changed
        }
    }

    @Sendable private static func uploadsAreEnded(_ objects: any ObjectStorage) throws {
        let noted = Mutex<[String]>([])
        let pending = try objects.begin("x/y/z", byteCount: nil) { upload in noted.withLock { $0.append(upload) } }
        let bytes = [UInt8](repeating: 1, count: 17 << 20)
        try bytes.withUnsafeBytes { try pending.write($0) }
        let upload = try #require(noted.withLock { $0.last })
        #expect(!upload.isEmpty)
        try objects.removeLeftover(of: "x/y/z", upload: upload)
        #expect(throws: (any Error).self) { _ = try pending.finish() }
        pending.discard()
        try objects.removeLeftover(of: "x/y/z", upload: upload)
        #expect(try objects.removeLeftovers(below: "", before: .distantFuture).isEmpty)
        #expect(try objects.objects(below: "", behind: nil).isEmpty)
    }
}

/// Random bytes; these functions work on memory, for tests are not optimised.
private func randomBytes(_ count: Int, _ generator: inout SeededGenerator) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
        let raw = UnsafeMutableRawBufferPointer(buffer)
        var offset = 0
        while offset < count {
            withUnsafeBytes(of: generator.next()) { word in
                let part = min(word.count, count - offset)
                UnsafeMutableRawBufferPointer(rebasing: raw[offset..<offset + part])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: word[..<part]))
                offset += part
            }
        }
        initialized = count
    }
}

private func isEqual(_ left: [UInt8], _ right: ArraySlice<UInt8>) -> Bool {
    left.count == right.count
        && left.withUnsafeBytes { left in
            right.withUnsafeBytes { right in
                guard let first = left.baseAddress, let second = right.baseAddress else { return left.isEmpty }
                return memcmp(first, second, left.count) == 0
            }
        }
}
