import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// A system call that failed on a named object.
public struct SystemCallError: Error, Sendable, CustomStringConvertible, FailureConvertible {
    /// What was being done, as a verb phrase: `open`, `write to`, `rename`.
    public var action: String
    /// The path or other name of the object.
    public var subject: String
    /// The error number.
    public var errno: Errno

    /// Creates an error from its parts; without `errno` the thread's current one is taken.
    public init(_ action: String, _ subject: String, errno code: Errno = Errno(rawValue: Glibc.errno)) {
        self.action = action
        self.subject = subject
        self.errno = code
    }

    /// One sentence: `cannot open "/x": No such file or directory`.
    public var description: String { "cannot \(action) \(quoted(subject)): \(errno)" }

    /// The failure with the exit code and the hint that fit the error number.
    public var failure: Failure {
        switch errno {
        case .noSpace, .diskQuotaExceeded:
            Failure(.noSpace, description, hint: "free some space there, or name another place")
        case .noSuchFileOrDirectory:
            Failure(.notFound, description, hint: "check the path")
        case .fileExists:
            Failure(.failed, description, hint: "nothing is ever replaced: name another file")
        case .notPermitted where geteuid() == 0:
            Failure(
                .failed, description,
                hint: "root is refused that: `lsattr -d` shows whether the file or its directory is immutable (i) or "
                    + "append-only (a), which `chattr` takes away; in a container the right may be missing")
        case .permissionDenied where geteuid() == 0:
            Failure(
                .failed, description,
                hint: "root is refused that: by a file system over a network that takes root for nobody, by SELinux or "
                    + "AppArmor, or by a container without the right")
        case .permissionDenied where action == "open directory":
            Failure(
                .failed, description,
                hint: "run as root, or let this user read that directory: passing through it is not enough")
        case .permissionDenied, .notPermitted:
            Failure(.failed, description, hint: "run as root, or as the owner of the file")
        case .readOnlyFileSystem:
            Failure(.failed, description, hint: "the file system is read-only: remount it, or name another place")
        case .noLocks:
            Failure(.failed, description, hint: "the file system gives no locks: name a place on another one")
        default:
            Failure(.failed, description)
        }
    }
}

/// Runs a system call until it is not interrupted by a signal.
///
/// - Returns: the call's result when it is not negative.
/// - Throws: ``SystemCallError`` with the action and subject.
@discardableResult
public func retryingInterrupts<Result: SignedInteger>(
    _ action: @autoclosure () -> String, _ subject: @autoclosure () -> String, _ call: () -> Result
) throws(SystemCallError) -> Result {
    while true {
        let result = call()
        if result >= 0 { return result }
        let code = Errno(rawValue: Glibc.errno)
        if code != .interrupted { throw SystemCallError(action(), subject(), errno: code) }
    }
}
