import Certificates
import HostIO
import NodeFiles
import SystemPackage

/// Finds the private keys of CAs beside their certificates, by what the files hold.
///
/// A CA's key is often named by nothing: no component needs it to run. Its name tells as little in the trees of others, and
/// without its class nobody would know that another host of the cluster needs it.
struct AuthorityKeys {
    private let root: NodeRoot
    /// How many entries of a directory are looked at.
    private static let entryCountLimit = 512
    private static let directoryCountLimit = 2_000
    private static let byteCountLimit = 64 << 10

    init(root: NodeRoot) { self.root = root }

    /// The keys of CAs in the directories of certificates, each with its CA's certificate.
    ///
    /// - Parameter references: what is captured; certificates are looked for beside the files among them, and in directories.
    func keys(beside references: [FileReference]) -> [(key: String, certificate: String)] {
        var directories: [String] = []
        var seen: Set<String> = []
        func add(_ directory: String) {
            if seen.insert(directory).inserted { directories.append(directory) }
        }
        for reference in references where Self.classes.contains(reference.captureClass) {
            switch root.attributes(of: reference.path)?.kind {
            case .file: if reference.captureClass == .caCertificate { add(parentPath(reference.path)) }
            case .directory: add(reference.path)
            default: break
            }
        }
        let isCaptured = Set(references.filter { root.attributes(of: $0.path)?.kind == .directory }.map(\.path))
        var found: [(key: String, certificate: String)] = []
        var index = 0
        while index < directories.count, index < Self.directoryCountLimit {
            let directory = directories[index]
            index += 1
            let isWalked = isCaptured.contains { isPath(directory, atOrBelow: $0) }
            let reason = isWalked ? PathPolicy.reasonToSkip(directory) : PathPolicy.reasonToSkipAlways(directory)
            guard reason == nil, let names = try? root.names(in: directory) else { continue }
            var files: [String] = []
            for name in names.prefix(Self.entryCountLimit) {
                let path = joinPath(directory, name)
                guard let attributes = root.attributes(of: path) else { continue }
                if attributes.kind == .directory, isWalked { add(path) }
                if attributes.kind == .file, attributes.byteCount <= Self.byteCountLimit { files.append(path) }
            }
            found += keys(among: files)
        }
        return found
    }

    private static let classes: Set<CaptureClass> = [
        .caCertificate, .caKey, .certificate, .privateKey, .etcdConfiguration, .component, .distribution,
    ]

    /// Matches the keys and the CAs' certificates of one directory.
    private func keys(among files: [String]) -> [(key: String, certificate: String)] {
        let sketches = files.filter(InspectedFile.hasPEMName).map { path in (path, sketch(path)) }
        let keyPaths = sketches.filter { $0.1?.hasPrivateKey == true }.map(\.0)
        guard !keyPaths.isEmpty else { return [] }
        var authorities: [String: String] = [:]
        for (path, sketch) in sketches where sketch?.hasCertificate == true {
            for certificate in contents(path)?.certificates ?? [] where certificate.record.isCA {
                authorities[certificate.record.publicKey.digest] = path
            }
        }
        guard !authorities.isEmpty else { return [] }
        return keyPaths.compactMap { path in
            contents(path)?.privateKeys.lazy.compactMap { authorities[$0.digest] }.first.map { (path, $0) }
        }
    }

    private func sketch(_ path: String) -> ContentSketch? {
        guard var bytes = try? root.bytes(of: path, limitByteCount: Self.byteCountLimit) else { return nil }
        defer { bytes.wipe() }
        return bytes.withUnsafeBytes { ContentSketch($0) }
    }

    private func contents(_ path: String) -> PEMContents? {
        (try? root.bytes(of: path, limitByteCount: Self.byteCountLimit)).map { PEMContents($0, path: path) }
    }
}

extension LayoutBuilder {
    /// Adds the keys of CAs that are beside their certificates, whatever they are called.
    mutating func addAuthorityKeys() {
        for (key, certificate) in AuthorityKeys(root: root).keys(beside: collector.references)
        where !collector.excludes(key) {
            collector.add(key, .caKey, by: "the CA certificate \(certificate)", isRequired: false)
            collector.reclassify(key, as: .caKey)
        }
    }
}
