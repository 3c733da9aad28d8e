import Foundation
import HostIO
import TestSupport
import Testing

@testable import ArchiveStore

/// Locations, messages and names: no program is run.
@Suite struct RcloneTextTests {
    @Test(arguments: [
        ("rclone:far:backups/etcd", "far", "backups/etcd"), ("rclone:far:/srv/backups/", "far", "/srv/backups"),
        ("rclone:far:", "far", ""), ("RCLONE:far:x//", "far", "x"),
        ("rclone:my remote:a b/c:d", "my remote", "a b/c:d"),
        ("rclone:a.b+c@d_e-f:x", "a.b+c@d_e-f", "x"), ("rclone:far:/", "far", "/"), ("rclone:bücher:x", "bücher", "x"),
    ])
    func locations(text: String, remote: String, path: String) throws {
        let location = try RcloneLocation(text)
        #expect(location.remote == remote && location.path == path)
        #expect(try RcloneLocation(location.description) == location)
    }

    @Test func targets() throws {
        #expect(try RcloneLocation("rclone:far:a").target("b/c") == "far:a/b/c")
        #expect(try RcloneLocation("rclone:far:a").target("") == "far:a")
        #expect(try RcloneLocation("rclone:far:").target("b") == "far:b")
        #expect(try RcloneLocation("rclone:far:/").target("b") == "far:/b")
    }

    @Test(arguments: [
        "rclone", "rclone:", "rclone:far", "rclone:/srv/x", "rclone:far/x:y", "rclone::x", "rclone:-far:x",
        "rclone: far:x",
        "rclone:far :x", "rclone:f*r:x", "rclone:far:a//b", "rclone:far:../x", "rclone:far:a/./b", "rclone:far:a/..",
        "rclone:far:a\nb", "rclone:far\u{7}:x", "s3://bucket", "/srv/store", "", "rclone:far://x",
        "rclone:far:\(String(repeating: "a", count: 1025))", "rclone:\(String(repeating: "a", count: 256)):x",
        "rclone:far:a\u{202E}b",
    ])
    func locationsThatAreNone(text: String) throws {
        let failure = try #require(throws: Failure.self) { try RcloneLocation(text) }
        #expect(failure.code == .usage && failure.hint != nil)
    }

    @Test(arguments: [
        "rclone::sftp,host=h,pass=OBSCURED:x", "rclone:far,pass=OBSCURED:x", "rclone::sftp,pass='OBSCURED':",
        "rclone::s3,secret_access_key=OBSCURED:bucket", "rclone::local:/x", "rclone::sftp:x",
        "rclone:far,pass=OBSCURED",
    ])
    func descriptionsOfRemotesAreRefused(text: String) throws {
        let failure = try #require(throws: Failure.self) { try RcloneLocation(text) }
        #expect(failure.code == .usage && failure.message.contains("instead of naming one"))
        #expect(!failure.description.contains("OBSCURED") && failure.hint?.contains("OBSCURED") != true)
    }

