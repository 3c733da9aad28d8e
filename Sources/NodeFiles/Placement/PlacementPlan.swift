import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

/// What placing an entry would do.
public struct PlannedPlacement: Codable, Sendable, Equatable {
    /// What is done.
    public enum Action: String, Codable, Sendable {
        /// Nothing is there yet.
        case create
        /// Something else is there; it is kept aside.
        case replace
        /// The same is there.
        case unchanged
        /// A directory is made.
        case makeDirectory = "make-directory"
        /// It can't be placed.
        case blocked
        /// It is left out unless its class is asked for.
        case leftOut = "left-out"
    }

    /// The absolute path on the node.
    public var path: String
    /// What the entry is in a control plane.
    public var role: String
    /// What is done.
    public var action: Action
    /// What differs, or why it is blocked or left out.
    public var reason: String?

    /// A plan for an entry from its parts.
    public init(path: String, role: String, action: Action, reason: String? = nil) {
        self.path = path
        self.role = role
        self.action = action
        self.reason = reason
    }
}

extension FilePlacement {
    /// What placing entries of a manifest would do; changes nothing.
    ///
    /// Extended attributes are not in the manifest: an entry that differs in them alone counts as unchanged here, and is
    /// replaced all the same.
    ///
    /// - Throws: ``SystemCallError`` if what is there can't be read.
    public func plan(for entries: [ManifestEntry]) throws -> [PlannedPlacement] {
        try entries.compactMap { entry in
            guard let all = EntryName.components(of: entry.pathInArchive), all.count > strippedNames.count,
                all.starts(with: strippedNames)
            else {
                return PlannedPlacement(
                    path: entry.path, role: entry.role, action: .blocked, reason: "its path leads elsewhere")
            }
            let names = Array(all.dropFirst(strippedNames.count))
            if let name = names.last, StagedName.matches(name.bytes) { return nil }
            let path = "/" + names.map(\.description).joined(separator: "/")
            let (action, reason) = try action(for: entry, names)
            return PlannedPlacement(path: path, role: entry.role, action: action, reason: reason)
        }
    }

    private func action(
        for entry: ManifestEntry, _ names: [EntryName]
    ) throws -> (PlannedPlacement.Action, String?) {
        var parent = root
        do {
            for name in names.dropLast() { parent = try parent.openDirectory(name) }
        } catch {
            if error.errno == .noSuchFileOrDirectory { return making(entry, in: parent) }
            guard [.notDirectory, .tooManySymbolicLinkLevels].contains(error.errno) else { throw error }
            return (.blocked, "a directory on the way is a link or no directory")
        }
        guard let name = names.last, let existing = try parent.existingAttributes(of: name) else {
            return making(entry, in: parent)
        }
        switch (entry.kind.known, existing.kind) {
        case (.directory, .directory): return (.unchanged, nil)
        case (_, .directory), (_, .fifo), (_, .socket), (_, .device): return (.blocked, "a \(existing.kind) is there")
        default: break
        }
        // What is the same is staged too, for only that tells.
        if let obstacle = parent.obstacleToWriting { return (.blocked, obstacle) }
        let differences = try differences(entry, name, existing, in: parent)
        if differences.isEmpty { return (.unchanged, nil) }
        if let obstacle = parent.obstacle(toReplacing: name) { return (.blocked, obstacle) }
        return (.replace, differences.joined(separator: ", "))
    }

    /// - Parameter parent: the last directory on the way that is there.
    private func making(
        _ entry: ManifestEntry, in parent: OpenDirectory
    ) -> (PlannedPlacement.Action, String?) {
        if let obstacle = parent.obstacleToWriting { return (.blocked, obstacle) }
        return (entry.kind == .directory ? .makeDirectory : .create, nil)
    }

    private func differences(
        _ entry: ManifestEntry, _ name: EntryName, _ existing: EntryAttributes, in parent: OpenDirectory
    ) throws -> [String] {
        switch (entry.kind.known, existing.kind) {
        case (.symbolicLink, .symbolicLink):
            return try parent.readLink(name) == entry.linkTargetInArchive ? [] : ["target"]
        case (.hardLink, .file): return try isLinked(entry, existing) ? [] : ["hard link"]
        case (.file, .file): break
        default: return ["kind"]
        }
        var differences: [String] = []
        if existing.byteCount != entry.size { differences.append("size") }
        if existing.byteCount == entry.size, try parent.sha256(of: name) != entry.sha256 {
            differences.append("contents")
        }
        if "0" + String(existing.mode, radix: 8) != entry.mode { differences.append("mode") }
        if "\(existing.userID):\(existing.groupID)" != entry.owner { differences.append("owner") }
        if differences.isEmpty, existing.modificationSeconds != Int64(entry.modifiedAt.timeIntervalSince1970) {
            differences.append("time")
        }
        return differences
    }

    /// Whether what is there is a name of the file that the entry is a further name of.
    private func isLinked(_ entry: ManifestEntry, _ existing: EntryAttributes) throws -> Bool {
        guard let target = entry.linkTargetInArchive, let all = EntryName.components(of: target),
            all.count > strippedNames.count, all.starts(with: strippedNames), let name = all.last
        else { return false }
        let parents = all.dropFirst(strippedNames.count).dropLast()
        guard let parent = try? parents.reduce(root, { try $0.openDirectory($1) }) else { return false }
        return try parent.existingAttributes(of: name)?.identity == existing.identity
    }
}
