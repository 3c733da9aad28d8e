import EncryptionAtRest
import HostIO
import NodeFiles
import PKIBackup

extension EncryptionReaders {
    /// The API servers of a node with the keys of their configurations, as they were sealed.
    ///
    /// - Returns: nil if none has a configuration that can be read.
    init?(_ servers: [EncryptionServer], in files: any FileSource) {
        let readers = servers.compactMap { server -> EncryptionReader? in
            guard !server.paths.isEmpty else {
                return EncryptionReader(subject: server.subject, prefix: server.prefix, configuration: nil)
            }
            let configurations = server.paths.compactMap { Self.configuration(at: $0, in: files) }
            // What can't be read is a finding of the analysis, and then nothing is tried.
            guard configurations.count == server.paths.count, var configuration = configurations.first else {
                return nil
            }
            configuration.rules = configurations.flatMap(\.rules)
            return EncryptionReader(subject: server.subject, prefix: server.prefix, configuration: configuration)
        }
        guard servers.contains(where: { !$0.paths.isEmpty }), !readers.isEmpty else { return nil }
        self.init(readers)
    }

    private static func configuration(at path: String, in files: any FileSource) -> EncryptionConfiguration? {
        guard var bytes = try? files.bytes(of: path, limitByteCount: 4 << 20) else { return nil }
        defer { bytes.wipe() }
        return try? EncryptionConfiguration(parsing: bytes, path: path, keepingSecrets: true)
    }
}
