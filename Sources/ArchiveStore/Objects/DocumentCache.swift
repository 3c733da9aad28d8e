import HostIO

/// The documents of a scope that this host has read: one file, which anybody may remove.
///
/// For each document it has a line of its key, tag and size, separated by tabs, and then its bytes.
struct DocumentCache {
    private struct Entry {
        var tag: String
        var bytes: ArraySlice<UInt8>
    }

    private var entries: [String: Entry] = [:]
    private var isChanged = false

    private static let fileName = "documents"
    private static let maximumByteCount = 256 << 20

    /// What is kept in a directory; nothing, if it can't be read.
    init(path: String) {
        guard let file = try? RandomAccessFile(path: joinPath(path, Self.fileName)),
            file.byteCount <= Self.maximumByteCount, let bytes = try? file.bytes(at: 0, count: file.byteCount)
        else { return }
        var rest = bytes[...]
        while let end = rest.firstIndex(of: 0x0A) {
            let parts = String(decoding: rest[..<end], as: UTF8.self).split(separator: "\t").map(String.init)
            rest = rest[rest.index(after: end)...]
            guard parts.count == 3, let count = Int(parts[2]), count >= 0, count <= rest.count else { return }
            entries[parts[0]] = Entry(tag: parts[1], bytes: rest.prefix(count))
            rest = rest.dropFirst(count)
        }
    }

    /// The bytes of a document; nil if they are not here, or are of another one that had the key.
    func bytes(of document: StoredObject) -> [UInt8]? {
        guard let entry = entries[document.key], entry.tag == document.tag, entry.bytes.count == document.byteCount
        else { return nil }
        return Array(entry.bytes)
    }

    /// Keeps a document that can be told from another one of its key.
    mutating func keep(_ bytes: [UInt8], of document: StoredObject) {
        guard let tag = document.tag, !tag.isEmpty, !(document.key + tag).utf8.contains(where: { $0 < 0x20 }) else {
            return
        }
        entries[document.key] = Entry(tag: tag, bytes: bytes[...])
        isChanged = true
    }

    /// Writes what is kept of some documents, if it is not what is written already; what can't be is read again next time.
    mutating func write(path: String, only documents: [StoredObject]) {
        let wanted = Set(documents.map(\.key))
        let count = entries.count
        entries = entries.filter { wanted.contains($0.key) }
        guard isChanged || entries.count != count, let directory = try? OpenDirectory.make(path: path),
            let file = try? PendingFile(in: directory, name: Self.fileName)
        else { return }
        for (key, entry) in entries {
            guard (try? file.write(Array("\(key)\t\(entry.tag)\t\(entry.bytes.count)\n".utf8))) != nil,
                (try? file.write(Array(entry.bytes))) != nil
            else { return }
        }
        try? file.publish(replacing: true, isDurable: false)
    }
}
