import FoundationEssentials
import HostIO

/// What rclone tells of a remote: `listremotes --long` and `backend features`.
struct RcloneRemote: Sendable, Equatable {
    /// How an object comes to its name.
    enum Placement: Sendable, Equatable {
        /// It is written under a hidden name and renamed.
        case renamed
        /// It is written under its own name, where it appears when it is whole.
        case direct
        /// It is written under its own name, where it may grow.
        case growing
    }

    /// The backend's type, such as `sftp`.
    var type: String
    var placement: Placement
    /// The strongest digest that it has of objects, of those that are computed here; nil if it has none of them.
    var digest: RcloneDigest?
    /// Whether it takes no streams, so that rclone writes each to a file of this host first.
    var spools: Bool
    /// Whether it can say how much room there is.
    var countsSpace: Bool
    /// Whether it is this host's own file system.
    var isLocal: Bool
    /// Whether the server's host key is checked; nil where there is none, or this version does not say.
    var checksHostKey: Bool?

    private struct Document: Decodable {
        struct Features: Decodable {
            var isBucketBased: Bool
            var move: Bool
            var copy: Bool
            var putStream: Bool
            var about: Bool
            var isLocal: Bool?

            private enum CodingKeys: String, CodingKey {
                case isBucketBased = "BucketBased"
                case move = "Move"
                case copy = "Copy"
                case putStream = "PutStream"
                case about = "About"
                case isLocal = "IsLocal"
            }
        }

        var features: Features
        var digests: [String]?

        private enum CodingKeys: String, CodingKey {
            case features = "Features"
            case digests = "Hashes"
        }
    }

    /// Asks rclone about the remote of a location.
    ///
    /// - Throws: ``ObjectError``, of the code `usage` if the configuration does not have the remote; `CancellationError`.
    init(_ location: RcloneLocation, _ program: RcloneProgram) throws {
        let type = try Self.type(of: location, program)
        var bytes: [UInt8] = []
        let action = "ask what the remote can do"
        let run = try program.run(action, ["backend", "features", location.target("")]) {
            bytes += Self.some($0, bytes)
        }
        try run.check()
        guard let document = try? JSONDecoder().decode(Document.self, from: Data(bytes)) else {
            throw ObjectError(
                .failed,
                Failure(
                    .failed, "cannot \(action) in \(location): rclone's answer is another one than expected",
                    hint: "look at what `rclone backend features \(location.target(""))` prints"))
        }
        let features = document.features
        self.type = type
        // Object stores show an object when its upload is completed; they copy to rename, and may refuse to remove.
        placement = features.isBucketBased ? .direct : features.move || features.copy ? .renamed : .growing
        digest = RcloneDigest.allCases.first { (document.digests ?? []).contains($0.rawValue) }
        spools = !features.putStream
        countsSpace = features.about
        isLocal = features.isLocal ?? false
        let warns = run.error.errorText.contains("No host key validation")
        checksHostKey = type != "sftp" || program.version < .recommended ? nil : !warns
    }

    private static func type(of location: RcloneLocation, _ program: RcloneProgram) throws -> String {
        var bytes: [UInt8] = []
        let run = try program.run("list remotes", ["listremotes", "--long"]) { bytes += some($0, bytes) }
        try run.check()
        let remotes = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).map {
            (line: Substring) -> (name: Substring, type: Substring) in
            let colon = line.firstIndex(of: ":") ?? line.endIndex
            return (line[..<colon], line[colon...].dropFirst().drop { $0 == " " })
        }
        if let remote = remotes.first(where: { $0.name == location.remote }) {
            return String(remote.type.prefix { $0 != " " })
        }
        let names = remotes.map { quoted(String($0.name)) }
        let file = program.settings.configFile.map { " \(quoted($0))" } ?? " of this user"
        throw ObjectError(
            .failed,
            Failure(
                .usage, "rclone has no remote \(quoted(location.remote)) in the configuration file\(file)",
                hint: names.isEmpty
                    ? "it has none at all: `rclone config` makes one, or name the file that has it"
                    : "it has \(names.prefix(20).joined(separator: ", ")): name one of these, or the file that has it"))
    }

    private static func some(_ bytes: UnsafeRawBufferPointer, _ before: [UInt8]) -> [UInt8] {
        Array(bytes.prefix(max(0, (1 << 20) - before.count)))
    }
}
