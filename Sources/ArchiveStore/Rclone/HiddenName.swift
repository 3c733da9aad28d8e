import FoundationEssentials

/// The name of an object that is being written: `.partial-20261127T063000Z-0f3a55c2d9e1`, in the directory of the object.
///
/// It has the time at which it was begun, for some remotes know no times.
struct HiddenName {
    static let prefix = ".partial-"

    /// When the writing was begun, by the writer's clock, in whole seconds.
    let startedAt: Date
    private let suffix: String

    /// A new one.
    init(at date: Date = Date()) {
        startedAt = Date(timeIntervalSince1970: date.timeIntervalSince1970.rounded(.down))
        let number = UInt64.random(in: 0..<(1 << 48))
        let digits = String(number, radix: 16)
        suffix = String(repeating: "0", count: 12 - digits.count) + digits
    }

    /// That which the last part of a key is; nil if it is none.
    init?(ofKey key: String) {
        guard let name = key.split(separator: "/").last, name.hasPrefix(Self.prefix) else { return nil }
        let parts = name.dropFirst(Self.prefix.count).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].count == 16, let date = try? Date(String(parts[0]), strategy: Self.form) else {
            return nil
        }
        startedAt = date
        suffix = String(parts[1])
    }

    /// The key beside another.
    func key(beside key: String) -> String {
        let directory = key.lastIndex(of: "/").map { key[...$0] } ?? ""
        return directory + Self.prefix + startedAt.formatted(Self.form) + "-" + suffix
    }

    /// Whether a key or one of the directories in it is hidden.
    static func isPart(of key: String) -> Bool { key.split(separator: "/").contains { $0.hasPrefix(prefix) } }

    private static let form = Date.ISO8601FormatStyle(
        dateSeparator: .omitted, dateTimeSeparator: .standard,
        timeSeparator: .omitted, timeZone: .gmt)
}
