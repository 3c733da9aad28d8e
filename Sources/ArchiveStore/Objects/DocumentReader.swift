import HostIO
import SealedArchive
import Synchronization

/// Why a place can't be read from any more; nil while it can.
private final class ReadOutage: Sendable {
    let error = Mutex<ObjectError?>(nil)
}

/// Reads the small objects of a store, many at once, and keeps what it has read on this host.
///
/// An object is written once, so what is kept under its key and tag stays right; without a tag nothing is kept.
struct DocumentReader {
    let objects: any ObjectStorage
    let home: StoreHome

    /// The largest document that is read.
    static let maximumByteCount = 16 << 20
    /// Hardly a sidecar has more.
    static let usualByteCount = 256 << 10
    /// So many requests are under way at once.
    private static let concurrentCount = 16

    /// The bytes of each object of a scope, or why they could not be read.
    func read(_ documents: [StoredObject], of scope: StoreScope) -> [String: Result<[UInt8], any Error>] {
        let path = home.cachePath(of: objects.place, scope)
        var cache = DocumentCache(path: path)
        var results: [String: Result<[UInt8], any Error>] = [:]
        var missing: [StoredObject] = []
        for document in documents {
            if let bytes = cache.bytes(of: document) {
                results[document.key] = .success(bytes)
            } else {
                missing.append(document)
            }
        }
        for (document, result) in zip(missing, fetch(missing)) {
            if case .success(let bytes) = result { cache.keep(bytes, of: document) }
            results[document.key] = result
        }
        cache.write(path: path, only: documents)
        return results
    }

    private func fetch(_ documents: [StoredObject]) -> [Result<[UInt8], any Error>] {
        guard documents.count > 1 else { return documents.map(fetch) }
        let outage = ReadOutage()
        let count = min(Self.concurrentCount, documents.count)
        let map = OrderedParallelMap<StoredObject, Result<[UInt8], any Error>>(
            name: "etcd-snap.documents", workerCount: count, depth: 2 * count
        ) { { fetch($0, unless: outage) } }
        var results: [Result<[UInt8], any Error>] = []
        var submittedCount = 0
        while results.count < documents.count {
            // One thread does both: never more than fit without waiting.
            while submittedCount < documents.count, submittedCount - results.count < 2 * count {
                map.submit(documents[submittedCount])
                submittedCount += 1
            }
            guard let result = try? map.next() else { break }
            results.append(result)
        }
        map.finish()
        return results
    }

    /// Reads one, unless the place fails already: then it would take as long to learn that for each.
    private func fetch(_ document: StoredObject, unless outage: ReadOutage) -> Result<[UInt8], any Error> {
        if let error = outage.error.withLock({ $0 }) { return .failure(error) }
        let result = fetch(document)
        if case .failure(let error as ObjectError) = result, error.kind == .failed, error.retry != .never {
            outage.error.withLock { $0 = error }
        }
        return result
    }

    private func fetch(_ document: StoredObject) -> Result<[UInt8], any Error> {
        Result {
            guard document.byteCount <= Self.maximumByteCount else {
                throw Failure(
                    .integrity,
                    "\(quoted("\(objects.name)/\(document.key)")) has \(document.byteCount) bytes, too many for a sidecar"
                )
            }
            let (found, bytes) = try objects.bytes(of: document.key, limit: max(1, document.byteCount))
            guard bytes.count == document.byteCount,
                found.tag == document.tag || found.tag == nil || document.tag == nil
            else {
                throw Failure(
                    .integrity,
                    "\(quoted("\(objects.name)/\(document.key)")) is another object than it was in the list",
                    hint: "objects are written once: somebody replaced it, so compare it with another copy of the store"
                )
            }
            return bytes
        }
    }
}
