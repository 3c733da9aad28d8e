import Foundation

/// A directory that is removed with everything in it when its last reference goes.
public final class TemporaryDirectory: Sendable {
    /// The directory's path, without a slash at the end.
    public let path: String

    /// Creates an empty directory that only this user may enter.
    ///
    /// - Parameter place: an existing directory.
    public init(in place: String = NSTemporaryDirectory()) throws {
        var template = Array(
            (place as NSString).appendingPathComponent("etcd-snap-XXXXXX").utf8CString)
        guard let created = mkdtemp(&template) else { throw TestSupportError("mkdtemp: error \(errno)") }
        path = String(cString: created)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The path of an entry.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file and returns its path.
    @discardableResult
    public func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: file(name), atomically: false, encoding: .utf8)
        return file(name)
    }
}

/// Something that a test needs went wrong.
public struct TestSupportError: Error, CustomStringConvertible {
    /// What went wrong.
    public let description: String

    /// Creates an error from a message.
    public init(_ description: String) { self.description = description }
}
