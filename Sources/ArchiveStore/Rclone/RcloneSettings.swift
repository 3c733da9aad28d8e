public import HostIO

/// How rclone is run.
public struct RcloneSettings: Sendable, Equatable {
    /// The configuration file with the remote; nil for the user's own.
    public var configFile: String?
    /// The file with the password of an encrypted configuration file, which rclone reads by itself.
    public var configPasswordFile: String?
    /// The program; nil for that of the host's directories of programs.
    public var executable: String?
    /// Where rclone puts what a remote can't take as a stream; nil for `/tmp`.
    public var temporaryDirectory: String?
    /// How long a connection may take, in seconds.
    public var connectSeconds = 15
    /// How long a transfer may stand still, in seconds.
    public var stallSeconds = 120
    /// How long anything else may take, in seconds; so may the end of an upload.
    public var operationSeconds = 600

    /// What each of the times may be, in seconds.
    public static let allowedSeconds = 1...86_400

    /// The settings that hold if nothing is said.
    public init() {}

    /// Checks what can be checked without running rclone.
    ///
    /// - Throws: ``Failure`` with the code `usage`.
    public func validate() throws(Failure) {
        let paths = [
            ("configuration file", configFile), ("password file of the configuration", configPasswordFile),
            ("program", executable), ("temporary directory", temporaryDirectory),
        ]
        for case (let name, let path?) in paths {
            guard path.hasPrefix("/"), path.utf8.count < 4096, printable(path) == path else {
                throw Failure(
                    .usage, "rclone's \(name) \(quoted(path)) is no absolute path",
                    hint: "a service has no directory of its own: write the whole path")
            }
        }
        let times = [("connection", connectSeconds), ("stall", stallSeconds), ("operation", operationSeconds)]
        for (name, seconds) in times where !Self.allowedSeconds.contains(seconds) {
            throw Failure(
                .usage, "the limit of \(seconds) s for a \(name) of rclone's can't be",
                hint: "name \(Self.allowedSeconds.lowerBound) to \(Self.allowedSeconds.upperBound) seconds")
        }
    }
}
