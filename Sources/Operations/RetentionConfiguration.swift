import ArchiveStore
import HostIO
import SealedArchive
import YAML

/// How many of something are kept, in YAML a number or `unlimited`.
public struct RetentionCount: Codable, Sendable, Equatable, ExpressibleByIntegerLiteral {
    /// The number; `Int.max` for all.
    public let value: Int

    private static let unlimited = "unlimited"

    /// A number.
    public init(integerLiteral value: Int) { self.value = value }

    /// Reads what a person writes: a number from 0, or `unlimited`; nil if it is neither.
    public init?(_ text: String) {
        // restic also has -1 for it.
        if text == Self.unlimited || text == "-1" {
            value = .max
        } else {
            guard let number = Int(text), number >= 0 else { return nil }
            value = number
        }
    }

    /// Reads either form.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try (try? container.decode(Int.self)).map { "\($0)" } ?? container.decode(String.self)
        guard let count = RetentionCount(text) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "\(quoted(text)) is neither a number from 0 nor \(Self.unlimited)")
        }
        self = count
    }

    /// Writes the shorter form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if value == .max { try container.encode(Self.unlimited) } else { try container.encode(value) }
    }
}

extension Configuration {
    /// Which backups `prune` keeps; the names are restic's.
    public struct Retention: Codable, Sendable, Equatable, StrictlyKeyed {
        /// How many of the newest.
        public var keepLast: RetentionCount?
        /// All from a time before the newest, such as `30d`.
        public var keepWithin: String?
        /// One for each of so many hours.
        public var keepHourly: RetentionCount?
        /// One for each of so many days.
        public var keepDaily: RetentionCount?
        /// One for each of so many weeks.
        public var keepWeekly: RetentionCount?
        /// One for each of so many months.
        public var keepMonthly: RetentionCount?
        /// One for each of so many years.
        public var keepYearly: RetentionCount?
        /// How many of the newest backups of a node are never removed; default 3.
        public var floor: Int?
        /// What those must have reached; default `structural`.
        public var floorLevel: String?

        /// The rules of backups of a class, by its name, in place of these; a floor is one for all classes.
        public var classes: [String: Retention]?

        /// No rules.
        public init() {}

        /// The same with those of another one before its own.
        public func overridden(by other: Retention) -> Retention {
            var merged = self
            merged.keepLast = other.keepLast ?? keepLast
            merged.keepWithin = other.keepWithin ?? keepWithin
            merged.keepHourly = other.keepHourly ?? keepHourly
            merged.keepDaily = other.keepDaily ?? keepDaily
            merged.keepWeekly = other.keepWeekly ?? keepWeekly
            merged.keepMonthly = other.keepMonthly ?? keepMonthly
            merged.keepYearly = other.keepYearly ?? keepYearly
            merged.floor = other.floor ?? floor
            merged.floorLevel = other.floorLevel ?? floorLevel
            merged.classes = other.classes ?? classes
            return merged
        }

        /// Checks what a class of backups is called: a word that fits into a table.
        ///
        /// - Throws: ``Failure`` with the code `usage`.
        public static func checkClass(_ name: String) throws(Failure) {
            let isWord = name.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
            }
            guard isWord, (1...maximumClassLength).contains(name.utf8.count), !name.hasPrefix("-"),
                !name.hasSuffix("-")
            else {
                throw Failure(
                    .usage, "\(quoted(name)) can't be the class of a backup",
                    hint: "use at most \(maximumClassLength) small letters, digits and '-', such as pre-upgrade")
            }
        }

        private static let maximumClassLength = 32

        /// The rules.
        ///
        /// - Throws: ``Failure`` with the code `usage` for a time, a number or a level that can't be.
        public func rules() throws(Failure) -> RetentionRules {
            var rules = RetentionRules()
            rules.last = keepLast?.value
            if let keepWithin {
                guard let period = RetentionPeriod(keepWithin) else {
                    throw Failure(
                        .usage, "\(quoted(keepWithin)) is no time to keep backups for",
                        hint: "write years, months, days and hours in this order, such as 1y6m or 30d")
                }
                rules.within = period
            }
            rules.hourly = keepHourly?.value
            rules.daily = keepDaily?.value
            rules.weekly = keepWeekly?.value
            rules.monthly = keepMonthly?.value
            rules.yearly = keepYearly?.value
            if let floor {
                guard floor >= 1 else {
                    throw Failure(
                        .usage, "the floor can't be \(floor): the newest backup of a node is never removed",
                        hint: "remove it by its ID, with `etcd-snap delete`")
                }
                rules.floor.count = floor
            }
            if let floorLevel {
                guard let level = VerificationLevel(rawValue: floorLevel) else {
                    throw Failure(
                        .usage, "there is no level of verification called \(quoted(floorLevel))",
                        hint: "there are: \(VerificationLevel.allCases.map(\.rawValue).joined(separator: ", "))")
                }
                rules.floor.level = level
            }
            for (name, section) in classes ?? [:] {
                try Self.checkClass(name)
                guard section.floor == nil, section.floorLevel == nil, section.classes == nil else {
                    throw Failure(
                        .usage, "the class \(quoted(name)) has a floor or classes of its own",
                        hint: "write these one level above: they are for all classes")
                }
                rules.classes[name] = try section.rules()
            }
            return rules
        }

        enum CodingKeys: String, CodingKey, CaseIterable {
            case keepLast, keepWithin, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly, floor, floorLevel
            case classes
        }
    }
}

extension Configuration.Retention {
    /// Checks the keys of a section and of those of its classes.
    static func checkAll(_ section: Node, name: String) throws(Failure) {
        try checkKeys(of: section, name: name)
        for entry in section["classes"]?.mapping ?? [] {
            try checkKeys(of: entry.value, name: "\(name).classes.\(entry.key.text ?? "?")")
        }
    }
}
