import FoundationEssentials
import HostIO
import Operations
import SealedArchive
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Standard error: progress, notes, warnings and errors.
final class Console: Sendable {
    static let shared = Console()

    /// How much is said.
    enum Verbosity: Int, Comparable {
        case quiet, normal, verbose
        static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    private struct State {
        var verbosity = Verbosity.normal
        var writesErrorsAsJSON = false
        var bar = ProgressBar(isTerminal: isatty(STDERR_FILENO) == 1, columnCount: { columnCount(of: STDERR_FILENO) })
    }

    private let state = Mutex(State())

    func configure(verbosity: Verbosity, errorsAsJSON: Bool) {
        state.withLock {
            $0.verbosity = verbosity
            $0.writesErrorsAsJSON = errorsAsJSON
        }
    }

    /// An observer that reports here.
    var observer: Observer {
        Observer(
            progress: { self.progress($0) }, note: { self.note($0) }, warn: { self.warn($0) },
            detail: { self.detail($0) })
    }

    /// Something done or decided; not in quiet mode.
    func note(_ text: String) { line(text, from: .normal) }

    /// A detail; only in verbose mode.
    func detail(_ text: String) { line(text, from: .verbose) }

    /// Something that needs attention.
    func warn(_ text: String) { line("warning: \(text)", from: .quiet) }

    /// What was found, by how bad it is.
    func report(_ finding: Finding) {
        line("\(findingLabel(finding)): \(findingLine(finding))", from: finding.isDefect ? .quiet : .normal)
    }

    /// Why the command failed, and what to do.
    func error(_ failure: Failure) {
        if state.withLock({ $0.writesErrorsAsJSON }), let bytes = try? DocumentCoding.encode(ErrorDocument(failure)) {
            return write(String(decoding: bytes.dropLast(), as: UTF8.self))
        }
        write("error: \(failure)")
        if let hint = failure.shownHint { write("hint: \(hint)") }
    }

    /// Shows progress on a terminal, and now and then a line elsewhere.
    func progress(_ progress: Progress) {
        state.withLock { state in
            guard state.verbosity > .quiet, let text = state.bar.update(progress) else { return }
            put(text)
        }
    }

    /// Takes the progress off the terminal, before something else is printed there.
    func clearProgress() {
        state.withLock { put($0.bar.clear()) }
    }

    /// Writes a line whatever the verbosity.
    func write(_ text: String) { line(text, from: .quiet) }

    private func line(_ text: String, from verbosity: Verbosity) {
        state.withLock { state in
            guard state.verbosity >= verbosity else { return }
            put(state.bar.clear() + text + "\n")
        }
    }

    private func put(_ text: String) {
        // A message that can't be written can't be told either.
        _ = Array(withoutSecrets(text).utf8).withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

/// A failure as `-o json` writes it to standard error.
private struct ErrorDocument: Encodable {
    struct Content: Encodable {
        var exitCode: Int32
        var message: String
        var hint: String?
    }

    var error: Content

    init(_ failure: Failure) {
        error = Content(exitCode: failure.code.rawValue, message: failure.description, hint: failure.shownHint)
    }
}
