import HostIO
import Operations

/// The words about flags: how each setting that a hint speaks of is named on the command line.
enum Flags {
    /// The flags by the names of ``Failure/Setting``.
    static let names: [String: String] = [
        "endpoints": "--endpoints", "authority": "--cacert", "clientCertificate": "--cert", "clientKey": "--key",
        "serverName": "--server-name", "user": "--user", "passwordFile": "--password-file",
        "totalTimeout": "--timeout",
        "store": "--store", "cluster": "--cluster", "node": "--node",
        "recipient": "-r", "recipientsFile": "-R", "identity": "-i", "passphraseFile": "--passphrase-file",
        "snapshotName": "--name", "snapshot": "--etcd", "skipHashCheck": "--skip-hash-check",
        "root": "--root", "force": "--force",
        "allMembers": "--all-members", "initialCluster": "--initial-cluster",
        "initialClusterToken": "--initial-cluster-token",
        "initialAdvertisePeerURLs": "--initial-advertise-peer-urls",
        "bumpRevision": "--bump-revision", "owner": "--owner", "noBump": "--no-bump",
        "minimumLevel": "--min-level", "keepData": "--keep-data",
        "evenIfRunning": "--even-if-running", "evenIfElsewhere": "--even-if-elsewhere", "planID": "--plan-id",
        "confirmation": "--yes",
        "retention": "--keep-last", "restoreSelection": "--only",
        "etcdProgram": "--etcd", "apiServerProgram": "--kube-apiserver", "scratch": "--scratch", "plan": "--plan",
        "survivorEtcd": "--etcd-program", "databaseAlone": "--database-alone", "snapshotFile": "--snapshot",
        "snapshotOutput": "--snapshot-out",
        "s3Endpoint": "--s3-endpoint", "s3Region": "--s3-region", "s3Authority": "--s3-ca",
        "s3Credentials": "--s3-credentials", "s3Profile": "--s3-profile",
    ]

    /// A hint with the flags that it speaks of behind it.
    static func adding(_ settings: [Failure.Setting], to hint: String) -> String {
        let flags = settings.compactMap { names[$0.name] }
        return flags.isEmpty ? hint : "\(hint) (\(flags.joined(separator: ", ")))"
    }
}

extension Failure {
    /// The hint as it is shown, with flags.
    var shownHint: String? { hint.map { Flags.adding(settings, to: $0) } }

    /// Message and hint on one line.
    var line: String { description + (shownHint.map { " (\($0))" } ?? "") }
}

extension DoctorReport {
    /// The report with the flags in its advice.
    var withFlags: DoctorReport {
        var report = self
        for index in checks.indices {
            report.checks[index].advice = checks[index].advice.map { Flags.adding(checks[index].settings, to: $0) }
        }
        return report
    }
}
