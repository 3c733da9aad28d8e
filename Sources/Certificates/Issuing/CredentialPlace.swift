import HostIO

/// Where a node has a certificate and its private key.
public struct CredentialPlace: Sendable, Hashable {
    /// Where one of the two is.
    public enum Part: Sendable, Hashable {
        /// In the file of an absolute path.
        case file(String)
        /// In a kubeconfig, as data of a user.
        case embedded(in: String, user: String)

        /// The absolute path of the file.
        public var path: String {
            switch self {
            case .file(let path), .embedded(let path, _): path
            }
        }
    }

    /// Where the certificate is.
    public let certificate: Part
    /// Where the private key is.
    public let key: Part

    init(certificate: Part, key: Part) {
        self.certificate = certificate
        self.key = key
    }

    /// Where the user of a kubeconfig's current context has them, nil if it has other credentials.
    init?(of kubeconfig: Kubeconfig, path: String) {
        guard let user = kubeconfig.currentUser,
            let certificate = Self.part(user.certificatePath, user.certificateData != nil, user.name, path),
            let key = Self.part(user.keyPath, user.keyData != nil, user.name, path)
        else { return nil }
        self.init(certificate: certificate, key: key)
    }

    private static func part(_ file: String?, _ isEmbedded: Bool, _ user: String, _ path: String) -> Part? {
        isEmbedded ? .embedded(in: path, user: user) : file.map { .file($0) }
    }

    /// Whether one file has both, as the kubelet's does when the kubelet renews its certificate itself.
    var isCombined: Bool { if case .file = certificate { certificate == key } else { false } }
}

extension Kubeconfig {
    /// The user of the current context, or of the only one.
    var currentUser: User? {
        let context = contexts.first { $0.name == currentContext } ?? (contexts.count == 1 ? contexts.first : nil)
        return users.first { $0.name == context?.user } ?? (users.count == 1 ? users.first : nil)
    }
}
