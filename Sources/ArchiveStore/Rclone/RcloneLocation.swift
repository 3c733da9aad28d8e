public import HostIO

/// A place in a remote of rclone's configuration file: `rclone:REMOTE:PATH`.
public struct RcloneLocation: Sendable, Equatable, CustomStringConvertible {
    /// The name of the remote.
    public let remote: String
    /// The path in it, without slashes at its end; empty for the remote's own place.
    ///
    /// One at its beginning is the remote's business: of sftp that is the host's root, and without it the user's home.
    public let path: String

    /// What a location begins with.
    public static let scheme = "rclone:"

    /// The most bytes of a path.
    private static let pathLimit = 1024

    /// The location that a text names; slashes at its end don't count.
    ///
    /// - Throws: ``Failure`` with the code `usage` that says what is wrong; it shows nothing of a connection string, whose
    ///   passwords anybody can read who has rclone.
    public init(_ text: String) throws(Failure) {
        guard text.prefix(Self.scheme.count).lowercased() == Self.scheme else {
            throw Failure(.usage, "\(quoted(withoutSecrets(text))) names no place of rclone's", hint: Self.form)
        }
        let rest = text.dropFirst(Self.scheme.count)
        if rest.hasPrefix(":") || rest.prefix(while: { $0 != ":" && $0 != "/" }).contains(",") {
            let shown = Self.scheme + rest.prefix { $0 != "," && $0 != "=" } + ",…"
            throw Failure(
                .usage, "\(quoted(withoutSecrets(shown))) describes a remote instead of naming one",
                hint:
                    "what it says would be in the list of processes, and a password that rclone has obscured is readable: "
                    + "give the remote a name with `rclone config`, and write rclone:NAME:PATH")
        }
        let shown = quoted(withoutSecrets(text))
        guard let colon = rest.firstIndex(of: ":") else {
            throw Failure(
                .usage, "\(shown) has no colon behind the remote's name",
                hint: "\(Self.form); a directory of this host is named by its path alone")
        }
        let remote = String(rest[..<colon])
        if let problem = Self.remoteProblem(remote) {
            throw Failure(
                .usage, "\(shown) names no place of rclone's: \(problem)",
                hint: "\(Self.form); `rclone listremotes` lists the names of the configuration file")
        }
        var path = rest[rest.index(after: colon)...]
        while path.hasSuffix("/"), path != "/" { path.removeLast() }
        if let problem = Self.pathProblem(String(path)) {
            throw Failure(.usage, "\(shown) has a path that can't be that of a store: \(problem)", hint: Self.form)
        }
        self.remote = remote
        self.path = String(path)
    }

    private static let form = "write it as in rclone:offsite:backups/etcd"

    /// The location as it is written.
    public var description: String { Self.scheme + target("") }

    /// What rclone calls something below this place; the place itself for an empty name.
    func target(_ name: String) -> String {
        let separator = path.isEmpty || path == "/" || name.isEmpty ? "" : "/"
        return "\(remote):\(path)\(separator)\(name)"
    }

    /// What is wrong with the name of a remote: rclone's rules (`fspath.CheckConfigName`).
    private static func remoteProblem(_ name: String) -> String? {
        if name.isEmpty { return "the remote's name is missing" }
        if name.contains("/") { return "the remote's name \(quoted(name)) has a slash" }
        let isAllowed = { (character: Character) in
            character.isLetter || character.isNumber || "_.+@- ".contains(character)
        }
        guard name.allSatisfy(isAllowed) else {
            return "the remote's name \(quoted(name)) has other characters than letters, digits, spaces and _ . + @ -"
        }
        if name.hasPrefix("-") || name.hasPrefix(" ") || name.hasSuffix(" ") {
            return "the remote's name \(quoted(name)) begins with a hyphen, or begins or ends with a space"
        }
        return name.utf8.count <= 255 ? nil : "the remote's name has \(name.utf8.count) bytes"
    }

    private static func pathProblem(_ path: String) -> String? {
        guard path.utf8.count <= pathLimit else { return "it has \(path.utf8.count) bytes, and may have \(pathLimit)" }
        if printable(path) != path { return "it has control characters" }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst(path.hasPrefix("/") ? 1 : 0)
        guard path != "/" else { return nil }
        if parts.count > 1 || !path.isEmpty, parts.contains("") { return "a part of it is empty" }
        if parts.contains(".") || parts.contains("..") { return "a part of it is . or .." }
        return nil
    }
}
