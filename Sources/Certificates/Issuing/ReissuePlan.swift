import FoundationEssentials
import HostIO
import SwiftASN1
import X509

/// What is to happen with a certificate of a node that is rebuilt under another name, address or endpoint.
///
/// The old certificate is the model: kind of key, uses, organisations and names beyond kubeadm's stay as they are.
public struct ReissuePlan: Sendable {
    /// What is to be done.
    public enum Decision: Sendable, Hashable {
        /// The old certificate serves as it is, for nothing in it changes.
        case keep
        /// A new one of ``ReissuePlan/profile`` is to be made.
        case reissue([Reason])
        /// Certificate or authority can't be what they are taken for.
        case refuse([Problem])
    }

    /// Why a new certificate is to be made.
    public enum Reason: Sendable, Hashable {
        /// The subject changes.
        case subject(old: String, new: String)
        /// Names or addresses change: see ``ReissuePlan/addedHosts`` and ``ReissuePlan/removedHosts``.
        case names
        /// The old one expired at a time.
        case expired(Date)
        /// The old one is valid only from a time on.
        case notYetValid(Date)
        /// There is no old one.
        case missing
        /// There is no private key that belongs to the old one.
        case noKey
    }

    /// Why there is neither keeping nor making anew.
    public enum Problem: Sendable, Hashable {
        /// The authority can't sign.
        case authority(AuthorityProblem)
        /// The old certificate was not signed by the authority of the first subject, but by that of the second.
        case otherIssuer(authority: String, issuer: String)
        /// The old certificate is a kubelet's of a node of another name than the old one.
        case otherNode(String)
        /// The old certificate can't be a model; the text says why.
        case noModel(String)
        /// There is no certificate of the authority, which this path should have.
        case noAuthority(String)
    }

    /// Something that the new certificate has in another way than the old one, or that could not be checked.
    public enum Remark: Sendable, Hashable {
        /// The authority is unusual.
        case authority(AuthorityRemark)
        /// A signature of this algorithm is not checked.
        case signatureNotChecked(String)
        /// The old key is of a kind that is not made here; the new one is of another.
        case keyAlgorithm(old: String, new: LeafKeyAlgorithm)
        /// Extensions of these object identifiers are left out.
        case extensionsLeftOut([String])
        /// The old certificate is not for a use that the component needs.
        case useMissing(String)
        /// Configured names that are neither an address nor a DNS name are left out.
        case namesLeftOut([String])
        /// The new one is valid for less time than the old one, both in seconds.
        case shortened(old: Int, new: Int)
        /// The new one ends with its authority, before its lifetime is over.
        case endsWithAuthority(Date)
    }

    /// What is to be done.
    public let decision: Decision
    /// What a new certificate is to have, nil if that is refused.
    public let profile: CertificateProfile?
    /// Names and addresses that the old certificate lacks.
    public let addedHosts: [CertificateHost]
    /// Names and addresses that only the old one has.
    public let removedHosts: [CertificateHost]
    /// What else is to be known.
    public let remarks: [Remark]

    /// Compares a certificate with what it has to be.
    ///
    /// - Parameters:
    ///   - old: the certificate.
    ///   - kind: which of kubeadm's it is, nil if it is none of them.
    ///   - hasKey: whether its private key is there.
    ///   - authority: the certificate of the authority that is to sign.
    ///   - change: the change of the node.
    ///   - now: the time of making.
    ///   - lifetimeSeconds: the lifetime that the cluster's configuration says, nil to take the old certificate's.
    public init(
        of old: ParsedCertificate, as kind: KubeadmCertificate?, hasKey: Bool = true, authority: ParsedCertificate,
        for change: IdentityChange, at now: Date, lifetimeSeconds: Int? = nil
    ) {
        var problems = authority.problemsAsAuthority(at: now).map(Problem.authority)
        let isSigned = old.issuer == authority.subject ? old.isSigned(by: authority) : false
        if isSigned == false {
            problems.append(.otherIssuer(authority: authority.record.subject, issuer: old.record.issuer))
        }
        if let name = Self.otherNode(old, kind, change) { problems.append(.otherNode(name)) }
        let model: CertificateProfile?
        do throws(Failure) {
            model = try CertificateProfile(of: old)
        } catch {
            model = nil
            problems.append(.noModel(error.description))
        }
        guard let model, problems.isEmpty else {
            self.init(refusedFor: problems)
            return
        }
        let changed = Self.profile(model, old, kind, authority, change, lifetimeSeconds)
        let (before, after) = (Set(model.names.hosts), Set(changed.names.hosts))
        let reasons = Self.reasons(from: model, to: changed, old.record, now) + (hasKey ? [] : [.noKey])
        let isShortened = !reasons.isEmpty && changed.lifetimeSeconds < model.lifetimeSeconds - Self.toleranceSeconds
        self.init(
            decision: reasons.isEmpty ? .keep : .reissue(reasons), profile: changed,
            addedHosts: changed.names.hosts.filter { !before.contains($0) },
            removedHosts: model.names.hosts.filter { !after.contains($0) },
            remarks: (isSigned == nil ? [.signatureNotChecked(old.record.signatureAlgorithm)] : [])
                + Self.remarks(on: authority, reasons.isEmpty ? nil : changed, now)
                + Self.remarks(on: old, as: kind, changed)
                + (isShortened ? [.shortened(old: model.lifetimeSeconds, new: changed.lifetimeSeconds)] : []))
    }

