import FoundationEssentials
import HostIO

extension ReissuePlan {
    /// The failure that a refusal is, nil for every other decision.
    ///
    /// - Parameter path: the file that the certificate is in.
    public func refusal(of path: String) -> Failure? {
        guard case .refuse(let problems) = decision, let problem = problems.first else { return nil }
        return Failure(
            .untrusted,
            "the certificate in \(quoted(path)) can't be made anew: \(problems.map(\.clause).joined(separator: "; "))",
            hint: problem.hint)
    }
}

extension ReissuePlan.Reason {
    /// The reason as a clause about the old certificate.
    public var clause: String {
        switch self {
        case .subject(let old, let new): "its subject \(quoted(old)) becomes \(quoted(new))"
        case .names: "its names and addresses change"
        case .expired(let end): "it expired at \(end.formatted(.iso8601))"
        case .notYetValid(let start): "it is not valid before \(start.formatted(.iso8601))"
        case .missing: "it is missing"
        case .noKey: "its private key is missing or belongs to another"
        }
    }
}

extension ReissuePlan.Problem {
    /// The problem as a clause.
    public var clause: String {
        switch self {
        case .authority(let problem): "its authority \(problem.clause)"
        case .otherIssuer(let authority, let issuer) where authority == issuer:
            "another authority of the name \(quoted(authority)) signed it"
        case .otherIssuer(let authority, let issuer):
            "the authority \(quoted(issuer)) signed it, and not \(quoted(authority))"
        case .otherNode(let name): "it is that of the node \(quoted(name))"
        case .noModel(let why): why
        case .noAuthority(let path): "there is no certificate of its authority in \(quoted(path))"
        }
    }

    /// What to do about it.
    public var hint: String {
        switch self {
        case .authority(let problem): problem.hint
        case .otherIssuer, .noAuthority:
            "take authority and certificates out of one backup, or have the certificate's own authority sign a new one"
        case .otherNode: "take the files of the node that is rebuilt"
        case .noModel: "remove the certificate, so that it is made as kubeadm makes it"
        }
    }
}

extension ReissuePlan.Remark {
    /// The remark as a clause.
    public var clause: String {
        switch self {
        case .authority(.noKeyUsage): "its authority has no key usage, which strict checks refuse"
        case .authority(.limitsNames): "its authority limits the names that it may sign for, which was not checked"
        case .signatureNotChecked(let name): "its signature of the algorithm \(name) was not checked"
        case .keyAlgorithm(let old, let new): "its key was \(old) and becomes \(new.rawValue)"
        case .extensionsLeftOut(let identifiers): "its extensions \(identifiers.joined(separator: ", ")) are left out"
        case .useMissing(let use): "it is not for \(use)"
        case .namesLeftOut(let names): "\(names.map(quoted).joined(separator: ", ")) can't be among its names"
        case .shortened(let old, let new): "it is valid for \(new / 3600) hours and was for \(old / 3600)"
        case .endsWithAuthority(let end): "it ends with its authority at \(end.formatted(.iso8601))"
        }
    }
}
