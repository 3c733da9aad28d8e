import EncryptionAtRest
import HostIO
import NodeFiles
import PKIBackup

/// The API servers of a node with the keys of their configurations, as they were sealed; read once for all etcds.
struct NodeEncryption: Sendable {
    /// Each server with how it reads; nil where its configuration can't be read, which is a finding of the analysis.
    private let servers: [(server: EncryptionServer, reader: EncryptionReader?)]

    /// Whether the node has an API server, be it one of which no file tells of encryption.
    var hasAPIServer = false

    init(_ servers: [EncryptionServer], in files: any FileSource) {
        self.servers = servers.map { ($0, Self.reader(of: $0, in: files)) }
    }

    /// Who must be able to read the values of an etcd; nil if none has a configuration that can be read.
    func readers(ofEtcd name: String) -> EncryptionReaders? {
        let asked = servers.filter { $0.server.reads(etcd: name) }
        let readers = asked.compactMap(\.reader)
        guard asked.contains(where: { !$0.server.paths.isEmpty }), !readers.isEmpty else { return nil }
        return EncryptionReaders(readers)
    }

    private static func reader(of server: EncryptionServer, in files: any FileSource) -> EncryptionReader? {
        let configurations = server.paths.compactMap { configuration(at: $0, in: files) }
        guard configurations.count == server.paths.count else { return nil }
        var whole = configurations.first
        whole?.rules = configurations.flatMap(\.rules)
        return EncryptionReader(subject: server.subject, prefix: server.prefix, configuration: whole)
    }

    private static func configuration(at path: String, in files: any FileSource) -> EncryptionConfiguration? {
        guard var bytes = try? files.bytes(of: path, limitByteCount: 4 << 20) else { return nil }
        defer { bytes.wipe() }
        return try? EncryptionConfiguration(parsing: bytes, path: path, keepingSecrets: true)
    }
}
