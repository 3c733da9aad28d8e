import Certificates

#if canImport(Glibc)
    import Glibc
#endif

/// What the beginning of a file shows: the labels of PEM blocks (RFC 7468), and the kind of a Kubernetes document.
///
/// Every file of a capture is looked at, so it goes by bytes and lines and makes no strings without need.
struct ContentSketch {
    private(set) var hasPrivateKey = false
    private(set) var hasCertificate = false
    private(set) var hasPublicKey = false
    /// The value of the first `kind:` at the left margin of YAML, or of the first `"kind":` of JSON.
    private(set) var kind: String?
    private var hasClusters = false
    private var isAudit = false

    init(_ bytes: UnsafeRawBufferPointer) {
        let isJSON = bytes.first { $0 > 0x20 } == UInt8(ascii: "{")
        var rest = bytes
        while !rest.isEmpty {
            let end = rest.firstNewline ?? rest.count
            read(UnsafeRawBufferPointer(rebasing: rest[..<end]), isJSON: isJSON)
            rest = UnsafeRawBufferPointer(rebasing: rest[min(end + 1, rest.count)...])
        }
    }

    private mutating func read(_ line: UnsafeRawBufferPointer, isJSON: Bool) {
        if isJSON { return readJSON(String(decoding: line, as: UTF8.self)) }
        switch line.first {
        case UInt8(ascii: "-"): readLabel(line)
        case UInt8(ascii: "k"): if kind == nil, line.hasPrefix("kind:") { kind = Self.value(line.dropFirst(5)) }
        case UInt8(ascii: "c"): if line.hasPrefix("clusters") { hasClusters = true }
        case UInt8(ascii: "a"): if line.hasPrefix("apiVersion: audit.k8s.io/") { isAudit = true }
        default: break
        }
    }

    private mutating func readLabel(_ line: UnsafeRawBufferPointer) {
        guard line.hasPrefix("-----BEGIN ") else { return }
        let label = String(decoding: line.dropFirst(11).prefix { $0 != UInt8(ascii: "-") }, as: UTF8.self)
        if label.hasSuffix("PRIVATE KEY") {
            hasPrivateKey = true
        } else if label.hasSuffix("PUBLIC KEY") {
            hasPublicKey = true
        } else if label == "CERTIFICATE" || label == "TRUSTED CERTIFICATE" {
            hasCertificate = true
        }
    }

    private mutating func readJSON(_ line: String) {
        if line.contains("\"clusters\"") { hasClusters = true }
        if line.contains("audit.k8s.io/") { isAudit = true }
        guard kind == nil, let range = line.firstRange(of: "\"kind\"") else { return }
        kind = Self.value(line[range.upperBound...].utf8)
    }

    /// The first word behind a key, without quotes.
    private static func value(_ bytes: some Sequence<UInt8>) -> String {
        let word = bytes.drop { " \t:\"'".utf8.contains($0) }.prefix { !" \t\"',}#\r".utf8.contains($0) }
        return String(decoding: Array(word.prefix(100)), as: UTF8.self)
    }

    /// The class that the contents tell by themselves.
    var captureClass: CaptureClass? {
        switch kind {
        case nil: nil
        case "Config": hasClusters ? .kubeconfig : nil
        case "Policy": isAudit ? .auditPolicy : nil
        case let kind?: Self.kinds[kind]
        }
    }

    /// Kinds of Kubernetes 1.36 and kubeadm v1beta4.
    private static let kinds: [String: CaptureClass] = [
        "EncryptionConfiguration": .encryptionConfiguration, "EncryptionConfig": .encryptionConfiguration,
        "AdmissionConfiguration": .admissionConfiguration, "WebhookAdmissionConfiguration": .admissionConfiguration,
        "PodSecurityConfiguration": .admissionConfiguration,
        "AuthenticationConfiguration": .authenticationConfiguration,
        "AuthorizationConfiguration": .authorizationConfiguration, "EgressSelectorConfiguration": .egressSelector,
        "KubeletConfiguration": .kubeletConfiguration, "CredentialProviderConfig": .cloudProvider,
        "ClusterConfiguration": .kubeadmConfiguration, "InitConfiguration": .kubeadmConfiguration,
        "JoinConfiguration": .kubeadmConfiguration, "Pod": .staticPod,
    ]
}

extension UnsafeRawBufferPointer {
    fileprivate var firstNewline: Int? {
        guard let start = baseAddress, let found = memchr(start, 0x0A, count) else { return nil }
        return UnsafeRawPointer(found) - start
    }

    fileprivate func hasPrefix(_ text: StaticString) -> Bool {
        count >= text.utf8CodeUnitCount
            && baseAddress.map { memcmp($0, text.utf8Start, text.utf8CodeUnitCount) == 0 } == true
    }
}
