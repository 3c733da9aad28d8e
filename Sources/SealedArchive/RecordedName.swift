import FoundationEssentials

/// A name as documents have it: text for people, and the bytes beside it where they are not UTF-8.
struct RecordedName {
    /// The name with bytes that are not UTF-8 replaced by U+FFFD.
    let text: String
    /// The name's bytes; nil if the text has them.
    let bytes: Data?

    init(_ name: [UInt8]) {
        text = String(decoding: name, as: UTF8.self)
        bytes = text.utf8.elementsEqual(name) ? nil : Data(name)
    }

    /// The bytes of a name from its two fields.
    static func bytes(text: String, bytes: Data?) -> [UInt8] { bytes.map { Array($0) } ?? Array(text.utf8) }
}
