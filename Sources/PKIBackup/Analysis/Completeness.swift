import Certificates
import EncryptionAtRest
import FoundationEssentials
import HostIO
import NodeFiles
import SealedArchive

/// What a snapshot tells that files must agree with.
public struct SnapshotFacts: Sendable {
    /// The keys of the encryption at rest that values in the snapshots refer to.
    public var encryptionKeysInUse: [EncryptionKeyInUse]
    /// The members of each etcd, by the name of ``DiscoveredEtcd``.
    public var members: [String: [EtcdMemberRecord]]

    /// Facts from their parts.
    public init(encryptionKeysInUse: [EncryptionKeyInUse] = [], members: [String: [EtcdMemberRecord]] = [:]) {
        self.encryptionKeysInUse = encryptionKeysInUse
        self.members = members
    }
}

/// What the analysis is measured by.
public struct CompletenessOptions: Sendable {
    /// The time that validity is judged at.
    public var now: Date
    /// How many days before its end a certificate is a finding.
    public var expiryWarningDays: Int

    /// Options; warnings begin 30 days ahead.
    public init(now: Date, expiryWarningDays: Int = 30) {
        self.now = now
        self.expiryWarningDays = expiryWarningDays
    }
}

/// Says what a rebuild from these files would lack.
public enum Completeness {
    /// Codes that say why discovery could not read a file.
    private static let explaining: Set<String> = [
        "kubeconfig-unreadable", "encryption-configuration-unreadable", "reference-unreadable", "file-empty",
    ]

    /// Examines the files of a layout, errors first; the findings of ``NodeLayout`` are among the result.
    ///
    /// A finding follows from one defect: where a CA can't be read, the certificates under it are not judged.
    ///
    /// - Parameter snapshot: nil before or without a snapshot; what needs it is then not examined.
    public static func check(
        layout: NodeLayout, files source: any FileSource, inventory: CertificateInventory, snapshot: SnapshotFacts?,
        options: CompletenessOptions
    ) -> [Finding] {
        var examination = Examination(
            layout: layout, source: source, files: inventory.files, certificates: inventory.certificates,
            options: options)
        examination.checkReferences()
        examination.checkServiceAccountKeys()
        examination.checkContents()
        examination.checkKeyPairs()
        examination.checkAuthorities()
        examination.checkChains()
        examination.checkCertificates()
        examination.checkLabels()
        examination.checkUsages()
        examination.checkServerNames()
        examination.checkKubeconfigs()
        examination.checkIdentities()
        examination.checkEncryption(inventory.encryptionServers, keysInUse: snapshot?.encryptionKeysInUse ?? [])
        examination.checkJoinTokens()
        examination.checkMembers(snapshot?.members ?? [:])
        examination.noteVersion2Stores()
        examination.noteLeftovers(inventory.leftovers)
        let explained = Set(examination.findings.filter { explaining.contains($0.code) }.map(\.subject))
        let findings = layout.findings.filter { !explained.contains($0.subject) } + examination.findings
        return findings.filter { $0.severity == .error }
            + findings.filter { $0.severity != .error && $0.severity != .note }
            + findings.filter { $0.severity == .note }
    }
}

/// One run of the analysis: what is known, and what was found so far.
struct Examination {
    let layout: NodeLayout
    let source: any FileSource
    let files: [String: InspectedFile]
    let certificates: [CertificateRecord]
    let options: CompletenessOptions
    private(set) var findings: [Finding] = []
    private var found: Set<[String]> = []
    private var said: Set<[String]> = []

    init(
        layout: NodeLayout, source: any FileSource, files: [String: InspectedFile], certificates: [CertificateRecord],
        options: CompletenessOptions
    ) {
        self.layout = layout
        self.source = source
        self.files = files
        self.certificates = certificates
        self.options = options
    }

    /// The files in a stable order.
    var sortedFiles: [InspectedFile] { files.values.sorted { $0.path < $1.path } }

    /// Notes a finding, once for each code, subject and message: a certificate may lack the names of two services.
    mutating func find(
        _ severity: Finding.Severity, _ code: String, _ subject: String, _ message: String, _ advice: String
    ) {
        guard said.insert([code, subject, message]).inserted else { return }
        found.insert([code, subject])
        findings.append(Finding(severity, code: code, subject: subject, message: message, advice: advice))
    }

    /// Whether there is a finding already.
    func isFound(_ code: String, _ subject: String) -> Bool { found.contains([code, subject]) }

    /// Components by the name of their program.
    func components(_ name: String) -> [Component] { layout.components.filter { $0.name == name } }

    /// Where the files that a flag of a component names are on the node.
    func paths(_ component: Component, _ flag: String) -> [String] {
        (component.flags[flag] ?? []).filter { $0.hasPrefix("/") }.compactMap { path in
            switch component.place(of: path) {
            case .node(let path): return joinPath("/", path)
            case .volume: return nil
            // A pod that lacks the volume does not run; what is meant is on the node under the very path.
            case .image:
                let path = joinPath("/", path)
                return files[path].map { $0.isFoundByWalk } == false ? path : nil
            }
        }
    }

    /// The file that a flag names; of several values the last counts, as in Go's `pflag`.
    func path(_ component: Component, _ flag: String) -> String? { paths(component, flag).last }

    /// The files that flags of all components of a name have as their values, each once.
    func paths(_ name: String, _ flag: String) -> [String] {
        var seen: Set<String> = []
        return components(name).compactMap { path($0, flag) }.filter { seen.insert($0).inserted }
    }
}
