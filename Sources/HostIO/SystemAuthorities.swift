/// The certificate authorities that a host trusts, wherever its distribution keeps them.
///
/// libssl, gRPC and libcurl look where the distribution that built them has its bundle; this program runs on others.
public enum SystemAuthorities {
    /// Bundles, as Go's `crypto/x509` (root_linux.go), and so etcdctl, knows them.
    public static let bundles = [
        "/etc/ssl/certs/ca-certificates.crt",  // Debian, Ubuntu, Gentoo, Arch, Flatcar, NixOS
        "/etc/pki/tls/certs/ca-bundle.crt",  // Fedora, RHEL, Rocky
        "/etc/ssl/ca-bundle.pem",  // SLES, openSUSE
        "/var/lib/ca-certificates/ca-bundle.pem",  // what the one before leads to
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // Fedora and RHEL, where the compatible name is gone
        "/etc/pki/tls/cacert.pem",  // OpenELEC
        "/etc/ssl/cert.pem",  // Alpine
    ]
    /// Directories with a file for each authority.
    public static let directories = ["/etc/ssl/certs", "/etc/pki/tls/certs"]

    private static let maxByteCount = 16 << 20

    /// The PEM text of all of them, from the first place that has any; nil where none has.
    public static func pem(bundles: [String] = bundles, directories: [String] = directories) -> [UInt8]? {
        for path in bundles {
            if let bytes = certificates(in: path) { return bytes }
        }
        for path in directories {
            let names = (try? OpenDirectory(path: path).utf8Names()) ?? []
            let bytes = Array(names.compactMap { certificates(in: "\(path)/\($0)") }.joined(separator: [0x0A]))
            if !bytes.isEmpty { return bytes }
        }
        return nil
    }

    private static func certificates(in path: String) -> [UInt8]? {
        guard let file = try? RandomAccessFile(path: path), file.byteCount <= maxByteCount,
            let bytes = try? file.bytes(at: 0, count: file.byteCount)
        else { return nil }
        return bytes.firstRange(of: "-----BEGIN CERTIFICATE-----".utf8) == nil ? nil : bytes
    }
}
