import HostIO

/// The revisions of one key that were seen on any page, oldest first.
///
/// A key has at most 1024 of them. Beyond that the oldest are forgotten, except for the pages that they were seen on:
/// if none of the newer ones exists, these tell whether a forgotten one does.
struct KeyHistory {
    static let versionLimit = 1024
    /// How many are forgotten at a time, so that not every row moves all of them.
    private static let forgottenAtOnce = 256
    /// What a revision costs beside its bytes, roughly: its share of the dictionary, array headers, its struct.
    private static let versionOverheadByteCount = 160
    private static let pageByteCount = 8
    /// What an element of a set costs, roughly.
    private static let forgottenPageByteCount = 16

    /// A revision that was seen.
    struct Version {
        let digest: UInt64
        /// Tells values apart, as etcd may use a revision twice after a crash (etcd-io/etcd#17780); 0 for a tombstone.
        let fingerprint: UInt64
        /// Nil for a tombstone, and for a value that found no room.
        var value: [UInt8]?
        /// In order.
        var pages: [UInt64]

        var isTombstone: Bool { fingerprint == 0 }
    }

    private(set) var versions: [Version] = []
    private var forgottenPages: Set<UInt64> = []

    /// Notes a revision, seen on one page.
    ///
    /// - Returns: how many bytes more the history takes now.
    mutating func note(
        digest: UInt64, fingerprint: UInt64, value: [UInt8]?, page: UInt64, keyByteCount: Int
    ) -> Int {
        let index = versions.partitionPoint { ($0.digest, $0.fingerprint) < (digest, fingerprint) }
        if index < versions.count, versions[index].digest == digest, versions[index].fingerprint == fingerprint {
            return Self.insert(page, into: &versions[index].pages) ? Self.pageByteCount : 0
        }
        if index == 0, !forgottenPages.isEmpty {
            return forgottenPages.insert(page).inserted ? Self.forgottenPageByteCount : 0
        }
        let version = Version(digest: digest, fingerprint: fingerprint, value: value, pages: [page])
        versions.insert(version, at: index)
        let forgottenByteCount = versions.count > Self.versionLimit ? forgetOldest(keyByteCount) : 0
        return Self.byteCount(of: version, keyByteCount) - forgottenByteCount
    }

    private static func byteCount(of version: Version, _ keyByteCount: Int) -> Int {
        versionOverheadByteCount + keyByteCount + (version.value?.count ?? 0)
            + (version.pages.count - 1) * pageByteCount
    }

    private static func insert(_ page: UInt64, into pages: inout [UInt64]) -> Bool {
        let index = pages.partitionPoint { $0 < page }
        guard index == pages.count || pages[index] != page else { return false }
        pages.insert(page, at: index)
        return true
    }

    /// - Returns: how many bytes fewer the history takes now.
    private mutating func forgetOldest(_ keyByteCount: Int) -> Int {
        var byteCount = 0
        for version in versions[..<Self.forgottenAtOnce] {
            byteCount += Self.byteCount(of: version, keyByteCount)
            for page in version.pages where forgottenPages.insert(page).inserted {
                byteCount -= Self.forgottenPageByteCount
            }
        }
        versions.removeFirst(Self.forgottenAtOnce)
        return byteCount
    }

    /// Drops all values but those of the newest revision; returns their byte count.
    mutating func dropOldValues() -> Int {
        var byteCount = 0
        guard let newest = versions.last?.digest else { return 0 }
        for index in versions.indices where versions[index].digest != newest {
            byteCount += versions[index].value?.count ?? 0
            versions[index].value = nil
        }
        return byteCount
    }

    /// The newest revision on pages for which `isReachable` holds; nil if there is none.
    func newest(where isReachable: (UInt64) -> Bool) -> Version? {
        versions.last { $0.pages.contains(where: isReachable) }
    }

    /// Whether a revision that was forgotten is on such a page.
    func hasForgotten(where isReachable: (UInt64) -> Bool) -> Bool { forgottenPages.contains(where: isReachable) }
}
