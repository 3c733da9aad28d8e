import HostIO
import SystemPackage

/// What looking at a path came to.
///
/// What can't be looked at may be there, and must not be taken for missing.
public enum PathLookup: Sendable {
    /// Something is there.
    case found(EntryAttributes)
    /// Nothing is there, or a link to nothing.
    case missing
    /// It can't be told: no permission, no free descriptor, a broken disk, links in a circle.
    case unreadable(SystemCallError)
}

extension SystemCallError {
    /// Whether it says that there is nothing of that name.
    public var meansMissing: Bool { errno == .noSuchFileOrDirectory || errno == .notDirectory }
}
