import HostIO
import SealedArchive
import SystemPackage

/// An entry that is complete under a temporary name beside its place.
struct StagedEntry {
    var names: [EntryName]
    var temporaryName: EntryName
    /// What the archive has there, for messages.
    var kind: EntryKind
    var isDatabase: Bool
    var order: PlacementOrder
    /// Whether it comes first within its step.
    var isFirst: Bool
}

extension FilePlacement {
    /// A directory's place: there already, made, or made in the place of something else that is kept aside.
    func placeDirectory(
        _ name: EntryName, _ names: [EntryName], _ metadata: EntryMetadata, in parent: OpenDirectory
    ) throws -> OpenDirectory {
        guard journal != nil else {
            try makeDirectory(name, names, in: parent)
            return try parent.openDirectory(name)
        }
        let existing = try parent.existingAttributes(of: name)
        if let existing, existing.kind != .directory {
            try checkObstacle(toReplacing: name, in: parent)
            try keepAside(names, existing, in: parent)
            try parent.removeFile(name)
            counts.replacedCount += 1
        }
        if existing?.kind != .directory { try stageDirectory(name, names, metadata, in: parent) }
        return try parent.openDirectory(name)
    }

    /// Makes a member beside its place, unless the same is there already.
    func stage(
        _ names: [EntryName], _ member: ArchiveMember, _ order: PlacementOrder, in parent: OpenDirectory,
        _ inspect: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        guard let name = names.last else { return }
        let temporaryName = StagedName.random()
        let existing = try parent.existingAttributes(of: name)
        try checkReplaceable(existing, by: member.metadata.kind, parent.path(of: name))
        try journal?.note(Array(names.dropLast()))
        do {
            var (isDatabase, isLink) = (false, false)
            switch try make(temporaryName, for: names, member, in: parent, inspect) {
            case .made(let isOne): isDatabase = isOne
            case .furtherName: isLink = true
            case .copy: break
            case .leftOut: return
            }
            if let existing, try parent.isSame(name, existing, as: temporaryName, in: parent, isLink: isLink) {
                try parent.removeFile(temporaryName)
                counts.unchangedCount += 1
                databases.note(names, isDatabase: isDatabase)
                return databases.noteUnchanged(names)
            }
            if existing != nil { try checkObstacle(toReplacing: name, in: parent) }
            staged.append(
                StagedEntry(
                    names: names, temporaryName: temporaryName, kind: member.metadata.kind, isDatabase: isDatabase,
                    order: order, isFirst: comesFirst(order, temporaryName, in: parent)))
            stagedNames[names] = temporaryName
        } catch {
            remove(temporaryName, below: names.dropLast())
            throw error
        }
    }

    private func checkReplaceable(_ existing: EntryAttributes?, by kind: EntryKind, _ path: String) throws {
        switch existing?.kind {
        case nil, .file, .symbolicLink: return
        case .directory:
            throw Failure(
                .failed, "\(quoted(path)) is a directory where the archive has a \(kind)",
                hint: "move the directory away")
        case .fifo?, .socket?, .device?:
            throw Failure(
                .failed, "\(quoted(path)) is no file, which is not replaced", hint: "remove it")
        }
    }

    /// Refuses, before anything is replaced, what no rename could replace.
    private func checkObstacle(toReplacing name: EntryName, in parent: OpenDirectory) throws {
        guard let obstacle = parent.obstacle(toReplacing: name) ?? parent.obstacleToWriting else { return }
        throw Failure(
            .failed, "\(quoted(parent.path(of: name))) can't be replaced: \(obstacle)",
            hint: "do that first, and restore again")
    }

    private func comesFirst(_ order: PlacementOrder, _ name: EntryName, in directory: OpenDirectory) -> Bool {
        let limit = 1 << 20
        guard let comesFirst = order.comesFirst, let descriptor = try? directory.openFile(name) else { return false }
        defer { try? descriptor.close() }
        let bytes = try? [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            count = try readFully(
                descriptor, name: directory.path(of: name), at: 0, into: UnsafeMutableRawBufferPointer(buffer))
        }
        return bytes.map(comesFirst) ?? false
    }

    // MARK: Commit

    /// Puts what is staged into its place, step by step; first what waits for nothing, at the end the rest.
    func commit(waiting: Bool) throws {
        for step in Set(staged.lazy.filter { $0.order.waitsForAll == waiting }.map(\.order.step)).sorted() {
            let entries = staged.filter { $0.order.waitsForAll == waiting && $0.order.step == step }
            for entry in entries.filter(\.isFirst) + entries.filter({ !$0.isFirst }) {
                try commit(entry)
                stagedNames[entry.names] = nil
            }
            staged.removeAll { $0.order.waitsForAll == waiting && $0.order.step == step }
        }
    }

    private func commit(_ entry: StagedEntry) throws {
        guard let name = entry.names.last else { return }
        let parent = try parent(of: entry.names)
        let existing = try parent.existingAttributes(of: name)
        try checkReplaceable(existing, by: entry.kind, parent.path(of: name))
        databases.note(entry.names, isDatabase: entry.isDatabase)
        if let existing { try keepAside(entry.names, existing, in: parent) }
        if entry.isDatabase { try keepJournalsAside(of: entry.names, in: parent) }
        try parent.rename(entry.temporaryName, over: name)
        if existing != nil || databases.isKeptAside(entry.names) {
            counts.replacedCount += 1
        } else {
            counts.createdCount += 1
        }
    }
}
