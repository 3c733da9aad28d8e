import HostIO
import SealedArchive
import SystemPackage

/// What capturing files came to.
public struct CaptureReport: Sendable {
    /// The number of regular files captured.
    public var fileCount = 0
    /// Their size in bytes.
    public var byteCount = 0
    /// The number of regular files of each role.
    public var fileCounts: [String: Int] = [:]
    /// What was met and not taken.
    public var skipped: [SkippedPath] = []
    /// What needs attention.
    public var findings: [Finding] = []

    /// The report of a capture that has not begun.
    public init() {}
}

extension CaptureWalk {
    /// Notes that an entry is left out.
    func skip(_ path: [UInt8], _ reason: String) {
        report.skipped.append(SkippedPath(path: path, reason: reason))
    }

    /// Notes that an entry can't be had.
    func find(_ error: SystemCallError, _ path: String) {
        let code: String
        switch error.errno {
        case .noSuchFileOrDirectory: code = "file-missing"
        case .tooManySymbolicLinkLevels: code = "link-loop"
        default: code = "file-unreadable"
        }
        find(.error, code, path, error.description, error.failure.hint)
    }

    func find(_ severity: Finding.Severity, _ code: String, _ subject: String, _ message: String, _ advice: String?) {
        report.findings.append(Finding(severity, code: code, subject: subject, message: message, advice: advice))
    }
}
