/// A version of rclone.
public struct RcloneVersion: Sendable, Comparable, CustomStringConvertible {
    /// The first number.
    public var major: Int
    /// The second number.
    public var minor: Int

    /// The oldest that is run: its lists, ranges and exit statuses are those that this program knows.
    public static let oldest = RcloneVersion(major: 1, minor: 60)
    /// The oldest that is recommended: its exit statuses say what failed, and it tells when it checks no host key.
    public static let recommended = RcloneVersion(major: 1, minor: 69)

    /// A version from its numbers.
    public init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// The version that the output of `rclone version` begins with, such as `rclone v1.60.1-DEV`; nil if it is another text.
    init?(output: String) {
        guard let line = output.split(whereSeparator: \.isNewline).first, line.hasPrefix("rclone v") else { return nil }
        let numbers = line.dropFirst("rclone v".count).split(separator: ".", maxSplits: 2)
        guard numbers.count >= 2, let major = Int(numbers[0]), let minor = Int(numbers[1].prefix { $0.isNumber }),
            major >= 0, minor >= 0
        else { return nil }
        self.init(major: major, minor: minor)
    }

    /// Older first.
    public static func < (left: Self, right: Self) -> Bool { (left.major, left.minor) < (right.major, right.minor) }

    /// Such as `1.60`.
    public var description: String { "\(major).\(minor)" }
}
