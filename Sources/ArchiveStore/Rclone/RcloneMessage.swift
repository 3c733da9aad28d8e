import HostIO

/// What rclone says when something failed, for people.
///
/// Its texts differ between versions, so nothing but classifying words is read out of them. They may have whole descriptions
/// of remotes in them, and the passwords there are only obscured: anybody can read them.
enum RcloneMessage {
    /// The longest that is shown, in characters.
    private static let limit = 300

    /// The line that says why, without its time and level, without secrets; nil if there is none.
    static func reason(in errorText: String) -> String? {
        let lines = lines(of: errorText)
        let line = lines.last { $0.contains("Failed to ") } ?? lines.last { $0.hasPrefix("ERROR") } ?? lines.last
        guard var line else { return nil }
        for level in ["NOTICE: ", "CRITICAL: ", "ERROR : ", "Fatal error: ", "Error: "] where line.hasPrefix(level) {
            line = line.dropFirst(level.count)
        }
        if let cause = line.firstRange(of: "last error was: ") { line = line[cause.upperBound...] }
        let text = printable(withoutRemoteSecrets(withoutSecrets(String(line))))
        return text.count <= limit ? text : text.prefix(limit) + "…"
    }

    /// The lines that say what went wrong, without their times: not those that are only noticed, such as that no host key is
    /// checked.
    static func lines(of errorText: String) -> [Substring] {
        errorText.split(whereSeparator: \.isNewline).map { withoutTime($0) }.filter { line in
            let isNotice = ["NOTICE: ", "INFO  : ", "DEBUG : "].contains { line.hasPrefix($0) }
            return !line.allSatisfy(\.isWhitespace) && (!isNotice || line.contains("Failed to "))
        }
    }

    /// `2026/11/27 06:25:08 ERROR : …` without its time.
    private static func withoutTime(_ line: Substring) -> Substring {
        let words = line.split(separator: " ", maxSplits: 2)
        guard words.count == 3, words[0].utf8.count == 10, words[0].allSatisfy({ $0.isNumber || $0 == "/" }),
            words[1].allSatisfy({ $0.isNumber || $0 == ":" })
        else { return line }
        return words[2]
    }
}
