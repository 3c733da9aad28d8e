import HostIO

/// A run of rclone that did not do what it was for, as an ``ObjectError``.
struct RcloneError {
    /// What was being done, as a verb phrase with its object: `read "a/b.json"`.
    var action: String
    /// The place, as people call it.
    var place: String
    /// How the program ended; nil if it was ended because it took too long.
    var end: ChildProcess.End?
    /// What it wrote to standard error.
    var errorText: String

    /// Words by which servers and rclone's backends say the same, in lower case; the first group that fits counts.
    private static let groups: [(meaning: Meaning, words: [String])] = [
        (
            .locked,
            [
                "immutable", "object lock", "objectlocked", "legal hold", "legalhold", "retention policy",
                "retentionpolicy", "under active",
            ]
        ),
        (
            .noSpace,
            [
                "no space left", "insufficient storage", "insufficientstorage", "quota exceeded", "quotaexceeded",
                "storagequota", "disk quota", "no_space_on_filesystem", "507 insufficient",
            ]
        ),
        (
            .hostKey,
            ["knownhosts:", "host key", "key is unknown", "x509:", "certificate signed by", "tls: failed to verify"]
        ),
        (
            .login,
            [
                "unable to authenticate", "401 unauthorized", "status code 401", "invalidaccesskeyid",
                "signaturedoesnotmatch", "authenticationfailed", "invalid_grant", "token expired",
                "couldn't decrypt", "unable to decrypt", "couldn't fetch token", "permission denied (publickey",
            ]
        ),
        (
            .denied,
            [
                "permission denied", "access denied", "accessdenied", "403 forbidden", "status code 403",
                "operation not permitted", "authorizationfailure", "authorizationpermission", "read-only file system",
                "insufficientpermission",
            ]
        ),
        (.unknownRemote, ["didn't find section in config file", "didn't find backend called"]),
        (
            .unreachable,
            [
                "connection refused", "connection reset", "no such host", "i/o timeout", "timeout", "no route to host",
                "network is unreachable", "broken pipe", "unexpected eof", "connection lost", "server misbehaving",
            ]
        ),
    ]

    private enum Meaning { case locked, noSpace, hostKey, login, denied, unknownRemote, unreachable }

    private var meaning: Meaning? {
        let text = RcloneMessage.lines(of: errorText).joined(separator: "\n").lowercased()
        return Self.groups.first { $0.words.contains { text.contains($0) } }?.meaning
    }

    /// The error for callers and people.
    func objectError(afterSeconds seconds: Int) -> ObjectError {
        let reason = RcloneMessage.reason(in: errorText)
        let message: String
        switch end {
        case nil: message = "did not end within \(seconds) s" + (reason.map { ": \($0)" } ?? "")
        case .signal(let number): message = "was ended by signal \(number)"
        case .status(let code): message = (reason ?? "it says nothing") + " (status \(code))"
        }
        let text = "cannot \(action) in \(place): rclone " + (end.isStatus ? "says: \(message)" : message)
        switch meaning {
        case .locked:
            return ObjectError(
                .locked(until: nil),
                Failure(.failed, text, hint: "a retention or a legal hold of the remote holds it: wait until it ends"))
        case .noSpace:
            return ObjectError(
                .failed, Failure(.noSpace, text, hint: "free some space there, or name another place"))
        case .hostKey:
            return ObjectError(
                .failed,
                Failure(
                    .untrusted, text,
                    hint:
                        "the server is not the one that the remote is set up for, or its key or authority is missing: "
                        + "look at known_hosts_file of an sftp remote, or at the authorities of this host"))
        case .login:
            return ObjectError(
                .denied,
                Failure(
                    .untrusted, text,
                    hint:
                        "the credentials of the remote, or the password of an encrypted configuration, are wrong or have "
                        + "expired: `rclone config` sets them"))
        case .denied:
            return ObjectError(
                .denied, Failure(.failed, text, hint: "the user of the remote has no right to that: look there"))
        case .unknownRemote:
            return ObjectError(
                .failed,
                Failure(
                    .usage, text,
                    hint:
                        "`rclone listremotes` lists the remotes of the user's configuration file; name another file if "
                        + "the remote is in that"))
        case .unreachable:
            return ObjectError(
                .failed,
                Failure(.failed, text, hint: "check the remote's host and port, and whether a firewall is between"),
                retry: .later)
        case nil: return ObjectError(kind, Failure(kind == .absent ? .notFound : .failed, text), retry: retry)
        }
    }

    /// 3 and 4: a directory or a file is missing.
    private var kind: ObjectError.Kind { end == .status(3) || end == .status(4) ? .absent : .failed }

    /// After 6 and 7 trying again is useless; 1 and 2 had each other's meaning before version 1.69.
    private var retry: ObjectError.Retry {
        switch end {
        case .status(3), .status(4), .status(6), .status(7): .never
        default: .later
        }
    }
}

extension ChildProcess.End? {
    fileprivate var isStatus: Bool { if case .status = self { true } else { false } }
}
