import Foundation
import TestSupport
import Testing

/// Several stores of one node, as a configuration has them.
struct SeveralStores {
    let directory: TemporaryDirectory
    let server: EtcdServer
    let key: Laboratory.Key
    let names: [String]
    let configuration: String

    /// - Parameter more: further lines of the configuration; `retention` of a store by its name.
    init(
        _ server: EtcdServer, _ names: [String] = ["local", "offsite", "usb"], quorum: Int? = nil, more: String = "",
        retention: [String: String] = [:], locations: [String: String] = [:]
    ) throws {
        directory = try TemporaryDirectory()
        self.server = server
        self.names = names
        key = try Laboratory.shared().key()
        let directory = directory
        let stores = names.map { name in
            "- {name: \(name), location: \(locations[name] ?? directory.file(name))"
                + "\(retention[name].map { ", retention: \($0)" } ?? "")}\n"
        }
        configuration = try directory.write(
            "discover: false\nhostFacts: false\ncluster: test\nnode: node\nstores:\n\(stores.joined())"
                + "\(quorum.map { "quorum: \($0)\n" } ?? "")\(more)", to: "config.yaml")
    }

    func path(_ store: String) -> String { directory.file(store) }

    /// Runs a command with the configuration.
    func attempt(_ arguments: [String]) throws -> CommandResult {
        try SnapTool.attempt(arguments + ["--config", configuration])
    }

    func backupArguments(port: UInt16? = nil) -> [String] {
        ["backup", "-r", key.recipient, "--config", configuration] + server.flags(port: port)
    }

    /// Makes a backup, and returns its report.
    @discardableResult
    func makeBackup(status: Int32 = 0) throws -> JSON {
        let result = try SnapTool.attempt(backupArguments() + ["-o", "json"])
        #expect(result.status == status, "\(result.errorText)")
        return try JSON(result.output)
    }

