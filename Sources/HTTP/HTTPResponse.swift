/// A response: status, fields, and its body if that was asked for as a whole.
public struct HTTPResponse: Sendable {
    /// The status, 200 to 599; interim responses are not shown.
    public var status: Int
    /// The header fields in order.
    public var fields: [HTTPField]
    /// The body of ``HTTPClient/perform(_:cancellation:)``, and of every response whose status is none of success.
    public var body: [UInt8]
    /// Whether more of that was sent than is kept, which is only allowed where the status is none of success.
    public var isBodyCut: Bool
    /// How often the request was sent: a connection that was kept and had ended without a word makes it two, and whoever
    /// asked for something that can be done once only may see what the first one did.
    public var sentCount: Int

    /// The value of the first field of a name, whatever its case.
    public subscript(_ name: String) -> String? { fields[name] }

    /// Whether the status is one of success.
    public var isSuccess: Bool { (200...299).contains(status) }

    /// Reads a head as it was sent; nil if it is none.
    init?(head: some Collection<UInt8>) {
        var lines = head.split(separator: 0x0A, omittingEmptySubsequences: false)
            .map { $0.last == 0x0D ? $0.dropLast() : $0 }[...]
        guard let first = lines.popFirst() else { return nil }
        let words = first.split(separator: 0x20)
        guard words.count >= 2, words[0].starts(with: "HTTP/".utf8),
            let status = Int(String(decoding: words[1], as: UTF8.self)), (100...999).contains(status)
        else { return nil }
        self.status = status
        fields = lines.prefix { !$0.isEmpty }.compactMap { line in
            guard let colon = line.firstIndex(of: 0x3A) else { return nil }
            let value = line[line.index(after: colon)...].trimmed
            return HTTPField(
                String(decoding: line[..<colon].trimmed, as: UTF8.self), String(decoding: value, as: UTF8.self))
        }
        body = []
        isBodyCut = false
        sentCount = 1
    }
}

extension Collection<UInt8> {
    /// Without blanks and tabs around.
    fileprivate var trimmed: [UInt8] {
        let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
        return Array(Array(drop(while: isBlank)).reversed().drop(while: isBlank).reversed())
    }
}
