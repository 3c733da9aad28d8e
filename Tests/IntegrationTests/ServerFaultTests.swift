import Foundation
import TestSupport
import Testing

extension Integration {
    /// The member dies, stands still or is cut off in the middle of a snapshot.
    @Suite struct ServerFaultTests {
        /// Places in the stream, from the first message to the last megabytes that no buffer between can hide.
        private static let places = [100_000, 5_000_000, 25_000_000, 45_000_000]

        @Test(arguments: EtcdVersion.installed)
        func theServerIsKilled(_ version: EtcdVersion) throws {
            let directory = try TemporaryDirectory()
            let data = try Laboratory.shared().copyBulkData(to: directory.file("data"))
            let pki = try Laboratory.shared().pki()
            for place in version == .v3_5 ? Self.places : [Self.places[1]] {
                let server = try EtcdServer.start(version, pki: pki, flags: ["--data-dir=\(data)"])
                defer { server.kill() }
                let store = try TestStore(server)
                let valve = try Valve(to: server.clientPort, limit: place)
                defer { valve.close() }
                let backup = try SnapTool.start(store.backup(port: valve.port))
                try valve.waitUntilHeld { backup.isRunning }
                server.kill()
                valve.open()
                expectFailure(try backup.wait(), 1, naming: "https://127.0.0.1:\(valve.port)", "bytes")
                try store.expectEmpty()
                let restarted = try EtcdServer.start(version, pki: pki, flags: ["--data-dir=\(data)"])
                defer { restarted.kill() }
                try TestStore(restarted, root: store.root).expectNextRunSucceeds()
            }
        }

        @Test func theConnectionIsCut() throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_4))
            for place in Self.places {
                let valve = try Valve(to: store.server.clientPort, limit: place)
                let backup = try SnapTool.start(store.backup(port: valve.port))
                try valve.waitUntilHeld { backup.isRunning }
                valve.close()
                expectFailure(try backup.wait(), 1, naming: "127.0.0.1:\(valve.port)", "bytes")
                try store.expectEmpty()
            }
            try store.expectNextRunSucceeds()
        }

        @Test(arguments: EtcdVersion.installed)
        func theServerStandsStill(_ version: EtcdVersion) throws {
            let directory = try TemporaryDirectory()
            let data = try Laboratory.shared().copyBulkData(to: directory.file("data"))
            let server = try EtcdServer.start(
                version, pki: Laboratory.shared().pki(), flags: ["--data-dir=\(data)"])
            defer { server.kill() }
            let store = try TestStore(server)
            let valve = try Valve(to: server.clientPort, limit: 10_000_000)
            defer { valve.close() }
            let backup = try SnapTool.start(store.backup(port: valve.port, ["--stall-timeout", "2s"]))
            try valve.waitUntilHeld { backup.isRunning }
            try server.pause()
            valve.open()
            expectFailure(try backup.wait(seconds: 60), 1, naming: "127.0.0.1:\(valve.port)", "stalled", "bytes")
            try store.expectEmpty()
            // Paused from the start it gives no snapshot either.
            let paused = try SnapTool.attempt(store.backup(["--dial-timeout", "2s"]), seconds: 60)
            expectFailure(paused, 1, naming: "127.0.0.1:\(server.clientPort)")
            server.resume()
            try store.expectNextRunSucceeds()
        }

        @Test func theWholeTakesTooLong() throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_5))
            let valve = try Valve(to: store.server.clientPort, limit: 10_000_000)
            defer { valve.close() }
            let result = try SnapTool.attempt(store.backup(port: valve.port, ["--timeout", "2s"]), seconds: 60)
            expectFailure(result, 1, naming: "127.0.0.1:\(valve.port)", "bytes")
            try store.expectEmpty()
        }

        @Test(arguments: EtcdVersion.installed)
        func anotherMemberTakesOver(_ version: EtcdVersion) throws {
            let servers = try EtcdServer.startCluster(version, memberCount: 3, pki: Laboratory.shared().pki())
            defer { for server in servers { server.kill() } }
            try servers[0].fill(mebibytes: 24)
            let store = try TestStore(servers[0])
            let valves = try servers.map { try Valve(to: $0.clientPort, limit: 6_000_000) }
            defer { for valve in valves { valve.close() } }
            let endpoints = valves.map { "https://127.0.0.1:\($0.port)" }
            var arguments = store.backup(["-o", "json"])
            arguments[4] = endpoints.joined(separator: ",")
            let backup = try SnapTool.start(arguments)
            let chosen = try chosenMember(backup, valves)
            try valves[chosen].waitUntilHeld { backup.isRunning }
            for (index, valve) in valves.enumerated() where index != chosen { valve.open() }
            servers[chosen].kill()
            valves[chosen].open()

            let result = try backup.wait()
            #expect(result.status == 0, "\(result.errorText)")
            #expect(result.errorText.contains("\(endpoints[chosen]): it is a follower"))
            #expect(result.errorText.contains("trying the next endpoint"), "\(result.errorText)")
            #expect(try store.names().count == 2)
            try SnapTool.run(["verify", "-i", store.key.path] + store.flags)
            let record = try SnapTool.json(["describe", "-i", store.key.path] + store.flags).manifest.etcd[0]
            #expect(record.endpoint.string != endpoints[chosen] && endpoints.contains(record.endpoint.string))
            #expect(record.members.array.count == 3)
            // With a member gone the next run says so and takes another one.
            arguments[4] = servers.map(\.clientURL).joined(separator: ",")
            let next = try SnapTool.attempt(arguments)
            #expect(next.status == 0, "\(next.errorText)")
            #expect(next.errorText.contains("no snapshot from \(servers[chosen].clientURL)"), "\(next.errorText)")
        }

        private func chosenMember(_ backup: RunningCommand, _ valves: [Valve]) throws -> Int {
            let end = ContinuousClock.now + .seconds(60)
            while backup.isRunning, ContinuousClock.now < end {
                let text = backup.errorText
                if let index = valves.firstIndex(where: { text.contains("snapshot from https://127.0.0.1:\($0.port)") })
                {
                    return index
                }
                usleep(2000)
            }
            throw TestSupportError("no member was chosen: \(backup.errorText)")
        }
    }
}
