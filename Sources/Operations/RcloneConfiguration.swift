import ArchiveStore
import HostIO

extension Configuration {
    /// How rclone is run for a store in one of its remotes.
    public struct Rclone: Codable, Sendable, Equatable, StrictlyKeyed {
        /// The configuration file with the remote; without it the user's own.
        public var config: String?
        /// The file with the password of an encrypted configuration file.
        public var configPasswordFile: String?
        /// The program; without it that of the host.
        public var executable: String?
        /// Where rclone puts what a remote can't take as a stream.
        public var temporaryDirectory: String?
        /// How long a connection may take, in seconds.
        public var connectTimeoutSeconds: Int?
        /// How long a transfer may stand still, in seconds.
        public var stallTimeoutSeconds: Int?
        /// How long anything else may take, in seconds.
        public var timeoutSeconds: Int?

        /// An empty section.
        public init() {}

        enum CodingKeys: String, CodingKey, CaseIterable {
            case config, configPasswordFile, executable, temporaryDirectory
            case connectTimeoutSeconds, stallTimeoutSeconds, timeoutSeconds
        }

        /// The settings of a store.
        ///
        /// - Throws: ``Failure`` with the code `usage` for values that can't be.
        func settings() throws(Failure) -> RcloneSettings {
            var settings = RcloneSettings()
            settings.configFile = config
            settings.configPasswordFile = configPasswordFile
            settings.executable = executable
            settings.temporaryDirectory = temporaryDirectory
            settings.connectSeconds = connectTimeoutSeconds ?? settings.connectSeconds
            settings.stallSeconds = stallTimeoutSeconds ?? settings.stallSeconds
            settings.operationSeconds = timeoutSeconds ?? settings.operationSeconds
            try settings.validate()
            return settings
        }
    }
}