    @Test(arguments: [
        ("2026/11/27 06:25:06 Failed to lsjson: directory not found\n", "Failed to lsjson: directory not found"),
        (
            "2026/11/27 06:25:06 ERROR : x: y\n2026/11/27 06:25:06 NOTICE: Failed to cat with 2 errors: last error was: z\n",
            "z"
        ),
        ("2026/11/27 06:25:06 CRITICAL: Failed to create: w\ncaused by: q\n", "Failed to create: w"),
        ("2026/11/27 06:25:06 ERROR : a: b\n2026/11/27 06:25:07 NOTICE: c\n", "a: b"),
        ("plain\u{1B}[31m\n", "plain\u{FFFD}[31m"),
    ])
    func reasons(text: String, reason: String) { #expect(RcloneMessage.reason(in: text) == reason) }

    @Test func reasonsAreShort() {
        #expect(RcloneMessage.reason(in: "\n \n") == nil)
        #expect(RcloneMessage.reason(in: "") == nil)
        #expect(RcloneMessage.reason(in: String(repeating: "x", count: 9000))?.count == 301)
    }

    @Test(arguments: [
        #"Failed to create file system for ":sftp,host=h,user=u,pass=CANARY:x/y": dial"#,
        #"for ":sftp,host=h,pass=\"CANARY,x\":x": refused"#, #"for ":sftp,pass=\"a\"\"CANARY\":x": refused"#,
        #"for ":sftp,pass='a CANARY':x": refused"#, "https://me:CANARY@host/x: 401", "pass=CANARY",
        "https://a.blob.core.windows.net/c?sv=2020&sig=CANARY%3D&se=1: 403", "Authorization: Bearer CANARY.x-y",
        "authorization: basic CANARY==", #"oauth2: {"access_token":"CANARY","x":1}"#,
        #"body "{\"refresh_token\": \"CANARY\"}""#, #"{"client_secret" : "a\"CANARY"}"#, "secret_access_key=CANARY,",
        "sas_url=https://x/y?sig=CANARY&se=2", "option key_pem=-----CANARY-----",
    ])
    func secretsAreLeftOut(text: String) {
        let shown = withoutRemoteSecrets(withoutSecrets(text))
        #expect(!shown.contains("CANARY") && shown.contains("…"), "\(shown)")
        #expect(RcloneMessage.reason(in: text)?.contains("CANARY") == false)
    }

    @Test(arguments: [
        "dial tcp 127.0.0.1:22: connect: connection refused", "a = b", "host=h,port=22", "status=403", "", "=", "x=",
        #"{"error":"invalid_grant"}"#, "x == y",
    ])
    func othersStay(text: String) { #expect(withoutRemoteSecrets(text) == text) }

    @Test(arguments: [
        (
            "immutable blob: This operation is not permitted as the blob is immutable due to a policy", 1,
            ObjectError.Kind.locked(until: nil), Failure.Code.failed, ObjectError.Retry.never
        ),
        (
            "googleapi: Error 403: Object is subject to bucket's retention policy", 1, .locked(until: nil), .failed,
            .never
        ),
        ("write: no space left on device", 1, .failed, .noSpace, .never),
        ("googleapi: Error 403: storageQuotaExceeded", 1, .failed, .noSpace, .never),
        ("couldn't connect SSH: ssh: handshake failed: knownhosts: key mismatch", 1, .failed, .untrusted, .never),
        ("ssh: unable to authenticate, attempted methods [none publickey]", 1, .denied, .untrusted, .never),
        ("AccessDenied: Access Denied status code: 403", 1, .denied, .failed, .never),
        ("didn't find section in config file", 1, .failed, .usage, .never),
        ("dial tcp: lookup h: no such host", 1, .failed, .failed, .later),
        ("directory not found", 3, .absent, .notFound, .never), ("object not found", 4, .absent, .notFound, .never),
        ("something new", 1, .failed, .failed, .later), ("something new", 2, .failed, .failed, .later),
        ("something new", 5, .failed, .failed, .later), ("something new", 6, .failed, .failed, .never),
        ("something new", 7, .failed, .failed, .never),
    ])
    func errors(text: String, status: Int, kind: ObjectError.Kind, code: Failure.Code, retry: ObjectError.Retry) {
        let error = RcloneError(
            action: "do \"x\"", place: "rclone:far:y", end: .status(status),
            errorText: "2026/11/27 06:25:06 ERROR : \(text)\n"
        ).objectError(afterSeconds: 1)
        #expect(error.kind == kind && error.failure.code == code && error.retry == retry, "\(error)")
        #expect(error.failure.message.hasPrefix("cannot do \"x\" in rclone:far:y: rclone says: "))
        #expect(error.failure.message.contains(text) && error.failure.message.contains("status \(status)"))
    }

    /// Newer versions say so of every sftp remote without known hosts, whatever else happens.
    @Test func whatIsOnlyNoticedIsNoReason() {
        let notice =
            "2026/11/27 06:25:06 NOTICE: far: No host key validation is being performed. Set known_hosts_file\n"
        let error = RcloneError(
            action: "do", place: "p", end: .status(1),
            errorText: notice + "2026/11/27 06:25:06 ERROR : x: permission denied\n" + notice
        ).objectError(afterSeconds: 1)
        #expect(error.kind == .denied && error.failure.message.contains("x: permission denied"), "\(error)")
        #expect(RcloneMessage.reason(in: notice) == nil)
    }

    @Test func hiddenNames() throws {
        let date = Date(timeIntervalSince1970: 1_795_761_000.7)
        let key = HiddenName(at: date).key(beside: "c/n/x.json")
        #expect(key.wholeMatch(of: #/c/n/\.partial-20261127T063000Z-[0-9a-f]{12}/#) != nil, "\(key)")
        #expect(HiddenName(ofKey: key)?.startedAt == Date(timeIntervalSince1970: 1_795_761_000))
        #expect(HiddenName.isPart(of: key) && !HiddenName.isPart(of: "c/n/x.partial-y"))
        #expect(HiddenName(at: date).key(beside: "x").hasPrefix(".partial-"))
        for other in ["c/n/x", "c/.partial-x", "c/.partial-20261127T063000Z", ".partial-20261327T063000Z-a", ""] {
            #expect(HiddenName(ofKey: other) == nil, "\(other)")
        }
    }

    @Test(
        arguments: [
            ("2026-11-27T06:25:06.673515450Z", 1_795_760_706), ("2026-11-27T06:25:06Z", 1_795_760_706),
            ("2026-11-27T08:25:06.5+02:00", 1_795_760_706), ("0001-01-01T00:00:00Z", nil),
            ("2000-01-01T00:00:00.000000000Z", nil),
            ("yesterday", nil), ("", nil), ("2026-11-27", nil),
        ] as [(String, Double?)])
    func times(text: String, seconds: Double?) { #expect(rcloneTime(text)?.timeIntervalSince1970 == seconds) }

    @Test func listsInPieces() throws {
        let lines = (0..<1000).map {
            #"{"Path":"k\#($0)","Size":\#($0),"ModTime":"2026-11-27T06:25:06Z","IsDir":false}"#
        }
        let text = Array("[\n\(lines.joined(separator: ",\n"))\n]\n".utf8)
        for step in [1, 7, 4096, text.count] {
            var listing = RcloneListing()
            for start in stride(from: 0, to: text.count, by: step) {
                try text[start..<min(start + step, text.count)].withUnsafeBytes { try listing.append($0) }
                #expect(listing.isComplete == (start + step >= text.count))
            }
            #expect(listing.entries.map(\.path) == (0..<1000).map { "k\($0)" })
            #expect(listing.entries.map(\.byteCount) == Array(0..<1000))
        }
    }
}
