import HostIO
import NodeFiles

/// The credentials that a unit gets (systemd.exec(5), "Credentials"): by which name it sees which file of the node.
///
/// What stands in the unit itself, and what systemd decrypts, is no file that could be read as what it is called.
struct ServiceCredentials {
    /// The paths on the node by names; nil for what is in no file that can be read.
    private(set) var paths: [String: String?] = [:]
    private var encryptedPaths: Set<String> = []
    /// Whether some stand encrypted in the unit itself.
    private var areInUnit = false
    private let root: NodeRoot

    private static let stores = ["/etc/credstore", "/run/credstore", "/usr/lib/credstore"]
    /// The key of this host that such files are encrypted with, if not with that of its TPM alone (systemd-creds(1)).
    static let hostKey = "/var/lib/systemd/credential.secret"

    /// The settings that give credentials.
    static let settings = [
        "LoadCredential", "LoadCredentialEncrypted", "ImportCredential", "SetCredential", "SetCredentialEncrypted",
    ]

    /// Files that systemd decrypts, and this host's key to them, if that is a file.
    var encryptedFiles: [String] {
        encryptedPaths.isEmpty && !areInUnit ? [] : encryptedPaths.sorted() + [Self.hostKey].filter(root.hasEntry)
    }

    private init(_ root: NodeRoot) { self.root = root }

    /// Those of a unit's settings, which have specifiers in their place.
    static func all(_ root: NodeRoot, _ items: (_ setting: String) -> [String]) -> ServiceCredentials {
        var credentials = ServiceCredentials(root)
        credentials.read(items)
        return credentials
    }

    /// What is loaded goes before what is imported, and that before what is set.
    private mutating func read(_ items: (_ setting: String) -> [String]) {
        for setting in ["SetCredential", "SetCredentialEncrypted"] {
            for item in items(setting) { paths[Self.parts(item).name] = .some(nil) }
        }
        areInUnit = !items("SetCredentialEncrypted").isEmpty
        for item in items("ImportCredential") { importCredentials(Self.parts(item)) }
        for (setting, isEncrypted) in [("LoadCredential", false), ("LoadCredentialEncrypted", true)] {
            for item in items(setting) { load(Self.parts(item), isEncrypted: isEncrypted) }
        }
    }

    private static func parts(_ item: String) -> (name: String, rest: String?) {
        let parts = item.split(separator: ":", maxSplits: 1).map(String.init)
        return (parts.first ?? item, parts.count > 1 ? parts[1] : nil)
    }

    private mutating func load(_ item: (name: String, rest: String?), isEncrypted: Bool) {
        let source = item.rest ?? item.name
        guard !source.hasPrefix("/") else { return add(item.name, source, isEncrypted: isEncrypted) }
        // A name alone is looked for in the system's own stores.
        let places = Self.stores.flatMap { store in
            [(joinPath(store, source), isEncrypted)]
                + (isEncrypted ? [(joinPath(store + ".encrypted", source), true)] : [])
        }
        let found = places.first { root.hasEntry($0.0) } ?? places[0]
        add(item.name, found.0, isEncrypted: found.1)
    }

    /// `PATTERN` or `PATTERN:PREFIX`, where the prefix takes the place of what stands before the pattern's wildcard.
    private mutating func importCredentials(_ item: (name: String, rest: String?)) {
        guard !item.name.contains("/") else { return }
        let fixed = item.name.prefix { !"*?[".contains($0) }
        for store in Self.stores.reversed() {
            for (directory, isEncrypted) in [(store + ".encrypted", true), (store, false)] {
                for path in FilePattern.paths(matching: joinPath(directory, item.name), in: root) {
                    let name = lastName(path)
                    add(item.rest.map { $0 + name.dropFirst(fixed.count) } ?? name, path, isEncrypted: isEncrypted)
                }
            }
        }
    }

    /// Of a directory every file is one, `NAME_FILE`.
    private mutating func add(_ name: String, _ path: String, isEncrypted: Bool, depth: Int = 0) {
        if depth < 8, case .directory = root.find(path) {
            for entry in (try? root.names(in: path)) ?? [] {
                add("\(name)_\(entry)", joinPath(path, entry), isEncrypted: isEncrypted, depth: depth + 1)
            }
            return
        }
        // What the unit sets is the default for what can't be loaded.
        guard paths[name] == nil || root.hasEntry(path) else { return }
        paths[name] = .some(isEncrypted ? nil : path)
        if isEncrypted { encryptedPaths.insert(path) }
    }
}
