import Foundation
import HostIO
import TestSupport
import Testing

@testable import ArchiveStore

/// Finding rclone, its remotes and their servers, and answers that no real one gives.
@Suite(.serialized, .timeLimit(.minutes(45))) struct RcloneProgramTests {
    private let scratch: TemporaryDirectory
    private let location: RcloneLocation

    init() throws {
        scratch = try TemporaryDirectory()
        location = try RcloneLocation("rclone:far:store")
    }

    private func script(_ text: String, name: String = "rclone-script") throws -> RcloneSettings {
        var settings = RcloneSettings()
        settings.executable = try program(text, named: name, in: scratch)
        settings.operationSeconds = 2
        settings.stallSeconds = 2
        return settings
    }

    /// A program that answers all questions about the remote, and does `rest` for the others.
    private func answering(_ rest: String, bucket: Bool = false) throws -> RcloneSettings {
        try script(
            """
            case "$1" in
            version) echo 'rclone v1.75.2'; exit;;
            listremotes) echo 'far: sftp'; exit;;
            backend) echo '{"Hashes":[],"Features":{"BucketBased":\(bucket),"Move":true,"Copy":true,"PutStream":true,"About":true}}'; exit;;
            esac
            \(rest)
            """)
    }

    private func failure(_ body: () throws -> Void) throws -> Failure {
        do {
            try body()
        } catch {
            return Failure(wrapping: error)
        }
        throw TestSupportError("nothing was thrown")
    }

    // MARK: The program

    @Test func aMissingProgramIsSaid() throws {
        var settings = RcloneSettings()
        settings.executable = scratch.file("none")
        let missing = try failure { _ = try RcloneStorage(location, settings) }
        #expect(missing.code == .usage && missing.message.contains(scratch.file("none")) && missing.hint != nil)
        settings.executable = try scratch.write("no program", to: "text")
        #expect(try failure { _ = try RcloneStorage(location, settings) }.code == .usage)
        chmod(scratch.file("text"), 0o755)
        #expect(try failure { _ = try RcloneStorage(location, settings) }.message.contains("can't be run"))
    }

    @Test(arguments: [
        ("echo 'rclone v1.59.2'", "1.59"), ("echo 'rclone v0.99'", "0.99"), ("echo 'restic 0.14'", "which version"),
        ("true", "which version"), ("echo 'rclone v1.75.2'; exit 1", "which version"), ("exit 127", "which version"),
        ("echo 'rclone vx.y'", "which version"),
    ])
    func aWrongProgramIsSaid(text: String, words: String) throws {
        let failure = try failure { _ = try RcloneStorage(location, try script(text)) }
        #expect(failure.code == .usage && failure.message.contains(words) && failure.hint != nil, "\(failure)")
    }

    @Test func versionsAreRead() {
        #expect(RcloneVersion(output: "rclone v1.60.1-DEV\n- os/version: debian") == RcloneVersion(major: 1, minor: 60))
        #expect(RcloneVersion(output: "rclone v1.75.2") == RcloneVersion(major: 1, minor: 75))
        #expect(RcloneVersion(output: "rclone v2.0.0-beta.5") == RcloneVersion(major: 2, minor: 0))
        #expect(RcloneVersion(output: "rclone v1") == nil && RcloneVersion(output: "") == nil)
        #expect(RcloneVersion(major: 1, minor: 9) < .oldest && RcloneVersion(major: 2, minor: 0) > .recommended)
    }

    @Test(arguments: RcloneRelease.allCases)
    func anUnknownRemoteIsSaid(release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(.local, release)
        let unknown = try failure { try laboratory.storage(remote: "elsewhere").checkReachable() }
        #expect(unknown.code == .usage && unknown.message.contains("elsewhere"))
        #expect(unknown.message.contains(laboratory.configFile) && unknown.hint?.contains("\"far\"") == true)
        var settings = laboratory.settings
        settings.configFile = laboratory.scratch.file("none")
        #expect(try failure { _ = try laboratory.storage(settings).object("x") }.code != .notFound)
        #expect(try failure { try laboratory.storage(settings).checkReachable() }.code == .usage)
        try laboratory.configure(["type": "nonsense"], name: "odd")
        #expect(try failure { try laboratory.storage(remote: "odd").checkReachable() }.code == .usage)
    }

    @Test func settingsHaveLimits() throws {
        #expect(throws: Never.self) { try RcloneSettings().validate() }
        for change in [
            { $0.configFile = "rclone.conf" }, { $0.executable = "rclone" }, { $0.temporaryDirectory = "" },
            { $0.configPasswordFile = "/a\nb" }, { $0.stallSeconds = 0 }, { $0.connectSeconds = -1 },
            { $0.operationSeconds = 86_401 },
        ] as [(inout RcloneSettings) -> Void] {
            var settings = RcloneSettings()
            change(&settings)
            #expect(try failure { try settings.validate() }.code == .usage)
        }
    }

    @Test(arguments: RcloneRelease.allCases)
    func encryptedConfigurationsAreOpenedByAFile(release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(.local, release)
        let password = try laboratory.scratch.write("open \"sesame\"\n", to: "pass word")
        try run(
            RcloneRelease.newer.path,
            [
                "config", "encryption", "set", "--config", laboratory.configFile, "--password-command",
                "cat \"\(password)\"",
            ])
        #expect(try String(contentsOfFile: laboratory.configFile, encoding: .utf8).contains("RCLONE_ENCRYPT_V0"))
        let closed = try failure { try laboratory.storage().checkReachable() }
        #expect(closed.code == .untrusted, "\(closed)")
        var settings = laboratory.settings
        settings.configPasswordFile = password
        settings.executable = try laboratory.wrapper(
            "echo \"$@\" >> \(laboratory.scratch.file("arguments")); exec \(release.path) \"$@\"")
        let storage = try laboratory.storage(settings)
        try storage.create("c/n/x", [1])
        #expect(try storage.bytes(of: "c/n/x", limit: 1).bytes == [1])
        let arguments = try String(contentsOfFile: laboratory.scratch.file("arguments"), encoding: .utf8)
        #expect(arguments.contains("rcat") && !arguments.contains("sesame"))
    }

    // MARK: The server

    @Test(arguments: RcloneRelease.allCases)
    func theServersKeyIsLookedAtWhereItIsKnown(release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(.openSSH, release)
        let known = try laboratory.storage().capabilities()
        #expect(known.remoteType == "sftp" && known.digest == "sha1")
        #expect(!known.shortcomings.contains(.hostKeyUnchecked) && known.shortcomings.contains(.notCreateOnce))
        #expect(known.shortcomings.contains(.hostKeyUnknown) == (release == .debian))
        #expect(known.shortcomings.contains(.oldVersion) == (release == .debian))
        #expect(!known.shortcomings.contains(.noDigest) && !known.shortcomings.contains(.notAtomic))
        // Another server under the same address.
        let other = try String(contentsOfFile: laboratory.scratch.file("user.pub"), encoding: .utf8)
        try laboratory.scratch.write("[127.0.0.1]:\(laboratory.port) \(other)", to: "known_hosts")
        let error = try objectError { try laboratory.storage().checkReachable() }
        #expect(error.failure.code == .untrusted && error.retry == .never, "\(error)")
        // One that is asked nothing.
        let own = try RcloneLaboratory(.sftp, release)
        let unchecked = try own.storage().capabilities()
        #expect(unchecked.shortcomings.contains(release == .debian ? .hostKeyUnknown : .hostKeyUnchecked))
    }

    /// A server that runs no commands makes no digests.
    @Test(arguments: RcloneRelease.allCases)
    func aServerWithoutAShellHasSizesOnly(release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(.openSSH, release, hasShell: false)
        let storage = try laboratory.storage()
        try storage.create("c/n/x", noise(70_000))
        #expect(try objectError { try storage.create("c/n/x", noise(70_000)) }.kind == .exists)
        #expect(try laboratory.everything() == ["c/n/x"])
        #expect(try storage.capabilities().shortcomings.contains(.noDigest))
    }

    @Test(arguments: RcloneRelease.allCases)
    func aServerThatIsAwayIsAskedAgain(release: RcloneRelease) throws {
        let laboratory = try RcloneLaboratory(.local, release)
        let port = try EtcdServer.freePorts(1)[0]
        try laboratory.configure(
            ["type": "webdav", "url": "http://127.0.0.1:\(port)", "vendor": "other"], name: "away")
        let error = try objectError { _ = try laboratory.storage(remote: "away").object("c/n/x") }
        #expect(error.kind == .failed && error.retry == .later && error.failure.message.contains("refused"), "\(error)")
        // A password that is wrong is not.
        let server = try RcloneLaboratory(.webDAV, release)
        try server.configure(
            ["type": "webdav", "url": "http://127.0.0.1:\(server.port)", "vendor": "other", "user": "you"],
            name: "wrong")
        let denied = try objectError { _ = try server.storage(remote: "wrong").objects(below: "", behind: nil) }
        #expect(denied.kind == .denied && denied.retry == .never, "\(denied)")
    }

    @Test(arguments: RcloneRelease.allCases)
    func aWrongPasswordIsSaid(release: RcloneRelease) throws {
        let server = try RcloneLaboratory(.sftp, release)
        try server.configure(
            [
                "type": "sftp", "host": "127.0.0.1", "port": "\(server.port)", "user": "you",
                "pass": server.obscuredPassword,
            ],
            name: "wrong")
        let error = try objectError { _ = try server.storage(remote: "wrong").object("x") }
        #expect(error.kind == .denied && error.failure.code == .untrusted && error.retry == .never, "\(error)")
        #expect(!"\(error)".contains(server.obscuredPassword) && !"\(error)".contains(RcloneLaboratory.password))
    }

    @Test func capabilitiesOfOthers() throws {
        let laboratories = try [RcloneRemoteKind.s3, .local, .webDAV].map { try RcloneLaboratory($0, .newer) }
        let s3 = try laboratories[0].storage().capabilities()
        #expect(
            s3.remoteType == "s3" && s3.digest == "md5" && s3.shortcomings == [.notCreateOnce, .noLocks, .noSpaceCount])
        let local = try laboratories[1].storage().capabilities()
        #expect(local.shortcomings == [.notCreateOnce, .noLocks, .notSynced] && local.digest == "sha256")
        let dav = try laboratories[2].storage().capabilities()
        #expect(dav.shortcomings == [.notCreateOnce, .noLocks, .noDigest, .spools])
    }

    // MARK: Answers

    @Test(arguments: [
        "printf '[\\n{\"Path\":\"a\",\"Size\":1,\"IsDir\":false},\\n'",
        "printf '[\\n{\"Path\":\"a\",\"Size\":1,\"IsDir\":false}\\n'",
        "true", "echo '['", "echo ']'", "printf '[\\n]\\n]\\n'", "printf '[\\nnonsense\\n]\\n'",
        "printf '[\\n{\"Path\":\"a\"}\\n]\\n'",
        "printf '[\\n]\\nmore\\n'", "printf '[\\n] '", "head -c 300000 /dev/zero",
        "printf '[\\n{\"Path\":7,\"Size\":1,\"IsDir\":false}\\n]\\n'",
        "printf '[\\n{\"Path\":\"a\",\"Size\":1,\"IsDir\":false} {\\n]\\n'",
    ])
    func aListThatIsNoneIsAnError(text: String) throws {
        let storage = try RcloneStorage(location, try answering(text))
        let error = try objectError { _ = try storage.objects(below: "", behind: nil) }
        #expect(error.failure.message.contains("another one than expected"), "\(error)")
    }

    @Test func anEntryThatIsNoneIsAnError() throws {
        for text in ["true", "echo nonsense", "echo '{}'", "echo '[]'"] {
            let storage = try RcloneStorage(location, try answering(text))
            #expect(throws: ObjectError.self) { try storage.object("c/n/x") }
        }
        let storage = try RcloneStorage(location, try script("echo 'rclone v1.70.0'"))
        #expect(throws: ObjectError.self) { try storage.checkReachable() }
    }

    @Test func rangesAreNeverOverrun() throws {
        let object = StoredObject(key: "c/n/x", byteCount: 100)
        let much = try RcloneStorage(location, try answering("head -c 100000 /dev/zero"))
        #expect(throws: ObjectError.self) { try much.range(object, 0, 50) }
        #expect(throws: ObjectError.self) { try much.bytes(of: "c/n/x", limit: 99_999) }
        let little = try RcloneStorage(
            location, try answering("[ $1 = cat ] && echo 1 || echo '{\"Path\":\"x\",\"Size\":100,\"IsDir\":false}'"))
        #expect(try objectError { _ = try little.range(object, 0, 50) }.retry == .later)
    }

    /// One that hangs, at each step, and one that fills its standard error before it does anything.
    @Test func nothingHangs() throws {
        let settings = try answering("sleep 600 & sleep 600")
        let storage = try RcloneStorage(location, settings)
        let start = ContinuousClock.now
        let error = try objectError { _ = try storage.object("c/n/x") }
        #expect(error.retry == .later && error.failure.message.contains("did not end within 2 s"))
        #expect(throws: ObjectError.self) { try storage.objects(below: "", behind: nil) }
        let writing = try RcloneStorage(
            location, try answering("[ $1 = lsjson ] && exit 3; sleep 600", bucket: true))
        let pending = try writing.begin("c/n/x", byteCount: nil) { _ in }
        #expect(throws: ObjectError.self) { for _ in 0..<100 { try pending.write(noise(100_000)) } }
        pending.discard()
        #expect(ContinuousClock.now - start < .seconds(60))
        let loud = try RcloneStorage(
            location,
            try answering(
                "[ $1 = lsjson ] && exit 3; yes | head -c 3000000 >&2; cat >/dev/null; echo why >&2; exit 1"))
        let other = try loud.begin("c/n/x", byteCount: nil) { _ in }
        try other.write(noise(1_000_000))
        #expect(try objectError { _ = try other.finish() }.failure.message.contains("why"))
        #expect(try zombies() == [], "children are waited for")
    }

    @Test func oneThatEndsEarlyIsNoticedAtOnce() throws {
        let storage = try RcloneStorage(
            location,
            try answering("[ $1 = lsjson ] && exit 3; echo '2026/11/27 06:25:08 ERROR : x: quota exceeded' >&2; exit 1")
        )
        let pending = try storage.begin("c/n/x", byteCount: nil) { _ in }
        let error = try objectError { for _ in 0..<1000 { try pending.write(noise(100_000)) } }
        #expect(error.failure.code == .noSpace && error.failure.message.contains("x: quota exceeded"), "\(error)")
        #expect(throws: ObjectError.self) { try pending.finish() }
        pending.discard()
    }

    @Test func cancelledTasksWaitNoLonger() async throws {
        let storage = try RcloneStorage(
            location,
            try {
                var settings = try answering("sleep 600")
                settings.operationSeconds = 600
                return settings
            }())
        let start = ContinuousClock.now
        let task = Task.detached { try storage.object("c/n/x") }
        try await Task.sleep(for: .milliseconds(500))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(ContinuousClock.now - start < .seconds(300))
        #expect(try zombies() == [])
    }

    @Test func aWaitingUploadIsEndedFromAnotherThread() throws {
        var settings = try answering("[ $1 = lsjson ] && exit 3; [ $1 = rcat ] && sleep 600")
        settings.stallSeconds = 600
        let pending = try RcloneStorage(location, settings).begin("c/n/x", byteCount: nil) { _ in }
        let interrupt = try #require(pending.interruption)
        // Not a task: other tests may hold all threads that tasks have.
        Thread.detachNewThread {
            usleep(500_000)
            interrupt()
        }
        let start = ContinuousClock.now
        #expect(throws: CancellationError.self) { for _ in 0..<100 { try pending.write(noise(100_000)) } }
        #expect(ContinuousClock.now - start < .seconds(30))
        pending.discard()
        #expect(!pending.mayBeLeft)
    }

    /// Children of this process of the name of the scripts here that nobody has waited for.
    private func zombies() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { name in
            guard Int(name) != nil, let text = try? String(contentsOfFile: "/proc/\(name)/stat", encoding: .utf8) else {
                return false
            }
            return text.contains("(rclone-script) Z \(getpid()) ")
        }
    }
}
