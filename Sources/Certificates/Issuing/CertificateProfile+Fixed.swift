import X509

extension CertificateProfile {
    /// A client's certificate, such as an administrator's.
    public static func client(
        organizations: [String], commonName: String, keyAlgorithm: LeafKeyAlgorithm = .p256, lifetimeSeconds: Int
    ) -> CertificateProfile {
        CertificateProfile(
            subject: .kubeadm(organizations: organizations, commonName: commonName), keyAlgorithm: keyAlgorithm,
            extendedKeyUsages: [.clientAuth], lifetimeSeconds: lifetimeSeconds)
    }

    /// A server's certificate.
    public static func server(
        commonName: String, hosts: [CertificateHost], keyAlgorithm: LeafKeyAlgorithm = .p256, lifetimeSeconds: Int
    ) -> CertificateProfile {
        CertificateProfile(
            subject: .kubeadm(organizations: [], commonName: commonName), keyAlgorithm: keyAlgorithm,
            extendedKeyUsages: [.serverAuth], names: AlternativeNames(hosts), lifetimeSeconds: lifetimeSeconds)
    }
}
