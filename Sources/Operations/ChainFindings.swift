import ArchiveStore
import SealedArchive

extension ChainProblem {
    /// What does not hold in the chain, as a finding of the next backup.
    var finding: Finding {
        Finding(.warning, code: code.rawValue, subject: subject, message: message, advice: advice)
    }
}
