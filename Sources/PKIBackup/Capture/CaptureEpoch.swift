import Crypto
import HostIO
import NodeFiles
import SealedArchive
import SystemPackage

/// The state of a control plane's PKI and encryption keys at one moment, as digests.
///
/// A backup whose epochs before and after the etcd snapshot are equal fits together: no key was rotated between.
public struct CaptureEpoch: Sendable, Equatable {
    /// The classes that make an epoch.
    ///
    /// The kubelet's own certificates are left out: they rotate by themselves, and a cluster is rebuilt without them.
    public static let classes: Set<CaptureClass> = [
        .caCertificate, .caKey, .certificate, .privateKey, .serviceAccountKey, .encryptionConfiguration,
        // They say which keys are used: a rotation may bring files of other names.
        .staticPod,
    ]

    /// SHA-256 of each file's contents, mode and owner in hexadecimal, by the bytes of its real absolute path.
    public private(set) var digests: [[UInt8]: String] = [:]

    /// The largest file that is digested; keys and certificates are far smaller.
    private static let byteCountLimit = 4 << 20

    /// Digests the files of ``classes`` that the references select; what can't be read counts as absent.
    public static func digest(
        of references: [FileReference], root: NodeRoot = NodeRoot(), exclude: [String] = [],
        excludedPaths: [SkippedPath] = []
    ) throws -> CaptureEpoch {
        var epoch = CaptureEpoch()
        let limits = CaptureLimits(standardByteCount: byteCountLimit, byteCounts: [:])
        let walk = CaptureWalk(root: root, exclude: exclude, excludedPaths: excludedPaths)
        try walk.run(references.filter { canHold($0.captureClass) }.map { SelectedPath($0, limits) }) { entry in
            guard entry.attributes.kind == .file else { return [] }
            if let digest = try digest(of: entry) { epoch.digests[entry.path] = digest }
            return []
        }
        return epoch
    }

    /// The paths that are not the same in a later epoch, sorted.
    public func changes(to later: CaptureEpoch) -> [String] {
        Set(digests.keys).union(later.digests.keys).filter { digests[$0] != later.digests[$0] }.map(display).sorted()
    }

    /// Whether files of ``classes`` may be below a reference of a class.
    private static func canHold(_ captureClass: CaptureClass) -> Bool {
        classes.contains(captureClass) || [.component, .distribution, .etcdConfiguration].contains(captureClass)
    }

    private static func digest(of entry: WalkedEntry) throws -> String? {
        let descriptor = try entry.directory.openFile(entry.name)
        defer { try? descriptor.close() }
        let file = OpenFile(descriptor: descriptor, path: display(entry.path))
        let attributes = try file.attributes()
        guard attributes.kind == .file else { return nil }
        var bytes = try file.bytes(at: 0, count: min(attributes.byteCount, byteCountLimit))
        defer { wipe(&bytes) }
        let captureClass = CaptureClassifier.classify(
            file.path, reference: entry.captureClass, isNamed: entry.isNamed, prefix: bytes)
        guard classes.contains(captureClass) else { return nil }
        var hash = SHA256()
        hash.update(data: Array("\(attributes.mode) \(attributes.userID):\(attributes.groupID) \(bytes.count)\n".utf8))
        hash.update(data: bytes)
        return hash.finalize().hexadecimal
    }
}
