import FoundationEssentials

/// The forms in which S3 writes points of time, all in UTC and of whole seconds.
enum S3Time {
    /// `20261127T031256Z`, the time of a signature.
    static func basic(_ date: Date) -> String {
        let parts = Parts(date)
        return day(date) + "T" + padded(parts.hour) + padded(parts.minute) + padded(parts.second) + "Z"
    }

    /// `20261127`, the day of a signature.
    static func day(_ date: Date) -> String {
        let parts = Parts(date)
        return padded(parts.year, 4) + padded(parts.month) + padded(parts.day)
    }

    /// `2026-11-27T03:12:56Z` (RFC 3339).
    static func extended(_ date: Date) -> String {
        let parts = Parts(date)
        return padded(parts.year, 4) + "-" + padded(parts.month) + "-" + padded(parts.day) + "T" + padded(parts.hour)
            + ":" + padded(parts.minute) + ":" + padded(parts.second) + "Z"
    }

    /// The time of `2026-11-27T03:12:56.123Z`, with or without a fraction, which is dropped; nil for anything else.
    static func parseExtended(_ text: String) -> Date? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.last == UInt8(ascii: "Z") else { return nil }
        let fraction = bytes[19..<(bytes.count - 1)]
        guard fraction.isEmpty || fraction.first == UInt8(ascii: ".") && fraction.dropFirst().allSatisfy(isDigit),
            bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"), bytes[10] == UInt8(ascii: "T"),
            bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":"),
            let year = number(bytes[0..<4]), let month = number(bytes[5..<7]), let day = number(bytes[8..<10]),
            let hour = number(bytes[11..<13]), let minute = number(bytes[14..<16]),
            let second = number(bytes[17..<19])
        else { return nil }
        return Parts(year: year, month: month, day: day, hour: hour, minute: minute, second: second).date
    }

    /// The time of `Fri, 27 Nov 2026 03:12:56 GMT` (RFC 9110, section 5.6.7, IMF-fixdate); nil for anything else.
    static func parseHTTP(_ text: String) -> Date? {
        let words = text.split(separator: " ")
        guard words.count == 6, words[0].hasSuffix(","), words[5] == "GMT",
            let month = months.firstIndex(of: String(words[2])),
            let day = number(Array(words[1].utf8)[...]), let year = number(Array(words[3].utf8)[...])
        else { return nil }
        let clock = words[4].split(separator: ":", omittingEmptySubsequences: false).map { Array($0.utf8)[...] }
        guard clock.count == 3, clock.allSatisfy({ $0.count == 2 }), let hour = number(clock[0]),
            let minute = number(clock[1]), let second = number(clock[2])
        else { return nil }
        return Parts(year: year, month: month + 1, day: day, hour: hour, minute: minute, second: second).date
    }

    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    private static func padded(_ number: Int, _ width: Int = 2) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private static func number(_ bytes: ArraySlice<UInt8>) -> Int? {
        guard !bytes.isEmpty, bytes.count <= 4, bytes.allSatisfy(isDigit) else { return nil }
        return bytes.reduce(0) { 10 * $0 + Int($1 - 0x30) }
    }
}

/// The parts of a point of time in the Gregorian calendar and UTC.
private struct Parts {
    var year: Int
    var month: Int
    var day: Int
    var hour: Int
    var minute: Int
    var second: Int
}

extension Parts {
    private static let secondsPerDay = 86_400

    init(_ date: Date) {
        let seconds = Int(date.timeIntervalSince1970.rounded(.down))
        let dayNumber = Int((Double(seconds) / Double(Self.secondsPerDay)).rounded(.down))
        let rest = seconds - dayNumber * Self.secondsPerDay
        // Years that begin in March, in eras of 400 of them, so that the day of a leap year is the last of its year.
        let shifted = dayNumber + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        self.init(
            year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month: month,
            day: dayOfYear - (153 * shiftedMonth + 2) / 5 + 1, hour: rest / 3600, minute: rest / 60 % 60,
            second: rest % 60)
    }

    /// The point of time, nil if there is no such day or hour.
    var date: Date? {
        guard (1...12).contains(month), day >= 1, hour < 24, minute < 60, second <= 60 else { return nil }
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let dayNumber = era * 146_097 + dayOfEra - 719_468
        let date = Date(
            timeIntervalSince1970: Double(dayNumber * Self.secondsPerDay + hour * 3600 + minute * 60 + second))
        // The 31st of a month that has 30 days would be the first of the next.
        return Parts(date).day == day || second == 60 ? date : nil
    }
}
