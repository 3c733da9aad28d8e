import Certificates
import FoundationEssentials
import HostIO
import NodeFiles
import SealedArchive
import SystemPackage

/// The certificates of a node, and the files that were read for them.
public struct CertificateInventory: Sendable {
    /// The certificates, the first to expire first; those embedded in kubeconfigs are among them.
    public private(set) var certificates: [CertificateRecord]
    /// The private keys by their public halves.
    public private(set) var privateKeys: [PrivateKeyRecord]
    /// Every file that a reference leads to, by its path.
    let files: [String: InspectedFile]
    /// Files and directories that were not looked at, for their names say that they are copies kept aside.
    let leftovers: [String]
    /// The node's API servers, as far as they tell how what is stored is read; empty if no file tells of encryption.
    public let encryptionServers: [EncryptionServer]

    /// How many files of one directory, with what is below it, are looked at.
    static let directoryFileLimit = 10_000
    static let directoryDepthLimit = 8

    /// Reads every file that the layout refers to; what can't be read is found by ``Completeness``.
    ///
    /// Blocks. Files of more than 4 MiB are not read. Nothing secret is kept.
    public static func build(layout: NodeLayout, files source: any FileSource) -> CertificateInventory {
        var reader = InventoryReader(source: source, excluded: layout.excludedPaths.map(\.path))
        for reference in layout.references { reader.add(reference) }
        for file in reader.files.values { reader.addNamedFiles(of: file) }
        return CertificateInventory(
            files: reader.files, leftovers: reader.leftovers.sorted(),
            encryptionServers: EncryptionServer.all(of: layout, files: reader.files))
    }

    /// What is needed of a captured file to judge it.
    public static func need(of path: String, role: String) -> CapturedFiles.Need {
        guard let captureClass = CaptureClass(rawValue: role) else { return .presence }
        guard looksAt(path, below: captureClass) else { return .nothing }
        return InspectedFile.form(of: captureClass, path: path) != .opaque ? .contents : .presence
    }

    /// Whether a file in a directory of a class is looked at; what users include is theirs, unless it looks like a key.
    fileprivate static func looksAt(_ path: String, below captureClass: CaptureClass) -> Bool {
        captureClass != .include || InspectedFile.mentionsPEM(path)
    }

    private init(files: [String: InspectedFile], leftovers: [String], encryptionServers: [EncryptionServer]) {
        self.files = files
        self.leftovers = leftovers
        self.encryptionServers = encryptionServers
        let sorted = files.values.sorted { $0.path < $1.path }
        certificates = sorted.flatMap(Self.records).sorted { left, right in
            (left.notAfter, left.path, left.embeddedIn ?? "", left.index)
                < (right.notAfter, right.path, right.embeddedIn ?? "", right.index)
        }
        privateKeys = sorted.flatMap { file in
            let own = file.pem?.privateKeys.map { PrivateKeyRecord(path: file.path, publicKey: $0) } ?? []
            let embedded = (file.kubeconfig?.keys ?? [:]).sorted { $0.key < $1.key }.flatMap { user, contents in
                contents.privateKeys.map { PrivateKeyRecord(path: file.path, user: user, publicKey: $0) }
            }
            return own + embedded
        }
    }

    private static func records(of file: InspectedFile) -> [CertificateRecord] {
        let contents = [file.pem].compactMap(\.self) + (file.kubeconfig?.contents ?? [])
        return contents.flatMap(\.certificates).map { certificate in
            var record = certificate.record
            record.referencedBy = file.referrers
            return record
        }
    }
}

/// Reads the files of an inventory.
private struct InventoryReader {
    let source: any FileSource
    let excluded: [String]
    var files: [String: InspectedFile] = [:]
    var leftovers: Set<String> = []

    init(source: any FileSource, excluded: [String]) {
        self.source = source
        self.excluded = excluded
    }

