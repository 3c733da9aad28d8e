import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

extension FilePlacement {
    /// Checks that there is room for what replacing by the entries of a manifest takes; changes nothing.
    ///
    /// New files are complete beside the old ones before one is replaced, and what is replaced is copied where the
    /// ``KeptDirectory`` is on another file system. Files of the same size and time are taken for the same, for they are not
    /// read here.
    ///
    /// - Throws: ``Failure`` with the code `noSpace`; ``SystemCallError`` if what is there can't be read.
    public func checkRoom(for entries: [ManifestEntry]) throws {
        var demand = SpaceDemand()
        let kept = try KeptDirectory.deepest(in: root)
        let keptDevice = try kept.attributes().identity.device
        for entry in entries where entry.kind == .file {
            guard let (parent, existing) = try place(of: entry) else { continue }
            if let existing, existing.byteCount == entry.size,
                existing.modificationSeconds == Int64(entry.modifiedAt.timeIntervalSince1970)
            {
                continue
            }
            try demand.add(entry.size, in: parent, as: parent.path)
            guard let existing, existing.kind == .file, existing.identity.device != keptDevice else { continue }
            try demand.add(existing.byteCount, in: kept, as: kept.path)
        }
        try demand.check()
    }

    /// The last directory on the way to an entry that is there, and what has the entry's place; nil where something else is in
    /// the way, which the placement itself says.
    private func place(of entry: ManifestEntry) throws -> (OpenDirectory, EntryAttributes?)? {
        guard let all = EntryName.components(of: entry.pathInArchive), all.starts(with: strippedNames),
            let name = all.dropFirst(strippedNames.count).last
        else { return nil }
        var parent = root
        do {
            for name in all.dropFirst(strippedNames.count).dropLast() { parent = try parent.openDirectory(name) }
        } catch {
            return error.errno == .noSuchFileOrDirectory ? (parent, nil) : nil
        }
        return (parent, try parent.existingAttributes(of: name))
    }
}
