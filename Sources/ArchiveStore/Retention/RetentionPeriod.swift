import FoundationEssentials

/// A time before another, as `restic forget --keep-within` has it: `1y6m10d12h`.
///
/// Years and months are those of the calendar, in UTC.
public struct RetentionPeriod: Sendable, Equatable, CustomStringConvertible {
    /// Calendar years.
    public let years: Int
    /// Calendar months.
    public let months: Int
    /// Days of 24 hours.
    public let days: Int
    /// Hours.
    public let hours: Int

    private static let units: [Character] = ["y", "m", "d", "h"]
    private static let maximum = 1_000_000

    /// Reads numbers with the units y, m, d and h, in this order and each at most once; nil if the text is something else, or
    /// no time at all.
    public init?(_ text: some StringProtocol) {
        var values = [0, 0, 0, 0]
        var next = 0
        var digits = ""
        for character in text {
            if character.isASCII, character.isWholeNumber {
                digits.append(character)
                continue
            }
            guard let unit = Self.units.firstIndex(of: character), unit >= next, let value = Int(digits),
                value <= Self.maximum
            else { return nil }
            values[unit] = value
            next = unit + 1
            digits = ""
        }
        guard digits.isEmpty, values.contains(where: { $0 > 0 }) else { return nil }
        (years, months, days, hours) = (values[0], values[1], values[2], values[3])
    }

    /// The shortest text of it.
    public var description: String {
        zip([years, months, days, hours], Self.units).filter { $0.0 > 0 }.map { "\($0.0)\($0.1)" }.joined()
    }

    /// The time that is so much before another.
    public func start(before end: Date) -> Date {
        var components = DateComponents()
        components.year = -years
        components.month = -months
        let day = RetentionCalendar.utc.date(byAdding: components, to: end) ?? .distantPast
        return day.addingTimeInterval(-Double(days * 24 + hours) * 3600)
    }
}

/// The hours, days and so on into which backups fall.
enum RetentionCalendar {
    static let utc: Calendar = {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        return calendar
    }()

    private static let secondsPerDay = 86_400
    /// 1970-01-01 was a Thursday.
    private static let daysFromMonday = 3

    static func hour(_ time: Date) -> Int { floored(time, by: 3600) }
    static func day(_ time: Date) -> Int { floored(time, by: secondsPerDay) }
    static func week(_ time: Date) -> Int { Int((Double(day(time) + daysFromMonday) / 7).rounded(.down)) }
    static func month(_ time: Date) -> Int {
        let parts = utc.dateComponents([.year, .month], from: time)
        return (parts.year ?? 0) * 12 + (parts.month ?? 0)
    }
    static func year(_ time: Date) -> Int { utc.component(.year, from: time) }

    private static func floored(_ time: Date, by seconds: Int) -> Int {
        Int((time.timeIntervalSince1970 / Double(seconds)).rounded(.down))
    }
}
