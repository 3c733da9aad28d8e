/// A text for people without the secrets that someone wrote where a path or an address belongs: private age keys, and the
/// passwords of URLs.
///
/// It is for what is printed as a whole, so that no message can forget it.
public func withoutSecrets(_ text: String) -> String {
    withoutPasswords(withoutKeys(text))
}

/// The beginning of private keys of age, of every kind: `AGE-SECRET-KEY-1…`, `AGE-SECRET-KEY-PQ-1…`, in either case.
private let keyMark = Array("age-secret-key-".utf8)

private func withoutKeys(_ text: String) -> String {
    var bytes = Array(text.utf8)
    var start = 0
    while start + keyMark.count <= bytes.count {
        guard zip(bytes[start...], keyMark).allSatisfy({ $0 | 0x20 == $1 }) else {
            start += 1
            continue
        }
        start += keyMark.count
        var end = start
        while end < bytes.count, bytes[end] == 0x2D || Character(UnicodeScalar(bytes[end])).isASCIIAlphanumeric {
            end += 1
        }
        if end > start { bytes.replaceSubrange(start..<end, with: Array("…".utf8)) }
    }
    return String(decoding: bytes, as: UTF8.self)
}

private func withoutPasswords(_ text: String) -> String {
    var result = ""
    var rest = text[...]
    while let scheme = rest.firstRange(of: "://") {
        let authority = rest[scheme.upperBound...].prefix { !"/?# \"\n".contains($0) }
        result += rest[..<scheme.upperBound]
        rest = rest[scheme.upperBound...]
        guard let at = authority.lastIndex(of: "@"), let colon = authority[..<at].firstIndex(of: ":") else { continue }
        result += authority[...colon] + "…"
        rest = rest[at...]
    }
    return result + rest
}

extension Character {
    fileprivate var isASCIIAlphanumeric: Bool { isASCII && (isLetter || isNumber) }
}
