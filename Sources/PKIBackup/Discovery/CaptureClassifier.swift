import Certificates
import HostIO
import NodeFiles

/// Decides what a file below a captured directory is, by its name and the beginning of its contents.
public enum CaptureClassifier {
    /// How much of a file's beginning is looked at, in bytes.
    public static let prefixByteCount = 4 << 10

    /// The class of a file.
    ///
    /// - Parameters:
    ///   - path: the file's path.
    ///   - reference: the class of the reference that covers it.
    ///   - isNamed: whether the reference names the file itself, not a directory above it.
    ///   - prefix: the beginning of the contents, as far as it is known.
    public static func classify(
        _ path: String, reference: CaptureClass, isNamed: Bool, prefix: [UInt8] = []
    ) -> CaptureClass {
        prefix.withUnsafeBytes { classify(path, reference: reference, isNamed: isNamed, prefix: $0) }
    }

    static func classify(
        _ path: String, reference: CaptureClass, isNamed: Bool, prefix: UnsafeRawBufferPointer
    ) -> CaptureClass {
        guard refined.contains(reference), !isNamed || vague.contains(reference) else { return reference }
        let content = ContentSketch(UnsafeRawBufferPointer(rebasing: prefix.prefix(prefixByteCount)))
        return content.captureClass ?? byName(path, content) ?? reference
    }

    /// Whether the contents of files below a directory of that class decide on their class.
    static func looksInside(_ reference: CaptureClass) -> Bool { refined.contains(reference) }

    /// Classes of directories whose files differ; the others stay what they are.
    private static let refined: Set<CaptureClass> = [
        .component, .distribution, .etcdConfiguration, .caCertificate, .caKey, .certificate, .privateKey,
        .serviceAccountKey, .kubeconfig,
    ]
    private static let vague: Set<CaptureClass> = [.component, .distribution]

    private static func byName(_ path: String, _ content: ContentSketch) -> CaptureClass? {
        let name = lastName(path).lowercased()
        let isSecretKey = content.hasPrivateKey && !content.hasCertificate
        if isSecretKey || [".key", "-key.pem"].contains(where: name.hasSuffix) { return key(name) }
        if name.hasSuffix(".pub") { return name.hasPrefix("jwt") ? .etcdConfiguration : .serviceAccountKey }
        // A certificate with its key is as secret as the key.
        if content.hasPrivateKey { return .privateKey }
        if content.hasPublicKey { return .serviceAccountKey }
        if content.hasCertificate || [".crt", ".pem", ".cer", ".cert"].contains(where: name.hasSuffix) {
            return isCA(name) ? .caCertificate : .certificate
        }
        return configuration(name)
    }

    /// Names of kubeadm (`app/constants`), k3s (`CreateRuntimeCertFiles`), k0s (`pkg/component/controller/certificates.go`)
    /// and of cfssl's convention `-key.pem`.
    private static func key(_ name: String) -> CaptureClass {
        let base = name.replacing(".key", with: "").replacing("-key.pem", with: "")
        let isServiceAccount =
            ["sa", "service", "service.current"].contains(base) || base.hasPrefix("service-account")
            || base.hasPrefix("serviceaccount") || base.hasPrefix("sa-")
        if isServiceAccount { return .serviceAccountKey }
        return isCA(name) ? .caKey : .privateKey
    }

    private static func isCA(_ name: String) -> Bool {
        let base = name.split(separator: ".").first ?? ""
        let parts = base.split { $0 == "-" || $0 == "_" }
        return parts.contains("ca") || parts.last == "bundle" || parts.contains("signer")
    }

    /// An `EncryptionConfiguration` is told by its kind alone: k3s has an `encryption-state.json` beside it.
    private static func configuration(_ name: String) -> CaptureClass? {
        if name.hasSuffix(".kubeconfig") || name == "kubeconfig" { return .kubeconfig }
        if ["token", "node-token", "agent-token", "passwd", "node-passwd", "k0stoken"].contains(name) {
            return .joinToken
        }
        if name.hasPrefix("audit") && !name.hasSuffix(".log") { return .auditPolicy }
        if name.hasPrefix("kubeadm") { return .kubeadmConfiguration }
        if name.hasPrefix("egress-selector") { return .egressSelector }
        if name.hasPrefix("cloud-config") || name == "cloud.conf" { return .cloudProvider }
        return nil
    }
}
