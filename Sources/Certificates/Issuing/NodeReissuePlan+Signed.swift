import FoundationEssentials
import HostIO

extension NodeReissuePlan {
    /// Takes the certificates that were signed for ``ReissuedFiles/requests``, with the keys that are there.
    ///
    /// - Parameter read: gives the content of a file by its path relative to the directory of requests, or nil if there is
    ///   none; the certificate for `NAME.csr` is `NAME.crt`.
    /// - Returns: what is to be on the node.
    /// - Throws: what `read` throws; ``Failure`` that names the first certificate that is missing or not what was asked for.
    public func placeSigned(
        read: (String) throws(Failure) -> SecretBytes?
    ) throws(Failure) -> ReissuedFiles {
        if let refusal = refusals.first { throw refusal }
        var files = ReissuedFiles()
        for leaf in leaves where leaf.isRequested {
            guard case .reissue = leaf.plan.decision, let profile = leaf.plan.profile,
                let authority = authorities[leaf.kind.authority]?.certificate
            else { continue }
            let (path, keyPath) = (leaf.kind.requestStem + ".crt", leaf.kind.requestStem + ".key")
            guard let signed = try read(path), let key = try read(keyPath) else {
                throw Failure(
                    .notFound, "\(quoted(path)) or \(quoted(keyPath)) is missing",
                    hint: "have every request signed, and put each certificate beside its key")
            }
            let bytes = signed.withUnsafeBytes { Array($0) }
            let keys = key.withBytes { PEMContents(copy $0, path: keyPath).privateKeys }
            guard let certificate = PEMContents(bytes, path: path).certificates.first else {
                throw Failure(.integrity, "\(quoted(path)) holds no certificate that can be read")
            }
            let defects = Self.defects(of: certificate, as: profile, keys, authority, now)
            guard defects.isEmpty else {
                throw Failure(
                    .untrusted, "the certificate in \(quoted(path)) \(defects.joined(separator: "; it "))",
                    hint: "have the request signed again with what the table says of it")
            }
            try files.place(bytes, key, for: leaf, at: now)
        }
        return files
    }

    /// What a signed certificate lacks, as clauses about it.
    private static func defects(
        of certificate: ParsedCertificate, as profile: CertificateProfile, _ keys: [PublicKey],
        _ authority: ParsedCertificate, _ now: Date
    ) -> [String] {
        let record = certificate.record
        var defects: [String] = []
        if !keys.contains(where: { $0.digest == record.publicKey.digest }) {
            defects.append("is not for the key beside it")
        }
        if certificate.issuer != authority.subject || certificate.isSigned(by: authority) == false {
            defects.append("was not signed by the authority in \(quoted(authority.record.path))")
        }
        if now < record.notBefore || now > record.notAfter {
            defects.append(
                "is valid from \(record.notBefore.formatted(.iso8601)) to \(record.notAfter.formatted(.iso8601)), "
                    + "and this host's clock says \(now.formatted(.iso8601))")
        }
        do throws(Failure) {
            let own = try CertificateProfile(of: certificate)
            let names = Set(own.names.hosts)
            let missing = profile.names.hosts.filter { !names.contains($0) }
            if !missing.isEmpty {
                defects.append("is not for \(missing.map(\.description).joined(separator: ", "))")
            }
            if own.subject != profile.subject {
                defects.append("has the subject \(quoted(String(describing: own.subject)))")
            }
        } catch {
            defects.append("is none of a leaf: \(error.description)")
        }
        for use in profile.extendedKeyUsages.map(String.init(describing:)) where !record.isFor(use) {
            defects.append("is not for \(use)")
        }
        return defects
    }
}
