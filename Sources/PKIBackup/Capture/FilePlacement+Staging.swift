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
    var step: PlacementStep
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
            try keepAside(names, existing, in: parent)
            try parent.removeFile(name)
            counts.replacedCount += 1
        }
        if existing?.kind != .directory { try stageDirectory(name, names, metadata, in: parent) }
        return try parent.openDirectory(name)
    }

    /// Makes a member beside its place, unless the same is there already.
    func stage(
        _ names: [EntryName], _ member: ArchiveMember, as captureClass: CaptureClass?, in parent: OpenDirectory,
        _ inspect: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        guard let name = names.last else { return }
        let temporaryName = StagedName.random()
        let existing = try parent.existingAttributes(of: name)
        try checkReplaceable(existing, by: member.metadata.kind, parent.path(of: name))
        try journal?.note(Array(names.dropLast()))
        do {
            let isDatabase = try make(temporaryName, member, in: parent, inspect)
            let isLink = member.metadata.kind == .hardLink
            if let existing, try parent.isSame(name, existing, as: temporaryName, isLink: isLink) {
                try parent.removeFile(temporaryName)
                counts.unchangedCount += 1
                databases.note(names, isDatabase: isDatabase)
                return databases.noteUnchanged(names)
            }
            let step = captureClass?.placementStep ?? .configuration
            staged.append(
                StagedEntry(
                    names: names, temporaryName: temporaryName, kind: member.metadata.kind, isDatabase: isDatabase,
                    step: step, isFirst: step == .staticPods && runsEtcd(temporaryName, in: parent)))
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

    /// Without etcd an API server does not start, so its manifest is first.
    private func runsEtcd(_ name: EntryName, in directory: OpenDirectory) -> Bool {
        let limit = 1 << 20
        guard let descriptor = try? directory.openFile(name) else { return false }
        defer { try? descriptor.close() }
        let bytes = try? [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            count = try readFully(
                descriptor, name: directory.path(of: name), at: 0, into: UnsafeMutableRawBufferPointer(buffer))
        }
        guard let bytes, let manifest = try? PodManifest(parsing: bytes, path: directory.path(of: name)) else {
            return false
        }
        return manifest.components.contains { $0.name == "etcd" }
    }

    // MARK: Commit

    /// Puts what is staged into its place, step by step, up to the one that is named.
    func commit(before end: PlacementStep?) throws {
        let steps = PlacementStep.allCases.filter { step in end.map { step.rawValue < $0.rawValue } ?? true }
        for step in steps {
            let entries = staged.filter { $0.step == step }
            for entry in entries.filter(\.isFirst) + entries.filter({ !$0.isFirst }) {
                try commit(entry)
                stagedNames[entry.names] = nil
            }
            staged.removeAll { $0.step == step }
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
