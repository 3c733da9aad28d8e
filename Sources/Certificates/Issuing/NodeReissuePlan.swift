import FoundationEssentials
import HostIO
import X509

/// What is to happen with every leaf certificate of a node made by kubeadm that is rebuilt, also with those that its
/// kubeconfigs have.
///
/// Authorities and the keys of service accounts are read and never changed. A certificate whose authority's key is kept
/// elsewhere is requested instead of made.
public struct NodeReissuePlan: Sendable {
    /// A certificate of the node.
    public struct Leaf: Sendable {
        /// Which one it is.
        public let kind: KubeadmCertificate
        /// Where the node has it.
        public let place: CredentialPlace
        /// What is to happen with it.
        public let plan: ReissuePlan
        /// Whether it is to be requested where it is to be made anew, for its authority's key is not here.
        public let isRequested: Bool
        /// The kubeconfig that has it, nil if none does.
        let kubeconfig: SecretBytes?
    }

    /// An authority as far as the node has it.
    struct Authority: Sendable {
        let certificate: ParsedCertificate
        /// Nil if the key is kept elsewhere.
        let signer: CertificateAuthority?
    }

    /// The certificates, in the order of ``KubeadmCertificate``.
    public let leaves: [Leaf]
    let authorities: [KubeadmCertificate.Authority: Authority]
    let now: Date

    /// Decides on every certificate.
    ///
    /// Certificates that are missing are made as kubeadm makes them where `configuration` is known. Kubeconfigs that are
    /// missing are not.
    ///
    /// - Parameters:
    ///   - layout: where the files are.
    ///   - change: the change of the node.
    ///   - configuration: what the cluster's configuration says; new certificates are valid for as long as that says, or
    ///     else for as long as the old ones were.
    ///   - lifetimeSeconds: for how long new certificates are valid where only that is known of the configuration.
    ///   - now: the time of making.
    ///   - read: gives the content of a file by its absolute path, through links, or nil if there is none. Kubeconfigs
    ///     should have their new names already.
    /// - Throws: what `read` throws; ``Failure`` if an authority's key is not that of its certificate, or a file can't be
    ///   read. What is wrong with a single certificate is told by its plan.
    public init(
        layout: KubeadmLayout = KubeadmLayout(), change: IdentityChange, configuration: KubeadmConfiguration?,
        lifetimeSeconds: Int? = nil, now: Date, read: (String) throws(Failure) -> SecretBytes?
    ) throws(Failure) {
        var survey = Survey(
            layout: layout, change: change, configuration: configuration,
            lifetimeSeconds: configuration.map { $0.validityHours * 3600 } ?? lifetimeSeconds, now: now)
        for authority in KubeadmCertificate.Authority.allCases { try survey.add(authority, read) }
        for kind in KubeadmCertificate.allCases { try survey.add(kind, read) }
        leaves = survey.leaves
        authorities = survey.authorities
        self.now = now
    }

    /// What speaks against making the certificates, one for each that is refused.
    public var refusals: [Failure] { leaves.compactMap { $0.plan.refusal(of: $0.place.certificate.path) } }
}

/// Reads the node's certificates and decides on them.
private struct Survey {
    let layout: KubeadmLayout
    let change: IdentityChange
    let configuration: KubeadmConfiguration?
    let lifetimeSeconds: Int?
    let now: Date
    var authorities: [KubeadmCertificate.Authority: NodeReissuePlan.Authority] = [:]
    var leaves: [NodeReissuePlan.Leaf] = []

    mutating func add(
        _ authority: KubeadmCertificate.Authority, _ read: (String) throws(Failure) -> SecretBytes?
    ) throws(Failure) {
        let path = layout.path(authority.certificatePath)
        guard let certificate = try read(path) else { return }
        let bytes = certificate.withUnsafeBytes { Array($0) }
        if let key = try read(layout.path(authority.keyPath)) {
            let signer = try CertificateAuthority(certificatePEM: bytes, keyPEM: key, path: path)
            authorities[authority] = NodeReissuePlan.Authority(certificate: signer.certificate, signer: signer)
        } else {
            authorities[authority] = NodeReissuePlan.Authority(
                certificate: try CertificateAuthority.certificate(inPEM: bytes, path: path), signer: nil)
        }
    }

    mutating func add(
        _ kind: KubeadmCertificate, _ read: (String) throws(Failure) -> SecretBytes?
    ) throws(Failure) {
        let path = layout.path(kind.path)
        guard kind.isEmbedded else {
            let key = CredentialPlace.Part.file(layout.keyPath(ofCertificate: path))
            return try add(kind, CredentialPlace(certificate: .file(path), key: key), nil, read)
        }
        guard let kubeconfig = try read(path) else { return }
        let content = try KubeconfigCredentials.read(kubeconfig, path: path)
        guard let place = CredentialPlace(of: content, path: path) else { return }
        try add(kind, place, (kubeconfig, content.currentUser), read)
    }

    private mutating func add(
        _ kind: KubeadmCertificate, _ place: CredentialPlace,
        _ kubeconfig: (bytes: SecretBytes, user: Kubeconfig.User?)?,
        _ read: (String) throws(Failure) -> SecretBytes?
    ) throws(Failure) {
        let user = kubeconfig?.user
        let path = place.certificate.path
        let certificates: [ParsedCertificate]? =
            if let data = user?.certificateData {
                PEMContents(data, path: path).certificates
            } else {
                // One file may have the key as well.
                try read(path)?.withBytes { PEMContents(copy $0, path: path).certificates }
            }
        let key = if let data = user?.keyData { data } else { try read(place.key.path) }
        guard let plan = plan(kind, certificates, path, key) else { return }
        leaves.append(
            NodeReissuePlan.Leaf(
                kind: kind, place: place, plan: plan, isRequested: authorities[kind.authority]?.signer == nil,
                kubeconfig: kubeconfig?.bytes))
    }

    /// What is to happen with a certificate, nil for one that is missing and that nothing says how to make.
    private func plan(
        _ kind: KubeadmCertificate, _ certificates: [ParsedCertificate]?, _ path: String, _ key: SecretBytes?
    ) -> ReissuePlan? {
        guard let authority = authorities[kind.authority]?.certificate else {
            let path = layout.path(kind.authority.certificatePath)
            return certificates == nil ? nil : ReissuePlan(refusedFor: [.noAuthority(path)])
        }
        guard let certificates else {
            guard let configuration, kind.authority != .etcd || !configuration.hasExternalEtcd else { return nil }
            return ReissuePlan(making: kind, for: change.new, in: configuration, authority: authority, at: now)
        }
        guard let old = certificates.first else {
            return ReissuePlan(refusedFor: [.noModel("\(quoted(path)) holds no certificate that can be read")])
        }
        let keys = key.map { $0.withBytes { PEMContents(copy $0, path: path).privateKeys } } ?? []
        return ReissuePlan(
            of: old, as: kind, hasKey: keys.contains { $0.digest == old.record.publicKey.digest },
            authority: authority, for: change, at: now,
            lifetimeSeconds: lifetimeSeconds)
    }
}