    /// A plan to make a certificate that is not there as kubeadm makes it on a node.
    init(
        making kind: KubeadmCertificate, for node: NodeIdentity, in configuration: KubeadmConfiguration,
        authority: ParsedCertificate, at now: Date
    ) {
        let profile = kind.profile(of: node, in: configuration)
        let leftOut = kind.unusableNames(in: configuration)
        let problems = authority.problemsAsAuthority(at: now).map(Problem.authority)
        guard problems.isEmpty else {
            self.init(refusedFor: problems)
            return
        }
        self.init(
            decision: .reissue([.missing]), profile: profile, addedHosts: profile.names.hosts, removedHosts: [],
            remarks: Self.remarks(on: authority, profile, now) + (leftOut.isEmpty ? [] : [.namesLeftOut(leftOut)]))
    }

    init(refusedFor problems: [Problem]) {
        self.init(decision: .refuse(problems), profile: nil, addedHosts: [], removedHosts: [], remarks: [])
    }

    private init(
        decision: Decision, profile: CertificateProfile?, addedHosts: [CertificateHost],
        removedHosts: [CertificateHost], remarks: [Remark]
    ) {
        self.decision = decision
        self.profile = profile
        self.addedHosts = addedHosts
        self.removedHosts = removedHosts
        self.remarks = remarks
    }

    /// The name of the node whose kubelet's certificate this is, if that is neither the old nor the new one.
    private static func otherNode(
        _ old: ParsedCertificate, _ kind: KubeadmCertificate?, _ change: IdentityChange
    ) -> String? {
        let prefix = KubeadmCertificate.nodeUserPrefix
        guard kind == .kubelet, let user = old.record.commonName?.lowercased(), user.hasPrefix(prefix) else {
            return nil
        }
        let name = String(user.dropFirst(prefix.count))
        return name == change.old.nodeName || name == change.new.nodeName ? nil : name
    }

    /// The old profile with the names of the new node.
    private static func profile(
        _ model: CertificateProfile, _ old: ParsedCertificate, _ kind: KubeadmCertificate?,
        _ authority: ParsedCertificate, _ change: IdentityChange, _ lifetimeSeconds: Int?
    ) -> CertificateProfile {
        var profile = model
        if let name = model.subject.commonName {
            let replaced = change.commonName(replacedIn: name)
            if replaced != name { profile.subject = model.subject.replacingCommonName(name, by: replaced) }
        }
        profile.names = AlternativeNames(
            change.hosts(replacedIn: model.names.hosts, of: kind), others: model.names.others)
        if let lifetimeSeconds {
            profile.lifetimeSeconds = lifetimeSeconds
        } else if kind != nil, old.record.notBefore == authority.record.notBefore {
            // kubeadm gives the certificates of kubeconfigs, and older versions all of them, the authority's
            // beginning, so the old lifetime is not known.
            profile.lifetimeSeconds = min(model.lifetimeSeconds, kubeadmLifetimeSeconds)
        }
        return profile
    }

    /// What is no other lifetime: a certificate that begins with its authority was made some time after that.
    private static let toleranceSeconds = 86_400

    /// kubeadm's default of 8,760 hours.
    private static let kubeadmLifetimeSeconds = 8760 * 3600

    private static func reasons(
        from model: CertificateProfile, to changed: CertificateProfile, _ record: CertificateRecord, _ now: Date
    ) -> [Reason] {
        var reasons: [Reason] = []
        if changed.subject != model.subject {
            reasons.append(
                .subject(
                    old: printable(String(describing: model.subject)),
                    new: printable(String(describing: changed.subject))))
        }
        if Set(changed.names.hosts) != Set(model.names.hosts) { reasons.append(.names) }
        if now > record.notAfter { reasons.append(.expired(record.notAfter)) }
        if now < record.notBefore { reasons.append(.notYetValid(record.notBefore)) }
        return reasons
    }

    private static func remarks(on authority: ParsedCertificate, _ made: CertificateProfile?, _ now: Date) -> [Remark] {
        let end = authority.record.notAfter
        let isCut = made.map { now + Double($0.lifetimeSeconds) > end } ?? false
        return authority.remarksAsAuthority.map(Remark.authority) + (isCut ? [.endsWithAuthority(end)] : [])
    }

    private static func remarks(
        on old: ParsedCertificate, as kind: KubeadmCertificate?, _ changed: CertificateProfile
    ) -> [Remark] {
        var remarks: [Remark] = []
        let key = old.record.publicKey
        if !changed.keyAlgorithm.matches(key) {
            let name = key.curve.map { "\(key.algorithm) \($0)" } ?? "\(key.algorithm) of \(key.bitCount) bits"
            remarks.append(.keyAlgorithm(old: name, new: changed.keyAlgorithm))
        }
        let leftOut = old.extensions.map(\.oid).filter { !written.contains($0) }
        if !leftOut.isEmpty { remarks.append(.extensionsLeftOut(leftOut.map(String.init(describing:)))) }
        for use in kind?.extendedKeyUsages ?? [] where !old.record.isFor(String(describing: use)) {
            remarks.append(.useMissing(String(describing: use)))
        }
        return remarks
    }

    /// The extensions that a new certificate has too, and the old one's own key identifier, which nothing needs.
    private static let written: Set<ASN1ObjectIdentifier> = [
        .X509ExtensionID.keyUsage, .X509ExtensionID.extendedKeyUsage, .X509ExtensionID.basicConstraints,
        .X509ExtensionID.authorityKeyIdentifier, .X509ExtensionID.subjectAlternativeName,
        .X509ExtensionID.subjectKeyIdentifier,
    ]
}
