import FoundationEssentials
import HostIO
import SystemPackage

/// Where a member's data directory is to be, below a root.
struct DataPlace {
    /// As this host sees it.
    let path: String
    private let parentLocation: String
    private let name: String

    init(_ dataDirectory: String, root: String) {
        path = absolutePath("." + absolutePath(dataDirectory, from: "/"), from: absolutePath(root).string)
        parentLocation = parentPath(path)
        name = lastName(path)
    }

    private func parent() -> OpenDirectory? { try? OpenDirectory(path: parentLocation) }

    /// Whether something is in it.
    func isOccupied() throws -> Bool {
        guard let parent = parent(), parent.contains(name) else { return false }
        guard parent.isDirectory(name) else { return true }
        return try !parent.openDirectory(name).utf8Names().filter { $0 != "lost+found" }.isEmpty
    }

    /// Refuses data that an etcd uses, which locks its database (bbolt, `flock`).
    func checkUnused() throws {
        let database = path + "/member/snap/db"
        guard let directory = try? OpenDirectory(path: parentPath(database)),
            let descriptor = try? directory.openFile("db")
        else { return }
        defer { try? descriptor.close() }
        guard try !tryLockExclusively(descriptor, name: database) else { return }
        throw Failure(
            .failed, "an etcd runs on the data in \(quoted(path))",
            hint: "if it is not what was lost, it must not be overwritten; else stop it")
    }

    /// What is there.
    ///
    /// - Throws: ``Failure`` for data on a file system of its own, which can't be moved as a whole.
    func before(at now: Date) throws -> RebuildJournal.DataBefore {
        guard let parent = parent(), parent.contains(name) else { return .init(kind: .absent) }
        guard parent.isDirectory(name) else {
            throw Failure(.failed, "\(quoted(path)) is no directory", hint: "move it away")
        }
        let directory = try parent.openDirectory(name)
        let attributes = try directory.attributes()
        var before = RebuildJournal.DataBefore(
            kind: .empty, mode: attributes.mode, owner: FileOwner(of: attributes).description)
        let isMount = try directory.isMountRoot()
        if try isOccupied() {
            guard !isMount else {
                throw Failure(
                    .failed, "\(quoted(path)) is a file system of its own with data on it, which can't be moved aside",
                    hint: "move what is in it into another place")
            }
            before.kind = .moved
            let time = now.formatted(.iso8601).filter { $0.isNumber || $0 == "T" || $0 == "Z" }
            before.movedTo = "\(name).before-rebuild-\(time)"
        } else if isMount {
            before.kind = .mount
        }
        return before
    }

    /// Clears the place, of what an earlier run has made too.
    func clear(_ before: RebuildJournal.DataBefore) throws {
        guard let parent = parent() else { return }
        if let moved = before.movedTo, !parent.contains(moved), parent.contains(name) {
            try parent.rename(name, to: moved, replacing: false)
            return try parent.sync()
        }
        try removeMade(before, in: parent)
    }

    /// Makes the place what it was.
    func putBack(_ before: RebuildJournal.DataBefore) throws {
        guard let parent = parent() else { return }
        if let moved = before.movedTo {
            guard parent.contains(moved) else { return }
            try removeMade(before, in: parent)
            try parent.rename(moved, to: name, replacing: false)
            return try parent.sync()
        }
        try removeMade(before, in: parent)
        if before.kind == .empty, !parent.contains(name) {
            let made = try parent.makeDirectory(name)
            let file = OpenFileAttributes(of: made.descriptor, name: made.path)
            if let owner = before.owner.flatMap({ FileOwner(numbers: $0) }) {
                try file.setOwner(userID: owner.userID, groupID: owner.groupID)
            }
            if let mode = before.mode { try file.setMode(mode) }
        }
        try parent.sync()
    }

    private func removeMade(_ before: RebuildJournal.DataBefore, in parent: OpenDirectory) throws {
        guard before.kind == .mount else {
            if parent.contains(name) { try parent.removeTree(name) }
            // What a killed run has staged beside it.
            let staging = try? StagingDirectory(target: path)
            staging?.discard()
            return
        }
        // What is below the place of a file system that is gone was never looked at.
        guard parent.isDirectory(name), case let directory = try parent.openDirectory(name), try directory.isMountRoot()
        else { return }
        for name in try directory.utf8Names() where name != "lost+found" { try directory.removeTree(name) }
    }
}
