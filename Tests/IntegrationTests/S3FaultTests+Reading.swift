import Foundation
import Synchronization
import TestSupport
import Testing

extension Integration {
    /// What goes wrong while a store is listed, read or cleared.
    @Suite(.serialized) struct S3ReadingFaultTests {
        typealias Fault = FaultProxy.Fault

        @Test func aRestoreGoesOn() throws {
            let store = try S3TestStore(Laboratory.shared().bulkServer(.v3_5))
            _ = try store.makeBackupID()
            let archive = FaultProxy.Match("GET", key: ".age")
            for (place, fault) in [
                Fault.refuse(503, "SlowDown", fields: ["Retry-After": "1"]), .resetInResponse(after: 50_000),
                .resetInRequest(after: 0), .stall(after: 0), .answer(502, body: ""),
            ].enumerated() {
                var match = archive
                match.skip = place
                store.proxy.inject(fault, into: match)
            }
            store.proxy.inject(.resetInResponse(after: 100), into: .init("GET", key: ".json"))
            store.proxy.inject(.refuse(500, "InternalError"), into: .list())
            let target = store.directory.file("restored")
            try run("rm", ["-rf", store.directory.file("cache")])
            let result = try store.attempt(
                ["restore", "latest", "-i", store.key.path, "--target", target] + store.flags())
            #expect(result.status == 0, "\(result.errorText)")
            #expect(store.proxy.faultyRequests.count == 7)
        }

        /// Pages of the database are asked for by several threads at once, while windows are read ahead.
        @Test func aLargeDatabaseIsInspected() throws {
            let store = try S3TestStore(Laboratory.shared().bulkServer(.v3_5))
            _ = try store.makeBackupID()
            for _ in 0..<3 {
                let result = try store.attempt(
                    ["inspect", "status", "latest", "-i", store.key.path, "-o", "json"] + store.flags(isDirect: true))
                #expect(try result.status == 0 && JSON(result.output).liveKeys.int > 0, "\(result.errorText)")
            }
        }

        @Test func anArchiveIsReadBack() throws {
            let store = try S3TestStore(Laboratory.shared().bulkServer(.v3_5))
            store.proxy.inject(.resetInResponse(after: 50_000), into: .init("GET", key: ".age", skip: 1))
            store.proxy.inject(.refuse(503, "SlowDown"), into: .init("GET", key: ".age", skip: 4))
            try store.expectOneGoodBackup(["--verify", "stored"])
            #expect(store.proxy.faultyRequests.count == 2)
        }

        /// Bytes that were changed on the way are never taken for those that were stored.
        @Test func damageOnTheWayIsFound() throws {
            let store = try S3TestStore(Laboratory.shared().bulkServer(.v3_5))
            let id = try store.makeBackupID()
            store.proxy.inject(.damageResponse(at: 10_000), into: .init("GET", key: ".age", skip: 3, count: nil))
            let result = try store.attempt(["verify", id, "-i", store.key.path] + store.flags())
            #expect(result.status == 7 && result.errorText.contains(id), "\(result.errorText)")
            store.proxy.reset()
            #expect(try store.attempt(["verify", id, "-i", store.key.path] + store.flags()).status == 0)
        }

        /// Pages of three keys: the second begins between the sidecar and the archive of a backup.
        ///
        /// - Parameter isCached: whether the sidecars are known, so that none is found missing when it is read.
        @Test(arguments: [true, false])
        func aBackupIsDeletedBetweenTwoPages(isCached: Bool) throws {
            let store = try S3TestStore(Laboratory.shared().server(.v3_5))
            let ids = try (0..<3).map { _ in try store.makeBackupID() }.sorted()
            if isCached { _ = try store.listed() } else { try run("rm", ["-rf", store.directory.file("cache")]) }
            let pageCount = Mutex(0)
            store.proxy.inject(
                .rewrite { head in
                    let page = pageCount.withLock { count in
                        count += 1
                        return count
                    }
                    // Past the cache of the run that is under way.
                    let other = ["CACHE_DIRECTORY": store.directory.file("other")]
                    if page == 2 {
                        _ = try? SnapTool.attempt(
                            ["delete", ids[1], "--yes"] + store.flags(isDirect: true),
                            environment: store.environment.merging(other) { $1 })
                    }
                    head.startLine = head.startLine.replacingOccurrences(of: "max-keys=1000", with: "max-keys=3")
                    S3Client.signAgain(&head)
                    return nil
                }, into: .list(count: nil))
            let result = try store.attempt(["list", "-o", "json"] + store.flags())
            #expect(result.status == 0, "\(result.errorText)")
            #expect(try JSON(result.output).array.map(\.archive.id.string).sorted() == [ids[0], ids[2]])
            #expect(pageCount.withLock { $0 } > 1)
        }

