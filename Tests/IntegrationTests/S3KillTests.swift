import Foundation
import TestSupport
import Testing

extension Integration {
    /// The program is killed at random points of an upload.
    @Suite(.serialized) struct S3KillTests {
        /// `ETCD_SNAP_KILLS` sets another number, for a longer look.
        private static let count = number("ETCD_SNAP_KILLS") ?? 24
        private static let seed = number("ETCD_SNAP_KILL_SEED").map { UInt64($0) } ?? 11

        private static func number(_ variable: String) -> Int? {
            ProcessInfo.processInfo.environment[variable].flatMap { Int($0) }
        }

        /// Every second is killed when a number of requests were made, so that beginnings and ends, which are short, are
        /// hit as often as parts; the others at any moment.
        @Test func killsAtRandomPointsOfAnUpload() throws {
            // What was aborted keeps its room for a while.
            let server = try S3Client.startServer(volumes: (100 + 2 * Self.count, 64))
            defer { server.stop() }
            let store = try S3TestStore(Laboratory.shared().bulkServer(.v3_5), server: server)
            let start = ContinuousClock.now
            var good = [try store.makeBackupID()]
            let length = (ContinuousClock.now - start) / .microseconds(1)
            var random = SeededGenerator(seed: Self.seed)
            var tally = (begun: 0, uploads: 0, published: 0, orphans: 0)
            for number in 0..<Self.count {
                store.proxy.reset()
                let backup = try store.start(store.backup())
                if number.isMultiple(of: 2) {
                    let requestCount = Int.random(in: 1...14, using: &random)
                    while backup.isRunning, store.proxy.requests.count < requestCount { usleep(200) }
                    usleep(UInt32.random(in: 0...100_000, using: &random))
                } else {
                    usleep(UInt32.random(in: 0...UInt32(length * 1.05), using: &random))
                }
                backup.signal(SIGKILL)
                _ = try backup.wait()
                // What was under way at that moment comes to the server after it.
                store.proxy.waitForEndOfConnections()
                // Nothing that was there is gone, and what is there is whole.
                let listed = try store.listed()
                #expect(Set(listed).isSuperset(of: good) && listed.count <= good.count + 1, "kill \(number)")
                tally.published += listed.count - good.count
                good = listed
                let uploads = try store.client.uploads(store.scope)
                #expect(uploads.count <= 1, "kill \(number)")
                tally.uploads += uploads.count
                if !store.proxy.requests.isEmpty { tally.begun += 1 }
            }
            let result = try store.attempt(store.backup())
            #expect(result.status == 0, "\(result.errorText)")
            let ids = try store.listed()
            #expect(ids.count == good.count + 1)
            #expect(try store.client.uploads(store.scope) == [] && store.notes() == [])
            let keys = try store.client.keys(store.scope)
            // A sidecar has its archive; an archive without one is not listed, and is for `prune`.
            #expect(keys.filter { $0.hasSuffix(".json") } == ids.map { "\(store.scope)\($0).json" })
            #expect(Set(keys).isSuperset(of: ids.map { "\(store.scope)\($0).tar.zst.age" }))
            tally.orphans = keys.filter { $0.hasSuffix(".age") }.count - ids.count
            let list = try store.attempt(["list", "-v"] + store.flags())
            #expect(
                list.errorText.contains("not published: \(tally.orphans)") == (tally.orphans > 0), "\(list.errorText)")
            let problems = try JSON(store.attempt(["list", "--problems", "-o", "json"] + store.flags()).output).array
            #expect(
                problems.count == tally.orphans && problems.allSatisfy { $0.message.string.contains("interrupted") })
            #expect(tally.uploads > Self.count / 10, "\(tally)")
            for id in ids.suffix(3) {
                #expect(try store.attempt(["verify", id, "-i", store.key.path] + store.flags()).status == 0)
            }
            print("kills: \(Self.count), \(tally), \((ContinuousClock.now - start).components.seconds) s")
        }
    }
}
