import ArchiveStore
import FoundationEssentials
import HostIO
import S3
import SealedArchive

extension Configuration {
    /// For how long nobody may remove what is written to a store.
    public struct Lock: Codable, Sendable, Equatable, StrictlyKeyed {
        /// Whom it binds: `governance` all who have no right to pass over it, `compliance` everybody.
        public var mode: String
        /// For how many days from the backup on.
        public var days: Int

        enum CodingKeys: String, CodingKey, CaseIterable {
            case mode, days
        }

        /// The lock as a server of S3 is asked for it.
        ///
        /// - Throws: ``Failure`` with the code `usage` for values that can't be.
        func settings() throws(Failure) -> S3Settings.Lock {
            guard let mode = S3WriteAttributes.Lock.Mode(rawValue: mode.uppercased()) else {
                throw Failure(
                    .usage, "there is no mode of locking \(quoted(self.mode))",
                    hint: "there are governance and compliance")
            }
            guard (1...36_500).contains(days) else {
                throw Failure(
                    .usage, "objects can't be locked for \(days) days", hint: "set it to a number from 1 to 36500")
            }
            return S3Settings.Lock(mode: mode, days: days)
        }
    }

    /// The lock of a store that is named by its place: what the configuration says is of the place that
    /// it names, and of any bucket.
    public func lock(ofStoreAt location: String) -> Lock? {
        StoreLocation(location).isInS3 || location == store ? lock : nil
    }

    /// - Throws: ``Failure`` with the code `usage` if there is a list of stores and a lock beside it.
    func checkLock() throws {
        guard lock != nil, stores != nil else { return }
        try locating("lock") {
            throw Failure(
                .usage, "there is a list of stores, and it is not said which of them locks",
                hint: "write it in that store's own section, as in stores: [{name: offsite, location: s3://…, lock: …}]"
            )
        }
    }
}

extension NamedStore {
    /// Slower clocks, and the time that a backup takes before its bytes are written.
    private static let toleranceSeconds = 600.0

    /// That a backup that was to be locked is not, or not for long enough; none if it is, or nothing was asked.
    ///
    /// Not every server keeps the lock that it is asked for when an upload begins. Where it can't be asked a note says so.
    func lockFindings(of backup: ArchiveHeader, observer: Observer) -> [Finding] {
        guard let days = store.lockDays else { return [] }
        let scope: StoreScope
        let lock: ObjectLock?
        do {
            scope = try StoreScope(cluster: backup.cluster, node: backup.node)
            lock = try store.lock(of: backup.id, in: scope)
        } catch {
            observer.warn(
                "whether \(label) has locked \(backup.reference) is not known: \(Failure(wrapping: error).message)")
            return []
        }
        let wanted = backup.createdAt.addingTimeInterval(Double(days) * 86_400)
        guard let lock else { return [notLocked(backup, "it is not locked, and was to be for \(days) days")] }
        guard let until = lock.until, until < wanted.addingTimeInterval(-Self.toleranceSeconds) else { return [] }
        return [
            notLocked(
                backup,
                "it is locked until \(until.formatted(.iso8601)), and was to be until \(wanted.formatted(.iso8601))")
        ]
    }

    private func notLocked(_ backup: ArchiveHeader, _ message: String) -> Finding {
        Finding(
            .error, code: "not-locked", subject: backup.reference, message: "in \(label): \(message)",
            advice: "the server does not keep locks of uploads: give the bucket a default retention")
    }
}
