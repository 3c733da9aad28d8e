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

    /// How many files of one directory, with what is below it, are looked at.
    static let directoryFileLimit = 10_000
    static let directoryDepthLimit = 8

    /// Reads every file that the layout refers to; what can't be read is found by ``Completeness``.
    ///
    /// Blocks. Files of more than 4 MiB are not read. Nothing secret is kept.
    public static func build(layout: NodeLayout, root: NodeRoot) -> CertificateInventory {
        var reader = InventoryReader(root: root, excluded: layout.excludedPaths.map(\.path))
        for reference in layout.references { reader.add(reference) }
        for file in reader.files.values { reader.addNamedFiles(of: file) }
        return CertificateInventory(files: reader.files)
    }

    private init(files: [String: InspectedFile]) {
        self.files = files
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
    let root: NodeRoot
    let excluded: [String]
    var files: [String: InspectedFile] = [:]

    init(root: NodeRoot, excluded: [String]) {
        self.root = root
        self.excluded = excluded
    }

    mutating func add(_ reference: FileReference) {
        let referrers = [reference.referrer] + reference.otherReferrers
        var file = files[reference.path]
        if file == nil || file?.isFoundByWalk == true && file?.captureClass != reference.captureClass {
            file = InspectedFile(reference.path, reference.captureClass, in: root)
        }
        guard var file else { return }
        file.referrers += referrers.filter { !file.referrers.contains($0) }
        file.isRequired = file.isRequired || reference.isRequired
        file.isFoundByWalk = false
        files[reference.path] = file
        guard file.state == .directory, Self.holdsCertificates(reference),
            let directory = try? root.openDirectory(reference.path)
        else { return }
        var count = 0
        walk(directory, reference.path, depth: 0, count: &count, reference, referrers)
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
            guard let path else { continue }
            var inspected = files[path] ?? InspectedFile(path, captureClass, in: root)
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
        _ directory: OpenDirectory, _ parent: String, depth: Int, count: inout Int, _ reference: FileReference,
        _ referrers: [String]
    ) {
        guard depth < CertificateInventory.directoryDepthLimit, let names = try? directory.utf8Names() else { return }
        for text in names where !Self.isRotatedOut(text) {
            guard count < CertificateInventory.directoryFileLimit else { return }
            count += 1
            let path = joinPath(parent, text)
            guard !excluded.contains(where: { isPath(path, atOrBelow: $0) }), let name = EntryName(text.utf8),
                let place = place(of: name, in: directory, path)
            else { continue }
            if place.attributes.kind == .directory {
                guard let child = try? place.directory.openDirectory(place.name) else { continue }
                walk(child, path, depth: depth + 1, count: &count, reference, referrers)
            } else if place.attributes.kind == .file {
                visit(path, place, reference, referrers)
            }
        }
    }

    private typealias Place = (directory: OpenDirectory, name: EntryName, attributes: EntryAttributes)

    /// Where an entry of a directory is, or what it leads to if it is a symbolic link.
    private func place(of name: EntryName, in directory: OpenDirectory, _ path: String) -> Place? {
        guard let attributes = try? directory.attributes(of: name) else { return nil }
        guard attributes.kind == .symbolicLink else { return (directory, name, attributes) }
        guard let target = try? root.resolve(Array(path.utf8)), let name = target.name else { return nil }
        return (target.directory, name, target.attributes)
    }

    private mutating func visit(
        _ path: String, _ place: Place, _ reference: FileReference, _ referrers: [String]
    ) {
        guard files[path] == nil else { return }
        let needsContents = CaptureClassifier.looksInside(reference.captureClass)
        let captureClass = CaptureClassifier.classify(
            path, reference: reference.captureClass, isNamed: false,
            prefix: needsContents ? Self.beginning(of: place, byteCount: CaptureClassifier.prefixByteCount) : [])
        guard InspectedFile.form(of: captureClass, path: path) != .opaque else { return }
        var file = InspectedFile(path, captureClass, in: root)
        file.referrers = referrers
        file.isFoundByWalk = true
        files[path] = file
    }

    /// The first bytes of a file, none if it can't be read.
    private static func beginning(of place: Place, byteCount: Int) -> [UInt8] {
        guard let descriptor = try? place.directory.openFile(place.name) else { return [] }
        defer { try? descriptor.close() }
        return [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            count =
                (try? readFully(
                    descriptor, name: place.name.description, at: 0, into: UnsafeMutableRawBufferPointer(buffer))) ?? 0
        }
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
