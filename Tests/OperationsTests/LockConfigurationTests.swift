import ArchiveStore
import Foundation
import HostIO
import Testing

@testable import Operations

@Suite struct LockConfigurationTests {
    private func opening(_ lock: Configuration.Lock?) -> StoreOpening {
        StoreOpening(s3: .init(), lock: lock, variables: [:], isRoot: false, observer: Observer())
    }

    private func opening(_ lock: String) throws -> StoreOpening {
        let text = "store: s3://bucket/p\nlock: \(lock)\n"
        return opening(try Configuration.parse(Array(text.utf8), name: "config.yaml").lock)
    }

    @Test func aBucketIsAskedForIt() throws {
        #expect(try opening("{mode: compliance, days: 30}").open(.s3("s3://bucket/p")).lockDays == 30)
        #expect(try opening(nil as Configuration.Lock?).open(.s3("s3://bucket/p")).lockDays == nil)
    }

    @Test(arguments: [
        ("{mode: forever, days: 3}", "forever"), ("{mode: governance, days: 0}", "0 days"),
        ("{mode: governance, days: 36501}", "36501 days"),
    ])
    func whatCanNotBeIsRefused(lock: String, name: String) throws {
        let opening = try opening(lock)
        let error = #expect(throws: Failure.self) { _ = try opening.open(.s3("s3://bucket/p")) }
        #expect(error?.code == .usage && error?.message.contains(name) == true && error?.hint != nil)
    }

    @Test(arguments: ["{mode: governance}", "{days: 3}", "{mode: governance, days: 3, until: never}", "governance"])
    func sectionsThatAreIncompleteAreRefused(lock: String) throws {
        let error = #expect(throws: Failure.self) { _ = try opening(lock) }
        let description = String(describing: error)
        #expect(error?.code == .usage && ["lock", "mode", "days"].contains { description.contains($0) })
    }

    /// Who asks for a lock that nobody would hold is told so before anything is written.
    @Test(arguments: [StoreLocation.directory("/var/lib/etcd-snap"), .rclone("rclone:far:etcd")])
    func placesThatKnowNoLocksRefuse(location: StoreLocation) throws {
        let opening = try opening("{mode: governance, days: 3}")
        let error = #expect(throws: Failure.self) { _ = try opening.open(location) }
        #expect(error?.code == .usage && error?.message.contains("can't be locked") == true)
    }

    @Test func aLockWithoutChecksumsIsRefused() throws {
        var opening = try opening("{mode: governance, days: 3}")
        opening.s3.checksums = false
        let error = #expect(throws: Failure.self) { _ = try opening.open(.s3("s3://bucket/p")) }
        #expect(error?.code == .usage && error?.hint?.contains("checksums: false") == true)
    }

    @Test func ofSeveralStoresEachSaysItItself() throws {
        func set(_ text: String) throws -> StoreSet? {
            let configuration = try Configuration.parse(Array(text.utf8), name: "config.yaml")
            return try configuration.storeSet { section in
                try opening(section.lock).open(StoreLocation(section.location))
            }
        }
        let lock = "{mode: governance, days: 3}"
        let stores = "stores:\n- {name: here, location: /a/b}\n- {name: far, location: s3://bucket/p, lock: \(lock)}\n"
        #expect(try #require(try set(stores)).stores.map(\.store.lockDays) == [nil, 3])
        let error = #expect(throws: Failure.self) { _ = try set(stores + "lock: \(lock)\n") }
        #expect(error?.code == .usage && error?.hint?.contains("section") == true)
    }
}
