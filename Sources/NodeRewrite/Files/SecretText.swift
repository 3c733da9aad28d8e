internal import HostIO
internal import YAML

/// A text of which some parts are for nobody's eyes: values of keys, variables and flags that name a secret, and private
/// keys.
struct SecretText {
    static let placeholder = "«secret»"

    private let bytes: [UInt8]
    /// In order, without overlaps.
    private let secrets: [Range<Int>]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        let found = Self.inLines(bytes) + Self.inDocuments(bytes)
        var secrets: [Range<Int>] = []
        for range in found.sorted(by: { $0.lowerBound < $1.lowerBound }) where !range.isEmpty {
            if let last = secrets.last, last.upperBound >= range.lowerBound {
                secrets[secrets.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                secrets.append(range)
            }
        }
        self.secrets = secrets
    }

    /// A part with a placeholder for each secret in it, safe to print.
    func shown(_ range: Range<Int>) -> String {
        var text = ""
        var position = range.lowerBound
        let first = secrets.firstIndex { $0.upperBound > range.lowerBound } ?? secrets.count
        for secret in secrets[first...] {
            guard secret.lowerBound < range.upperBound else { break }
            text += piece(position..<max(position, secret.lowerBound)) + Self.placeholder
            position = min(secret.upperBound, range.upperBound)
        }
        return withoutSecrets(text + piece(position..<range.upperBound))
    }

    private func piece(_ range: Range<Int>) -> String {
        // Tabs are in units for good.
        String(decoding: bytes[range], as: UTF8.self).split(separator: "\t", omittingEmptySubsequences: false)
            .map { printable(String($0)) }.joined(separator: "\t")
    }

    // MARK: Names

    private static let suffixes = [
        "key-data", "keydata", "token", "password", "passwd", "passphrase", "secret", "auth-pass", "certificatekey",
        "certificate-key", "secret-key", "secretkey", "access-key", "api-key", "apikey", "private-key", "credentials",
        "secret-access-key", "token-secret", "token-id", "psk",
    ]

    /// Whether a key, a variable or a flag has a secret as its value.
    static func isSecret(_ name: some StringProtocol) -> Bool {
        let name = name.lowercased().split(separator: "_").joined(separator: "-")
        return suffixes.contains { name.hasSuffix($0) }
    }

    // MARK: Lines

    /// What follows such a name on its line, whatever kind of file it is, and private keys in PEM.
    private static func inLines(_ bytes: [UInt8]) -> [Range<Int>] {
        var found: [Range<Int>] = []
        var isPrivateKey = false
        var start = 0
        while start < bytes.count {
            let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
            defer { start = end + 1 }
            let line = bytes[start..<end]
            if line.firstRange(of: "PRIVATE KEY-----".utf8) != nil {
                isPrivateKey = line.firstRange(of: "-----BEGIN ".utf8) != nil
                if line.firstRange(of: "-----END ".utf8) != nil { isPrivateKey = false }
                found.append(start..<end)
            } else if isPrivateKey {
                found.append(start..<end)
            } else if let value = valueStart(line) {
                found.append(value..<end)
            }
        }
        return found
    }

    /// Where the value of the first secret of a line begins.
    private static func valueStart(_ line: ArraySlice<UInt8>) -> Int? {
        var nameStart = line.startIndex
        for index in line.indices {
            let byte = line[index]
            if isOfName(byte) { continue }
            if nameStart < index, isSecret(String(decoding: line[nameStart..<index], as: UTF8.self)),
                let start = valueStart(line[index...], isFlag: line[nameStart] == UInt8(ascii: "-"))
            {
                return start
            }
            nameStart = index + 1
        }
        return nil
    }

    private static func isOfName(_ byte: UInt8) -> Bool {
        byte == 0x2D || byte == 0x5F || (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20)
    }

    /// Behind a name come a quote, blanks, `:` or `=`, blanks; after keepalived's words and flags blanks alone.
    private static func valueStart(_ rest: ArraySlice<UInt8>, isFlag: Bool) -> Int? {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
        var tail = rest
        if let quote = tail.first, quote == 0x22 || quote == 0x27 { tail = tail.dropFirst() }
        let unblanked = tail.drop(while: isBlank)
        if let sign = unblanked.first, sign == UInt8(ascii: ":") || sign == UInt8(ascii: "=") {
            let value = unblanked.dropFirst().drop(while: isBlank)
            return value.isEmpty ? nil : value.startIndex
        }
        // A sentence may end with such a word, and more words follow it in comments than a value has.
        guard unblanked.count < tail.count, !unblanked.isEmpty, isFlag || unblanked.split(separator: 0x20).count == 1
        else { return nil }
        return unblanked.startIndex
    }

    // MARK: Documents

    /// Values that lines do not tell: of several lines, of pairs of `name` and `value`, of flags in two items.
    private static func inDocuments(_ bytes: [UInt8]) -> [Range<Int>] {
        guard let documents = try? Node.documents(in: bytes) else { return [] }
        var found: [Range<Int>] = []
        for document in documents { collect(document, &found) }
        return found
    }

    private static func collect(_ node: Node, _ found: inout [Range<Int>]) {
        switch node.content {
        case .scalar: break
        case .sequence(let items):
            for (index, item) in items.enumerated() {
                if index > 0, let flag = items[index - 1].text, flag.hasPrefix("-"), isSecret(flag) {
                    found.append(item.mark.bytes)
                }
                collect(item, &found)
            }
        case .mapping(let pairs):
            let isNamed = node["name"]?.text.map { isSecret($0) } ?? false
            for pair in pairs {
                let key = pair.key.text ?? ""
                if isSecret(key) || isNamed && key == "value" { found.append(pair.value.mark.bytes) }
                collect(pair.value, &found)
            }
        }
    }
}
