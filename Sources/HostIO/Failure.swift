/// An error meant for a person: what failed, with names and numbers, and what to do next.
///
/// Messages are one lower-case sentence without a full stop. Leaf modules throw their own typed errors where a caller
/// decides on them, and conform those to ``FailureConvertible``; everything that reaches the user is a `Failure`.
public struct Failure: Error, Sendable, CustomStringConvertible {
    /// The kind of a failure; its raw value is the exit status of the process.
    public enum Code: Int32, Sendable, CaseIterable {
        /// The operation failed; nothing that existed before was changed.
        case failed = 1
        /// The command line or the configuration is wrong.
        case usage = 2
        /// The operation was done, with findings that need attention.
        case findings = 3
        /// What was asked for does not exist.
        case notFound = 4
        /// Another run holds the lock.
        case locked = 5
        /// There is not enough space in the store or on the target.
        case noSpace = 6
        /// Data is damaged: a digest, a length or a structure does not hold.
        case integrity = 7
        /// Authentication or trust failed: a wrong key, a wrong certificate, a wrong password.
        case untrusted = 8
        /// What was made is durable, but in fewer stores than it should be.
        case tooFewStores = 9
    }

    /// The kind of failure.
    public var code: Code
    /// One lower-case sentence that names the object and the numbers.
    public var message: String
    /// What to do next, when there is something sensible to say; names no flag of the command line.
    public var hint: String?
    /// What the hint asks to be set; whoever shows it knows how that is done.
    public var settings: [Setting]
    /// The error underneath, when there is one.
    public var cause: (any Error)?

    /// Creates a failure from its parts.
    public init(
        _ code: Code, _ message: String, hint: String? = nil, settings: [Setting] = [], cause: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.hint = hint
        self.settings = settings
        self.cause = cause
    }

    /// The message, followed by the messages of its causes.
    public var description: String {
        guard let cause else { return message }
        return "\(message): \(cause)"
    }
}

extension Failure {
    /// Something that a person can set, such as the endpoints of etcd; each module names those that its hints speak of.
    ///
    /// The command line has the flag of each.
    public struct Setting: Hashable, Sendable {
        /// The name, in camel case.
        public let name: String

        /// The setting of a name.
        public init(_ name: String) { self.name = name }
    }
}

/// An error of a leaf module that knows how it is told to a person.
public protocol FailureConvertible: Error {
    /// This error in the form that is shown to a person.
    var failure: Failure { get }
}

extension Failure {
    /// Any error as a failure: itself, its own conversion, or its description under the code ``Code/failed``.
    public init(wrapping error: any Error) {
        switch error {
        case let failure as Failure: self = failure
        case let convertible as any FailureConvertible: self = convertible.failure
        default: self.init(.failed, String(describing: error))
        }
    }
}
