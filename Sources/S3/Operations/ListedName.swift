import HostIO

/// How a list spells keys.
///
/// Encoded ones are like those of a form: `+` is a blank, and a plus sign is `%2B` on every server. SeaweedFS writes blanks
/// in both ways in one key, so that `%20` tells nothing of `+`.
struct ListedNames {
    private let isEncoded: Bool

    /// The spelling of a document.
    init(_ document: XMLElement) { isEncoded = document["EncodingType"]?.trimmed == "url" }

    /// The key that a text of the list spells.
    func key(_ text: String) throws(XMLProblem) -> S3Key {
        guard isEncoded else { return try checked(text) }
        guard let bytes = PercentEncoding.decodeForm(text) else {
            throw .missing("a key in it is wrongly encoded: \(quoted(beginning(of: text)))")
        }
        return try checked(String(decoding: bytes, as: UTF8.self))
    }

    private func checked(_ text: String) throws(XMLProblem) -> S3Key {
        guard !text.isEmpty else { throw .missing("a key in it is empty") }
        return S3Key(listed: text)
    }
}