        /// What says which backups were removed is written anew by each removal.
        @Test func aBackupIsDeletedBeforeTheRemovalsAreRead() throws {
            let store = try S3TestStore(Laboratory.shared().server(.v3_5))
            let ids = try (0..<3).map { _ in try store.makeBackupID() }.sorted()
            let delete = { @Sendable (id: String) in
                try SnapTool.attempt(
                    ["delete", id, "--yes"] + store.flags(isDirect: true),
                    environment: store.environment.merging(["CACHE_DIRECTORY": store.directory.file("other")]) { $1 })
            }
            #expect(try delete(ids[0]).status == 0)
            let record = try #require(try store.client.keys(store.scope).first { $0.contains("/removed-") })
            let isDeleted = Mutex(false)
            store.proxy.inject(
                .first {
                    let result = try? delete(ids[1])
                    isDeleted.withLock { $0 = result?.status == 0 }
                }, into: .init("GET", key: record))
            let result = try store.attempt(["list", "-o", "json"] + store.flags())
            #expect(isDeleted.withLock { $0 } && result.status == 0, "\(result.errorText)")
            #expect(try JSON(result.output).array.map(\.archive.id.string) == [ids[2]])
        }

        @Test func aBackupAppearsBetweenTwoPages() throws {
            let store = try S3TestStore(Laboratory.shared().server(.v3_5))
            let ids = try (0..<2).map { _ in try store.makeBackupID() }.sorted()
            let pageCount = Mutex(0)
            store.proxy.inject(
                .rewrite { head in
                    let page = pageCount.withLock { count in
                        count += 1
                        return count
                    }
                    if page == 2 { _ = try? store.makeBackupID() }
                    head.startLine = head.startLine.replacingOccurrences(of: "max-keys=1000", with: "max-keys=3")
                    S3Client.signAgain(&head)
                    return nil
                }, into: .list(count: nil))
            let result = try store.attempt(["list", "-o", "json"] + store.flags())
            #expect(result.status == 0, "\(result.errorText)")
            #expect(Set(try JSON(result.output).array.map(\.archive.id.string)).isSuperset(of: ids))
        }

        /// The answer to a removal of many says that it succeeded, and in its body what failed.
        @Test func someOfManyCanNotBeDeletedAtOnce() throws {
            let store = try S3TestStore(Laboratory.shared().server(.v3_5))
            let ids = try (0..<4).map { _ in try store.makeBackupID() }
            let error = "<Error><Key>\(store.scope)\(ids[1]).json</Key><Code>InternalError</Code></Error>"
            let deleted = ids.filter { $0 != ids[1] }.map { "<Deleted><Key>\(store.scope)\($0).json</Key></Deleted>" }
            let body = "<DeleteResult>\(deleted.joined())\(error)</DeleteResult>"
            // Those that the answer calls deleted are.
            store.proxy.inject(
                .replaceAnswer(200, fields: ["Content-Type": "application/xml"], body: body),
                into: .init("POST", query: "delete"))
            store.proxy.inject(.loseAnswer, into: .init("POST", query: "delete", skip: 1))
            let result = try store.attempt(["delete", "--yes"] + ids + store.flags())
            #expect(result.status == 0, "\(result.errorText)")
            #expect(store.proxy.faultyRequests.count == 2)
            #expect(try store.listed() == [])
            #expect(try store.client.keys(store.scope).filter { !$0.contains("/removed-") } == [])
        }
    }
}
