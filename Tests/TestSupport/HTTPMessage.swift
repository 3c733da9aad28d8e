import Foundation

/// The head of a request or a response of HTTP/1.1, as it came.
public struct HTTPHead: Sendable {
    /// The first line.
    public var startLine: String
    /// The fields, in their order.
    public var fields: [(name: String, value: String)]

    /// A head from its parts.
    public init(_ startLine: String, _ fields: [(name: String, value: String)]) {
        self.startLine = startLine
        self.fields = fields
    }

    init?(_ text: String) {
        let lines = text.split(separator: "\r\n", omittingEmptySubsequences: true).map(String.init)
        guard let first = lines.first, first.contains("HTTP/1.") else { return nil }
        startLine = first
        fields = lines.dropFirst().map { line in
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            return (String(parts[0]), parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : "")
        }
    }

    /// The first value of a field, and setting it in place of all.
    public subscript(name: String) -> String? {
        get { fields.first { $0.name.lowercased() == name.lowercased() }?.value }
        set {
            let index = fields.firstIndex { $0.name.lowercased() == name.lowercased() }
            fields.removeAll { $0.name.lowercased() == name.lowercased() }
            if let newValue { fields.insert((name, newValue), at: min(index ?? fields.count, fields.count)) }
        }
    }

    /// The words of the first line.
    public var words: [String] { startLine.split(separator: " ").map(String.init) }
    /// The status of a response.
    public var status: Int { words.count > 1 ? Int(words[1]) ?? 0 : 0 }

    var text: String {
        startLine + "\r\n" + fields.map { "\($0.name): \($0.value)\r\n" }.joined() + "\r\n"
    }
}

/// Where a body ends.
enum HTTPBodyLength {
    case none, bytes(Int), chunked, untilEnd

    /// Of a request.
    init(ofRequest head: HTTPHead) {
        if head["Transfer-Encoding"]?.lowercased().contains("chunked") == true {
            self = .chunked
        } else {
            self = (head["Content-Length"].flatMap { Int($0) }).map { $0 == 0 ? .none : .bytes($0) } ?? .none
        }
    }

    /// Of the response to a method.
    init(ofResponse head: HTTPHead, to method: String) {
        if method == "HEAD" || head.status == 204 || head.status == 304 || head.status < 200 {
            self = .none
        } else if head["Transfer-Encoding"]?.lowercased().contains("chunked") == true {
            self = .chunked
        } else {
            self = (head["Content-Length"].flatMap { Int($0) }).map { $0 == 0 ? .none : .bytes($0) } ?? .untilEnd
        }
    }
}

extension ScriptedConnection {
    /// Hands on a body as it is on the wire, piece by piece; false if it ended early, or `body` returned false.
    func forwardBody(_ length: HTTPBodyLength, _ body: ([UInt8]) -> Bool) -> Bool {
        switch length {
        case .none: return true
        case .bytes(let count): return forward(count, body)
        case .chunked:
            while true {
                guard let line = readLine(), body(Array(line.utf8)) else { return false }
                guard let count = Int(line.prefix { $0.isHexDigit }, radix: 16) else { return false }
                // The end of a chunk, or that of the trailers.
                guard count > 0 else {
                    while let trailer = readLine() {
                        guard body(Array(trailer.utf8)) else { return false }
                        if trailer == "\r\n" { return true }
                    }
                    return false
                }
                guard forward(count + 2, body) else { return false }
            }
        case .untilEnd:
            while let bytes = readSome(1 << 16) { guard body(bytes) else { return false } }
            return true
        }
    }

    private func forward(_ count: Int, _ body: ([UInt8]) -> Bool) -> Bool {
        var left = count
        while left > 0 {
            guard let bytes = readSome(min(left, 1 << 16)) else { return false }
            left -= bytes.count
            guard body(bytes) else { return false }
        }
        return true
    }
}
