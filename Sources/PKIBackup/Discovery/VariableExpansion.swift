/// Puts the values of variables in the place of `$(NAME)`, once and from left to right; values are not looked at again.
///
/// `$$` stands for a dollar, so `$$(NAME)` is `$(NAME)` as it is; so is the name of no variable. A word that would become
/// too large stays as it is.
///
/// Source: Kubernetes, `third_party/forked/golang/expansion/expand.go`, `Expand`.
struct VariableExpansion {
    /// The largest word that comes of an expansion, in bytes; Linux takes none that is twice as large (`MAX_ARG_STRLEN`).
    static let byteCountLimit = 64 << 10
    /// How many bytes all words together may still become.
    private var restByteCount = 4 << 20

    private static let dollar = UInt8(ascii: "$")
    private static let opener = UInt8(ascii: "(")
    private static let closer = UInt8(ascii: ")")

    /// A word or a value with its variables expanded.
    mutating func expand(_ word: String, _ environment: [String: String]) -> String {
        guard word.utf8.contains(Self.dollar), word.utf8.count <= Self.byteCountLimit,
            let expanded = Self.expand(Array(word.utf8), environment, limit: min(Self.byteCountLimit, restByteCount))
        else { return word }
        restByteCount -= expanded.count
        return String(decoding: expanded, as: UTF8.self)
    }

    /// The expanded bytes; nil if there are more than `limit`.
    private static func expand(_ word: [UInt8], _ environment: [String: String], limit: Int) -> [UInt8]? {
        var output: [UInt8] = []
        var index = 0
        while index < word.count {
            guard output.count <= limit else { return nil }
            let next = index + 1 < word.count ? word[index + 1] : nil
            if word[index] == dollar, next == dollar {
                output.append(dollar)
                index += 2
            } else if word[index] == dollar, next == opener, let end = word[index...].firstIndex(of: closer) {
                let name = String(decoding: word[(index + 2)..<end], as: UTF8.self)
                output += environment[name].map { Array($0.utf8) } ?? Array(word[index...end])
                index = end + 1
            } else {
                output.append(word[index])
                index += 1
            }
        }
        return output.count <= limit ? output : nil
    }
}
