import Foundation
import HostIO
import TestSupport
import Testing

@testable import ArchiveStore

/// What a real rclone does otherwise than one would think.
@Suite(.serialized, .timeLimit(.minutes(45))) struct RcloneTrapTests {
    /// `cat` gives what there is and ends with status 0.
    @Test(arguments: [RcloneRemoteKind.local, .openSSH], RcloneRelease.allCases)
    func rangesThatAreShortAreNoticed(kind: RcloneRemoteKind, release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(kind, release)
        let storage = try laboratory.storage()
        try storage.create("c/n/x", noise(1000))
        let object = try #require(try storage.object("c/n/x"))
        truncate(laboratory.files + "/c/n/x", 900)
        #expect(try storage.range(object, 0, 500) == Array(noise(1000).prefix(500)))
        #expect(try objectError { _ = try storage.range(object, 500, 500) }.kind == .changed)
        #expect(try objectError { _ = try storage.range(object, 950, 10) }.kind == .changed)
        unlink(laboratory.files + "/c/n/x")
        #expect(try objectError { _ = try storage.range(object, 0, 10) }.kind == .absent)
    }

    /// In an object store a name without an object is an empty directory, and reading it gives nothing, with status 0.
    @Test(arguments: RcloneRelease.allCases)
    func whatAnObjectStoreDoesNotHaveIsAbsent(release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(.s3, release)
        let storage = try laboratory.storage()
        try storage.create("c/n/x", [1])
        let gone = StoredObject(key: "c/n/y", byteCount: 10)
        #expect(try objectError { _ = try storage.range(gone, 0, 10) }.kind == .absent)
        #expect(try objectError { _ = try storage.bytes(of: "c/n/y", limit: 10) }.kind == .absent)
        #expect(try storage.object("c/n") == nil)
        #expect(try storage.object("c") == nil)
        try storage.create("c/n/empty", [])
        #expect(try storage.bytes(of: "c/n/empty", limit: 10).bytes == [])
    }

    /// A directory is listed as far as it can be read; the list ends all the same.
    @Test(arguments: RcloneRelease.allCases)
    func aListThatIsNotWholeIsAnError(release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(.local, release)
        for key in ["a/n/1", "b/n/1", "z/n/1"] { try laboratory.storage().create(key, [1]) }
        try run("chmod", ["-R", "a+rX", laboratory.scratch.path])
        try run("chmod", ["0", laboratory.files + "/b"])
        var settings = laboratory.settings
        settings.executable = try laboratory.wrapper(
            "exec setpriv --reuid=65534 --clear-groups --inh-caps=-all --bounding-set=-all \(release.path) \"$@\"")
        let error = try objectError { _ = try laboratory.storage(settings).objects(below: "", behind: nil) }
        #expect(error.kind == .denied, "\(error)")
        // So is one of a directory that goes while it is read, which rclone calls a directory that is not there.
        let listing = try laboratory.wrapper(
            "if [ \"$1\" = lsjson ]; then printf '[\\n{\"Path\":\"a\",\"Size\":1,\"IsDir\":false}\\n'; exit 3; fi\n"
                + "exec \(release.path) \"$@\"", name: "cut")
        settings.executable = listing
        #expect(
            try objectError { _ = try laboratory.storage(settings).objects(below: "", behind: nil) }.retry == .later)
    }

    /// A directory under the key of an object is neither removed nor the object.
    @Test(arguments: everyRemote.filter(\.0.hasFiles))
    func directoriesAreNoObjects(kind: RcloneRemoteKind, release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(kind, release)
        let storage = try laboratory.storage()
        try storage.create("c/n/x/inner", [1])
        #expect(try storage.object("c/n/x") == nil)
        #expect(try storage.remove(["c/n/x", "c/n"]).isEmpty)
        #expect(try laboratory.everything() == ["c/n/x/inner"])
    }

    /// Variables of rclone's own change what it does: with this one it does nothing, successfully.
    ///
    /// They are set in a process of their own: in this one every rclone that other tests start, servers too, would inherit them.
    @Test(arguments: RcloneRelease.allCases)
    func theEnvironmentIsNotRclones(release: RcloneRelease) async throws {
        let laboratory = try RcloneLaboratory(.local, release)
        let names = laboratory.scratch.file("names")
        let wrapper = try laboratory.wrapper("env | cut -d= -f1 >> \(names); exec \(release.path) \"$@\"")
        let location = try laboratory.storage().location.description
        await #expect(processExitsWith: .success) {
            [
                location = location as String,
                config = laboratory.configFile as String, wrapper = wrapper as String
            ] in
            setenv("RCLONE_DRY_RUN", "true", 1)
            setenv("RCLONE_IMMUTABLE", "true", 1)
            setenv("ETCD_SNAP_SECRET", "canary", 1)
            var settings = RcloneSettings()
            settings.configFile = config
            settings.executable = wrapper
            let storage = try RcloneStorage(RcloneLocation(location), settings)
            try storage.create("c/n/x", [1, 2])
            #expect(try storage.bytes(of: "c/n/x", limit: 2).bytes == [1, 2])
        }
        #expect(try laboratory.everything() == ["c/n/x"])
        let seen = Set(
            try String(contentsOfFile: names, encoding: .utf8).split(separator: "\n").map(String.init))
        let allowed: Set = [
            "PATH", "LC_ALL", "TZ", "HOME", "XDG_CONFIG_HOME", "RCLONE_CONFIG", "SSH_AUTH_SOCK", "SSL_CERT_FILE",
            "SSL_CERT_DIR", "PWD", "SHLVL", "_", "OLDPWD",
        ]
        #expect(seen.contains("PATH") && seen.contains("HOME"))
        #expect(seen.filter { !$0.lowercased().hasSuffix("_proxy") }.isSubset(of: allowed), "\(seen)")
    }

    /// A remote may be made of another that is described there; rclone prints all of it when a connection fails.
    @Test(arguments: RcloneRelease.allCases)
    func obscuredPasswordsAreNotShown(release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(.local, release)
        let port = try EtcdServer.freePorts(1)[0]
        let secret = laboratory.obscuredPassword
        for (name, description) in [
            ("plain", ":sftp,host=127.0.0.1,port=\(port),user=me,pass=\(secret):backups"),
            ("quoted", ":sftp,host=127.0.0.1,port=\(port),user=me,pass=\"\(secret)\":backups"),
        ] {
            try laboratory.configure(["type": "chunker", "remote": description], name: name)
            let real = try laboratory.rclone(["lsf", "\(name):x", "--retries=1"], allowsFailure: true)
            #expect(real.status == 1 && real.errorText.contains(secret), "it shows no password: \(real.errorText)")
            let storage = try laboratory.storage(remote: name)
            let error = try objectError { try storage.checkReachable() }
            #expect(!"\(error)".contains(secret) && !error.failure.description.contains(secret), "\(error)")
            #expect(error.failure.message.contains("pass=…") && error.failure.message.contains("127.0.0.1"))
            #expect(error.failure.message.contains("connection refused") && error.retry == .later)
        }
    }

    /// What is stored is compared with what was sent, by a digest where the remote has them.
    @Test(arguments: [RcloneRemoteKind.local, .openSSH], RcloneRelease.allCases)
    func whatIsChangedOnItsWayIsNoticed(kind: RcloneRemoteKind, release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(kind, release)
        let storage = try laboratory.storage()
        #expect(try storage.remote().digest != nil)
        let pending = try storage.begin("c/n/x", byteCount: nil) { _ in }
        try pending.write(noise(6_000_000))
        let hidden = try waitForHiddenFile(laboratory)
        let file = try #require(FileHandle(forWritingAtPath: hidden))
        try file.write(contentsOf: Data(repeating: 7, count: 1000))
        try file.close()
        let error = try objectError { _ = try pending.finish() }
        #expect(error.kind == .failed && error.failure.message.contains("c/n/x"), "\(error)")
        #expect(try storage.object("c/n/x") == nil)
        pending.discard()
        #expect(try laboratory.everything() == [])
    }

    /// Our own look, where rclone itself saw nothing: it only compares sizes with what it can't hash.
    @Test(arguments: RcloneRelease.allCases)
    func ourOwnComparisonCounts(release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(.local, release)
        var settings = laboratory.settings
        // Changed, made shorter, or removed after rclone has ended well.
        for (name, damage, word) in [
            ("changed", "printf x | dd of=\"$f\" conv=notrunc 2>/dev/null", "sha256"),
            ("short", "truncate -s 5 \"$f\"", "5 bytes"), ("gone", "rm \"$f\"", "is not in"),
        ] {
            settings.executable = try laboratory.wrapper(
                """
                \(release.path) "$@" || exit
                if [ "$1" = rcat ]; then f=${2#far:}; \(damage); fi
                """, name: name)
            let storage = try laboratory.storage(settings)
            let error = try objectError { try storage.create("c/n/x", Array("all of it".utf8)) }
            #expect(error.failure.message.contains(word), "\(error)")
            #expect(try laboratory.everything() == [])
        }
    }

    /// `moveto` onto an object that is there says nothing; an answer that is lost proves nothing.
    @Test(arguments: RcloneRelease.allCases)
    func whatIsThereAfterARenameCounts(release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(.local, release)
        var settings = laboratory.settings
        settings.executable = try laboratory.wrapper(
            "\(release.path) \"$@\" || exit; [ \"$1\" != moveto ] || exit 5", name: "lost")
        try laboratory.storage(settings).create("c/n/x", [1])
        settings.executable = try laboratory.wrapper(
            "[ \"$1\" != moveto ] || exit 5; exec \(release.path) \"$@\"", name: "none")
        let storage = try laboratory.storage(settings)
        let error = try objectError { try storage.create("c/n/y", [1]) }
        #expect(error.kind == .failed && error.retry == .later)
        #expect(try laboratory.everything() == ["c/n/x"])
    }

    /// A remote that takes no streams has each archive written to a file of this host; it is where the settings say.
    @Test(arguments: RcloneRelease.allCases)
    func spooledArchivesAreWhereTheyMayBe(release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(.webDAV, release)
        var settings = laboratory.settings
        let directory = laboratory.scratch.file("spool")
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        settings.temporaryDirectory = directory
        let storage = try laboratory.storage(settings)
        #expect(try storage.capabilities().shortcomings.contains(.spools))
        let pending = try storage.begin("c/n/x", byteCount: nil) { _ in }
        try pending.write(noise(3_000_000))
        var names: [String] = []
        for _ in 0..<100 where names.isEmpty {
            usleep(50_000)
            names = try FileManager.default.contentsOfDirectory(atPath: directory)
        }
        #expect(!names.isEmpty)
        pending.discard()
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == [])
        // A small one goes straight there.
        settings.temporaryDirectory = "/nonexistent"
        try laboratory.storage(settings).create("c/n/y", noise(200_000))
        #expect(try laboratory.everything() == ["c/n/y"])
    }

    /// A full disk there.
    @Test(arguments: RcloneRelease.allCases)
    func aFullRemoteIsSaid(release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(.local, release)
        try FileManager.default.createDirectory(atPath: laboratory.files, withIntermediateDirectories: true)
        try run("mount", ["-t", "tmpfs", "-o", "size=1m", "none", laboratory.files])
        defer { _ = try? run("umount", ["--lazy", laboratory.files]) }
        let storage = try laboratory.storage()
        #expect(try #require(try storage.availableByteCount()) <= 1 << 20)
        let pending = try storage.begin("c/n/x", byteCount: nil) { _ in }
        let error = try objectError {
            for _ in 0..<100 { try pending.write(noise(200_000)) }
            _ = try pending.finish()
        }
        #expect(error.failure.code == .noSpace, "\(error)")
        pending.discard()
        #expect(try laboratory.everything() == [])
    }
}

private func waitForHiddenFile(_ laboratory: RcloneLaboratory) throws -> String {
    for _ in 0..<200 {
        let directory = laboratory.files + "/c/n"
        for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        where name.hasPrefix(HiddenName.prefix) {
            let path = "\(directory)/\(name)"
            let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int ?? 0
            if size > 1_000_000 { return path }
        }
        usleep(50_000)
    }
    throw TestSupportError("nothing is being written")
}

extension RcloneLaboratory {
    /// A program that runs in rclone's place.
    func wrapper(_ script: String, name: String = "wrapper") throws -> String {
        try program(script, named: name, in: scratch)
    }
}

/// Writes a script that can be run.
///
/// Another process puts it there: one that is started while this one writes a file can't be run itself (`ETXTBSY`).
func program(_ script: String, named name: String, in scratch: TemporaryDirectory) throws -> String {
    let text = try scratch.write("#!/bin/sh\n\(script)\n", to: name + ".text")
    try run("install", ["-m", "755", text, scratch.file(name)])
    return scratch.file(name)
}
