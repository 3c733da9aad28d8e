import Certificates
import HostIO
import NodeFiles
import PKIBackup
import SealedArchive

/// What `doctor` found out about this node, its etcds and its store.
public struct DoctorReport: Codable, Sendable {
    /// Whether something works.
    public enum Status: String, Codable, Sendable {
        case ok, warning, error
    }

    /// One thing that a backup depends on.
    public struct Check: Codable, Sendable {
        /// What was looked at: `etcd`, `recipients`, `store`, `timer`.
        public var name: String
        /// Whether it works.
        public var status: Status
        /// What was found, in a sentence.
        public var message: String
        /// What to do about it; names no flag.
        public var advice: String?
        /// What the advice asks to be set; not part of documents.
        public var settings: [Failure.Setting] = []

        enum CodingKeys: String, CodingKey {
            case name, status, message, advice
        }
    }

    /// What a backup would capture of one class.
    public struct CapturedClass: Codable, Sendable {
        /// The class, as the manifest names it.
        public var captureClass: String
        /// The number of files.
        public var fileCount: Int
        /// Their size in bytes.
        public var byteCount: Int
        /// What names them: flags, mounts, layouts.
        public var referrers: [String]
    }

    /// The distributions whose layout was recognised.
    public var distributions: [String]
    /// The components found: their names and where their arguments were read.
    public var components: [String]
    /// What would be captured.
    public var captured: [CapturedClass]
    /// What would not be, and why.
    public var skipped: [SkippedPath]
    /// What a backup depends on.
    public var checks: [Check]
    /// The certificate that expires first.
    public var firstToExpire: CertificateRecord?
    /// What a rebuild would lack, as far as it can be told without a snapshot.
    public var findings: [Finding]

    /// Whether a backup would do all that it should.
    public var isHealthy: Bool { findings.defectCount == 0 && checks.allSatisfy { $0.status == .ok } }
}
