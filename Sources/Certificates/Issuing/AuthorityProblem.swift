import FoundationEssentials
import HostIO
import X509

/// Why an authority can't sign, as far as its certificate tells.
public enum AuthorityProblem: Sendable, Hashable {
    /// Its certificate is not an authority's.
    case notAuthority
    /// Its key usage leaves out signing certificates.
    case mayNotSign
    /// Its key is too weak; the clause says which it is.
    case weakKey(String)
    /// It expired at a time.
    case expired(Date)
    /// It is valid only from a time on, which this host's clock says is to come.
    case notYetValid(Date, now: Date)

    /// What is wrong, as a clause about the authority.
    public var clause: String {
        switch self {
        case .notAuthority: "is not an authority's (CA:FALSE)"
        case .mayNotSign: "may not sign certificates: its key usage has no keyCertSign"
        case .weakKey(let key): "has \(key)"
        case .expired(let end): "expired at \(end.formatted(.iso8601))"
        case .notYetValid(let start, let now):
            "is not valid before \(start.formatted(.iso8601)), and this host's clock says \(now.formatted(.iso8601))"
        }
    }

    /// What to do about it.
    public var hint: String {
        switch self {
        case .notAuthority, .mayNotSign: "give the certificate of the authority that signed the node's certificates"
        case .weakKey: "the cluster needs a new authority"
        case .expired: "the cluster needs a new authority; nothing that this one signs would be trusted"
        case .notYetValid: "set the clock of this host"
        }
    }

    /// The problem as a failure that names the authority's file.
    func failure(_ path: String) -> Failure {
        Failure(.untrusted, "the authority in \(quoted(path)) \(clause)", hint: hint)
    }
}

/// Something about an authority that does not keep it from signing.
public enum AuthorityRemark: Sendable, Hashable {
    /// It has no key usage, which Go accepts and strict checks such as `openssl verify -x509_strict` do not.
    case noKeyUsage
    /// It limits the names that it may sign for, and whether new names are among them is not checked.
    case limitsNames
}

extension ParsedCertificate {
    /// Why this certificate can't be that of an authority which signs at a time.
    public func problemsAsAuthority(at now: Date) -> [AuthorityProblem] {
        var problems: [AuthorityProblem] = []
        if !record.isCA { problems.append(.notAuthority) }
        if !record.keyUses.isEmpty, !record.keyUses.contains("keyCertSign") { problems.append(.mayNotSign) }
        if let weakness = record.publicKey.weakness { problems.append(.weakKey(weakness)) }
        if now < record.notBefore { problems.append(.notYetValid(record.notBefore, now: now)) }
        if now > record.notAfter { problems.append(.expired(record.notAfter)) }
        return problems
    }

    /// What is unusual about this certificate as that of an authority.
    public var remarksAsAuthority: [AuthorityRemark] {
        let known = Set(extensions.map(\.oid))
        return [
            known.contains(.X509ExtensionID.keyUsage) ? nil : .noKeyUsage,
            known.contains(.X509ExtensionID.nameConstraints) ? .limitsNames : nil,
        ].compactMap(\.self)
    }
}