    mutating func add(_ reference: FileReference) {
        let referrers = [reference.referrer] + reference.otherReferrers
        var file = files[reference.path]
        if file == nil || file?.isFoundByWalk == true && file?.captureClass != reference.captureClass {
            file = InspectedFile(reference.path, reference.captureClass, in: source)
        }
        guard var file else { return }
        file.referrers += referrers.filter { !file.referrers.contains($0) }
        file.isRequired = file.isRequired || reference.isRequired
        file.isFoundByWalk = false
        files[reference.path] = file
        guard file.state == .directory, Self.holdsCertificates(reference) else { return }
        var count = 0
        walk(reference.path, depth: 0, count: &count, reference, referrers)
    }

    /// Adds what a kubeconfig names though no reference does.
    mutating func addNamedFiles(of file: InspectedFile) {
        guard let kubeconfig = file.kubeconfig?.kubeconfig, file.captureClass == .kubeconfig else { return }
        let named =
            kubeconfig.clusters.map { ($0.certificateAuthorityPath, CaptureClass.caCertificate) }
            + kubeconfig.users.flatMap {
                [
                    ($0.certificatePath, CaptureClass.certificate), ($0.keyPath, .privateKey),
                    ($0.tokenPath, .authenticationConfiguration),
                ]
            }
        for (path, captureClass) in named {
            guard let path, PathPolicy.reasonToSkipAlways(path) == nil else { continue }
            var inspected = files[path] ?? InspectedFile(path, captureClass, in: source)
            if !inspected.referrers.contains(file.path) { inspected.referrers.append(file.path) }
            inspected.isRequired = true
            files[path] = inspected
        }
    }

    /// Whether certificates are looked for in a directory; trust stores of the system are not.
    private static func holdsCertificates(_ reference: FileReference) -> Bool {
        switch reference.captureClass {
        case .caCertificate, .caKey, .certificate, .privateKey, .serviceAccountKey, .kubeletPKI, .kubeconfig,
            .distribution, .etcdConfiguration, .component, .include:
            PathPolicy.reasonToSkip(reference.path) == nil
        default: false
        }
    }

    private mutating func walk(
        _ directory: String, depth: Int, count: inout Int, _ reference: FileReference, _ referrers: [String]
    ) {
        guard depth < CertificateInventory.directoryDepthLimit, let names = try? source.names(in: directory) else {
            return
        }
        for name in names where !Self.isRotatedOut(name) {
            guard count < CertificateInventory.directoryFileLimit else { return }
            let path = joinPath(directory, name)
            let found = source.find(path)
            guard found == .directory || CertificateInventory.looksAt(path, below: reference.captureClass) else {
                continue
            }
            count += 1
            guard !excluded.contains(where: { isPath(path, atOrBelow: $0) }), files[path]?.isFoundByWalk ?? true else {
                continue
            }
            if LeftoverName.matches(name) {
                leftovers.insert(path)
                continue
            }
            switch found {
            case .directory: walk(path, depth: depth + 1, count: &count, reference, referrers)
            case .file: visit(path, reference, referrers)
            default: break
            }
        }
    }

    private mutating func visit(_ path: String, _ reference: FileReference, _ referrers: [String]) {
        guard files[path] == nil else { return }
        var beginning: [UInt8] = []
        defer { beginning.wipe() }
        if CaptureClassifier.looksInside(reference.captureClass) {
            // What can't be read is told where its form asks for more than its name.
            beginning = (try? source.beginning(of: path, byteCount: CaptureClassifier.prefixByteCount)) ?? []
        }
        let captureClass = CaptureClassifier.classify(
            path, reference: reference.captureClass, isNamed: false, prefix: beginning)
        guard InspectedFile.form(of: captureClass, path: path) != .opaque else { return }
        var file = InspectedFile(path, captureClass, in: source)
        file.referrers = referrers
        file.isFoundByWalk = true
        files[path] = file
    }

    /// Whether a file is one of the kubelet's dated certificates, of which `...-current.pem` links to the one in use.
    ///
    /// Source: Kubernetes, `client-go/util/certificate/certificate_store.go`.
    private static func isRotatedOut(_ name: String) -> Bool {
        ["kubelet-client-", "kubelet-server-"].contains { prefix in
            name.hasPrefix(prefix) && name.dropFirst(prefix.count).first?.isNumber == true
        }
    }
}