    /// The IDs of the backups in a store, which nothing is wrong with.
    func ids(_ store: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> [String] {
        let result = try attempt(["list", "--store", store, "-o", "json"])
        #expect([0, 4].contains(result.status), "\(result.errorText)", sourceLocation: sourceLocation)
        return try JSON(result.output).array.map(\.archive.id.string)
    }

    /// Puts a file where a store would be, so that it can't be used.
    func takeDown(_ store: String) throws {
        let manager = FileManager.default
        if manager.fileExists(atPath: path(store)) {
            try manager.moveItem(atPath: path(store), toPath: path("\(store).away"))
        }
        try Data().write(to: URL(fileURLWithPath: path(store)))
    }

    /// Undoes that.
    func bringBack(_ store: String) throws {
        let manager = FileManager.default
        try manager.removeItem(atPath: path(store))
        if manager.fileExists(atPath: path("\(store).away")) {
            try manager.moveItem(atPath: path("\(store).away"), toPath: path(store))
        }
    }
}

extension Integration {
    /// A backup goes to several stores, and what one of them lacks comes later.
    @Suite(.timeLimit(.minutes(45))) struct SeveralStoresTests {
        @Test func everyStoreHasTheSameAndEtcdIsReadOnce() throws {
            let stores = try SeveralStores(Laboratory.shared().bulkServer(.v3_5))
            let valve = try Valve(to: stores.server.clientPort)
            defer { valve.close() }
            let result = try SnapTool.attempt(stores.backupArguments(port: valve.port) + ["-o", "json"])
            #expect(result.status == 0, "\(result.errorText)")
            let report = try JSON(result.output)
            let databaseSize = try #require(report.sidecar.etcd.array.first?.databaseSize.int)
            #expect(valve.passedByteCount < databaseSize * 5 / 4, "\(valve.passedByteCount) of \(databaseSize)")
            #expect(report.stores.array.map(\.store.string) == stores.names)
            let paths = report.stores.array.map(\.path.string)
            #expect(paths.allSatisfy { $0.hasSuffix(".tar.zst.age") })
            for path in paths.dropFirst() {
                try run("cmp", [paths[0], path])
                try run("cmp", [paths[0], path].map { $0.replacing(".tar.zst.age", with: ".json") })
                try SnapTool.run(["verify", path, "-i", stores.key.path])
            }
            let listed = try JSON(stores.attempt(["list", "-o", "json"]).output)
            #expect(listed.array.map { $0.stores.array.map(\.string) } == [stores.names])
            let text = try stores.attempt(["list"]).text
            #expect(text.contains("STORES") && text.contains("local,offsite,usb"), "\(text)")
        }

        @Test func aStoreThatIsDownIsNamedAndGetsItLater() throws {
            let stores = try SeveralStores(Laboratory.shared().server(.v3_5))
            try stores.makeBackup()
            try stores.takeDown("offsite")
            let report = try stores.makeBackup(status: 3)
            #expect(report.findings.array.map(\.code.string) == ["store-failed"])
            #expect(report.findings.array.map(\.subject.string) == ["offsite"])
            #expect(report.stores.array.map { $0.error.string != "" } == [false, true, false])
            try stores.makeBackup(status: 3)
            let all = try stores.ids("local")
            #expect(try all.count == 3 && stores.ids("usb") == all)
            // What can't be read is told, and the list is not whole.
            #expect(try stores.attempt(["list"]).status == 1)
            try stores.bringBack("offsite")
            #expect(try stores.ids("offsite") == [all[0]])
            let doctor = try stores.attempt(["doctor", "-r", stores.key.recipient] + stores.server.flags())
            #expect(doctor.text.contains("it lacks 2 backups"), "\(doctor.text)")
            try stores.makeBackup()
            for name in stores.names { #expect(try stores.ids(name).count == 4) }
            let checks = try JSON(
                stores.attempt(["doctor", "-r", stores.key.recipient, "-o", "json"] + stores.server.flags()).output
            ).checks.array.filter { $0.name.string.hasPrefix("store") }
            #expect(checks.map(\.name.string) == stores.names.map { "store \($0)" })
            #expect(checks.map(\.status.string) == ["ok", "ok", "ok"])
        }

        /// Numbers go on over all stores, whichever is the first that works.
        @Test func theNextStoreIsTheFirstWhereThatIsDown() throws {
            let stores = try SeveralStores(Laboratory.shared().server(.v3_5))
            try stores.makeBackup()
            try stores.takeDown("local")
            let report = try stores.makeBackup(status: 3)
            #expect(report.path.string.hasPrefix(stores.path("offsite")))
            #expect(report.sidecar.sequence.int == 2)
            #expect(report.findings.array.map(\.subject.string) == ["local"])
            try stores.bringBack("local")
            let next = try stores.makeBackup()
            #expect(next.path.string.hasPrefix(stores.path("local")) && next.sidecar.sequence.int == 3)
            let all = try stores.ids("local")
            #expect(try all.count == 3 && stores.ids("offsite") == all)
        }

        /// Where another store refuses connections for minutes, and is tried again all the while, or says nothing to them.
        @Test(arguments: [false, true]) func theFirstStoreDoesNotWaitForAnother(isSilent: Bool) throws {
            let silent = isSilent ? try SilentServer() : nil
            let port = try silent?.port ?? EtcdServer.freePorts(1)[0]
            let directory = try TemporaryDirectory()
            let credentials = try directory.write(
                "[default]\naws_access_key_id = admin\naws_secret_access_key = secret\n", to: "credentials")
            try run("chmod", ["600", credentials])
            let stores = try SeveralStores(
                Laboratory.shared().server(.v3_5), ["local", "away"],
                more: "s3: {endpoint: \"http://127.0.0.1:\(port)\", region: us-east-1, credentials: \(credentials)}\n",
                locations: ["away": "s3://backups/nodes"])
            let backup = try SnapTool.start(
                stores.backupArguments(), environment: ["STATE_DIRECTORY": directory.file("state")])
            defer { backup.signal(SIGKILL) }
            var isThere = false
            for _ in 0..<200 where !isThere {
                usleep(250_000)
                isThere =
                    try FileManager.default.fileExists(atPath: stores.path("local")) && stores.ids("local").count == 1
            }
            #expect(isThere)
            backup.signal(SIGTERM)
            let result = try backup.wait(seconds: 60)
            #expect(result.errorText.contains("is published in local; it "), "\(result.errorText)")
        }

        @Test func theQuorumDecides() throws {
            let stores = try SeveralStores(Laboratory.shared().server(.v3_5), quorum: 2)
            try stores.takeDown("offsite")
            let report = try stores.makeBackup(status: 3)
            try stores.takeDown("usb")
            let result = try SnapTool.attempt(stores.backupArguments())
            expectFailure(result, 9, naming: "1 of 3 stores", "quorum is 2", "local has it", "offsite: ", "usb: ")
            // It stays where it is.
            #expect(try stores.ids("local").count == 2)
            let dryRun = try SnapTool.attempt(stores.backupArguments() + ["--dry-run"])
            expectFailure(dryRun, dryRun.status, naming: "2 of 3 stores", "offsite: ", "usb: ")
            #expect(dryRun.status != 0)
            for name in ["offsite", "usb"] { try stores.bringBack(name) }
            #expect(try stores.attempt(["sync"]).status == 0)
            for name in stores.names { #expect(try stores.ids(name).count == 2) }
            #expect(try stores.ids("usb").first == report.sidecar.archive.id.string)
        }

        @Test func everyStoreDown() throws {
            let stores = try SeveralStores(Laboratory.shared().server(.v3_5))
            for name in stores.names { try stores.takeDown(name) }
            let result = try SnapTool.attempt(stores.backupArguments())
            expectFailure(result, result.status, naming: "local: ", "offsite: ", "usb: ")
            #expect(result.status != 0)
        }

        /// A store that fills up while the archive is written is left alone, and the next one is the first.
        @Test func aStoreThatFillsUp() throws {
            let full = try TemporaryDirectory()
            try shell("mount -t tmpfs -o size=20m none \"$1\"", full.path)
            defer { _ = try? run("umount", ["--lazy", full.path], allowsFailure: true) }
            let stores = try SeveralStores(
                Laboratory.shared().bulkServer(.v3_5), ["local", "offsite"], locations: ["local": full.file("store")])
            let result = try SnapTool.attempt(stores.backupArguments() + ["-o", "json"])
            #expect(result.status == 3, "\(result.errorText)")
            #expect(result.errorText.contains("beginning again in the next"), "\(result.errorText)")
            let report = try JSON(result.output)
            #expect(report.path.string.hasPrefix(stores.path("offsite")))
            #expect(report.findings.array.map(\.subject.string) == ["local"])
            #expect(try stores.ids("offsite").count == 1 && stores.ids("local").isEmpty)
        }

        @Test func readersTakeTheFirstStoreThatHasIt() throws {
            let stores = try SeveralStores(Laboratory.shared().server(.v3_5))
            let first = try stores.makeBackup().sidecar.archive.id.string
            try stores.takeDown("local")
            let second = try stores.makeBackup(status: 3).sidecar.archive.id.string
            try stores.bringBack("local")
            // The latest is not the latest of the first store.
            let latest = try stores.attempt(["describe", "latest", "-o", "json"])
            #expect(try JSON(latest.output).sidecar.archive.id.string == second)
            #expect(latest.errorText.contains("from the store offsite"), "\(latest.errorText)")
            #expect(try stores.attempt(["verify", second, "-i", stores.key.path]).status == 0)
            let old = try stores.attempt(["describe", first])
            #expect(old.status == 0 && old.errorText.contains("from the store local"))
            #expect(try stores.attempt(["describe", second, "--store", "local"]).status == 4)
            #expect(try stores.attempt(["describe", second, "--store", "usb"]).status == 0)
            #expect(try stores.attempt(["describe", second, "--store", stores.path("usb")]).status == 0)
            let nowhere = try stores.attempt(["describe", "20200101T000000Z-aaaaaa"])
            expectFailure(nowhere, 4, naming: "local", "offsite", "usb")
            // A store that is damaged is passed over, and that is said.
            try run("truncate", ["-s", "-1", "\(stores.path("offsite"))/test/node/\(second).tar.zst.age"])
            let other = try stores.attempt(["verify", second])
            #expect(other.status == 0 && other.errorText.contains("offsite: "), "\(other.errorText)")
        }

        /// A removal is of one store, which is named, and the others don't bring it back.
        @Test func whatIsDeletedInOneStoreStaysAway() throws {
            let stores = try SeveralStores(Laboratory.shared().server(.v3_5))
            let id = try stores.makeBackup().sidecar.archive.id.string
            try stores.makeBackup()
            expectFailure(try stores.attempt(["delete", id, "--yes"]), 2, naming: "local, offsite, usb")
            #expect(try stores.attempt(["delete", id, "--yes", "--store", "offsite"]).status == 0)
            try stores.makeBackup()
            let sync = try stores.attempt(["sync"])
            #expect(sync.status == 0 && sync.text.contains("1 removed there before"), "\(sync.text)")
            #expect(try !stores.ids("offsite").contains(id) && stores.ids("usb").contains(id))
            #expect(try stores.attempt(["sync", "--to", "offsite", "--include-removed"]).status == 0)
            #expect(try stores.ids("offsite").contains(id))
        }

        @Test func everyStoreIsPrunedByItsOwnRules() throws {
            let stores = try SeveralStores(
                Laboratory.shared().server(.v3_5), more: "retention: {keepLast: 3, floor: 1}\n",
                retention: ["local": "{keepLast: 2, floor: 1}", "usb": "{keepLast: unlimited}"])
            for _ in 0..<4 { try stores.makeBackup() }
            let dryRun = try JSON(stores.attempt(["prune", "--dry-run", "-o", "json"]).output)
            #expect(dryRun.array.map(\.store.string) == stores.names)
            #expect(dryRun.array.map(\.removed.array.count) == [2, 1, 0])
            let one = try JSON(stores.attempt(["prune", "--store", "offsite", "-o", "json"]).output)
            #expect(one.removed.array.count == 1 && one.store.string == "offsite")
            let all = try stores.attempt(["prune"])
            #expect(all.status == 0 && all.text.contains("local:\n"), "\(all.errorText)")
            #expect(try stores.names.map { try stores.ids($0).count } == [2, 3, 4])
            // What the rules have removed does not come back with the next run, nor with a synchronisation.
            try stores.makeBackup()
            #expect(try stores.attempt(["sync"]).status == 0)
            #expect(try stores.names.map { try stores.ids($0).count } == [3, 4, 5])
            try stores.takeDown("offsite")
            let broken = try stores.attempt(["prune"])
            #expect(broken.status != 0 && broken.errorText.contains("offsite: "), "\(broken.errorText)")
            #expect(try stores.ids("local").count == 2)
        }

        @Test func wrongConfigurations() throws {
            let directory = try TemporaryDirectory()
            for (text, words) in [
                ("store: /a\nstores: [{name: a, location: /a}]", "stores"), ("stores: []", "stores"),
                ("quorum: 1", "quorum"), ("stores: [{name: a, location: /a}]\nquorum: 2", "out of range"),
                ("stores: [{name: a, location: /a}, {name: a, location: /b}]", "two stores"),
                ("stores: [{name: a, location: /a}, {name: b, location: /a/}]", "where \"a\" is"),
                ("stores: [{name: a/b, location: /a}]", "a/b"), ("stores: [{name: a}]", "location"),
                ("stores: [{name: a, location: /a, locatoin: /b}]", "locatoin"),
                ("stores: [{name: a, location: /a, retention: {keepLsat: 3}}]", "keepLsat"),
                ("stores: [{name: a, location: 's3:x'}]", "s3:x"),
            ] {
                let file = try directory.write(text, to: "wrong.yaml")
                expectFailure(try SnapTool.attempt(["list", "--config", file]), 2, naming: words)
            }
        }
    }
}
