import ArchiveStore
import HostIO
import SealedArchive

extension StoreListing {
    /// What does not hold among the backups that are there, as findings of the next one and of who looks at the store.
    ///
    /// A backup that is made beside them is whole all the same, so none of them is an error.
    var stateFindings: [Finding] { unreadable.map(\.finding) + chain.map(\.finding) }
}

extension ChainProblem {
    /// The finding of a store.
    var finding: Finding {
        Finding(.warning, code: code.rawValue, subject: subject, message: message, advice: advice)
    }
}

extension UnreadableBackup {
    /// The finding of one of several stores.
    func finding(in store: String) -> Finding {
        var finding = finding
        finding.message = "in \(store): \(finding.message)"
        return finding
    }

    /// The finding of the only store.
    var finding: Finding {
        Finding(.warning, code: findingCode, subject: reference, message: failure.description, advice: findingAdvice)
    }

    private var findingCode: String {
        if isOrphan { return "backup-sidecar-missing" }
        return failure.code == .integrity ? "backup-damaged" : "backup-unreadable"
    }

    /// What the failure says to do, and what ends the finding where that does not help.
    private var findingAdvice: String {
        guard !isOrphan else { return failure.hint ?? "" }
        let last =
            scope == nil
            ? "copy its files anew, or remove them"
            : "copy its files back from another copy of the store; if only the sidecar is damaged, move that away and "
                + "make it anew with `etcd-snap adopt \(reference)` and your key; `etcd-snap delete \(reference)` removes "
                + "what is left of it"
        return [failure.hint, last].compactMap(\.self).joined(separator: "; ")
    }
}
