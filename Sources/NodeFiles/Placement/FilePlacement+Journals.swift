import HostIO

/// What a placement knows of databases of SQLite, whose logs and journals must be of the same state as they are.
struct PlacedDatabases {
    /// The databases that were placed, or were there already as the archive has them.
    private(set) var places: [[EntryName]] = []
    /// Everything that was placed with a name as journals have it.
    private var journals: Set<[EntryName]> = []
    private var keptAside: Set<[EntryName]> = []
    /// What of both was there already as the archive has it.
    private var unchanged: Set<[EntryName]> = []

    /// SQLite, "Temporary Files Used By SQLite", and "WAL-mode File Format", 2 "The WAL-Index".
    private static let endings = ["-wal", "-journal", "-shm"].map { Array($0.utf8) }

    mutating func note(_ names: [EntryName], isDatabase: Bool) {
        if isDatabase { places.append(names) }
        let isJournal = names.last.map { name in Self.endings.contains { name.bytes.suffix($0.count) == $0[...] } }
        if isJournal == true { journals.insert(names) }
    }

    mutating func noteKeptAside(_ names: [EntryName]) { keptAside.insert(names) }

    mutating func noteUnchanged(_ names: [EntryName]) {
        if journals.contains(names) || places.contains(names) { unchanged.insert(names) }
    }

    func isKeptAside(_ names: [EntryName]) -> Bool { keptAside.contains(names) }

    /// Where a database's journals would be that did not come with it.
    func foreignJournals(of database: [EntryName]) -> [[EntryName]] {
        guard let name = database.last else { return [] }
        return Self.endings.compactMap { EntryName(name.bytes + $0) }.map { database.dropLast() + [$0] }
            .filter { !journals.contains($0) && !keptAside.contains($0) }
    }

    /// Whether shared memory that is there still fits: neither the database nor its log is another one.
    func keepsMemory(of database: [EntryName]) -> Bool {
        guard let name = database.last, let log = EntryName(name.bytes + Self.endings[0]) else { return false }
        let path = Array(database.dropLast()) + [log]
        return unchanged.contains(database) && !keptAside.contains(path)
            && (unchanged.contains(path) || !journals.contains(path))
    }
}

extension FilePlacement {
    /// Keeps the logs and journals of a database aside that did not come with it: SQLite would replay them into it.
    func keepJournalsAside(of database: [EntryName], in parent: OpenDirectory) throws {
        for names in databases.foreignJournals(of: database) {
            guard let name = names.last, let existing = try parent.existingAttributes(of: name),
                existing.kind == .file || existing.kind == .symbolicLink
            else { continue }
            if name.bytes.suffix(4) == Array("-shm".utf8)[...], databases.keepsMemory(of: database) { continue }
            try keepAside(names, existing, in: parent)
            try parent.removeFile(name)
            databases.noteKeptAside(names)
        }
    }

    /// The same of databases that were left as they were, once it is known what the archive has.
    func keepStaleJournalsAside() throws {
        guard journal != nil else { return }
        for database in databases.places { try keepJournalsAside(of: database, in: parent(of: database)) }
    }
}
