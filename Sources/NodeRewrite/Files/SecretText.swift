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
        let documents = try? Node.documents(in: bytes)
        let found = Self.inLines(bytes, ofDocuments: documents != nil) + Self.inDocuments(documents ?? [])
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

    // MARK: Lines

    /// What follows such a name on its line, whatever kind of file it is, and private keys in PEM.
    private static func inLines(_ bytes: [UInt8], ofDocuments isDocument: Bool) -> [Range<Int>] {
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
            } else {
                var rest = line
                while let value = firstValue(rest, isDocument) {
                    found.append(value)
                    rest = rest[value.upperBound...]
                }
            }
        }
        return found
    }

    /// The value of the first secret of a line.
    private static func firstValue(_ line: ArraySlice<UInt8>, _ isDocument: Bool) -> Range<Int>? {
        var nameStart = line.startIndex
        for index in line.indices {
            if isOfName(line[index]) { continue }
            if nameStart < index, let start = valueStart(line, of: nameStart..<index, isDocument) {
                let isFlag = line[nameStart] == 0x2D
                return start..<((isFlag ? nextFlag(line[start...]) : nil) ?? line.endIndex)
            }
            nameStart = index + 1
        }
        return nil
    }

    /// Where the next flag of a line begins, if a value without quotes ends before it.
    private static func nextFlag(_ line: ArraySlice<UInt8>) -> Int? {
        guard let first = line.first, first != 0x22, first != 0x27 else { return nil }
        return line.indices.first { line[$0] == 0x20 && line[$0...].dropFirst().starts(with: [0x2D, 0x2D]) }
    }

    private static func valueStart(_ line: ArraySlice<UInt8>, of nameRange: Range<Int>, _ isDocument: Bool) -> Int? {
        let name = String(decoding: line[nameRange], as: UTF8.self)
        guard SecretName.isSecret(name),
            let start = valueStart(line[nameRange.upperBound...], isFlag: name.hasPrefix("-"))
        else { return nil }
        let value = String(decoding: line[start...], as: UTF8.self)
        let isKey = line[nameRange.upperBound..<start].contains(UInt8(ascii: ":"))
        // What a mapping or a list has, and what is only called `key`, is for documents to judge by what stands around it.
        if isKey, isDocument, name == "key" || ["{", "["].contains(value.first ?? " ") { return nil }
        return SecretValue.isHarmless(value) ? nil : start
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
    private static func inDocuments(_ documents: [Node]) -> [Range<Int>] {
        var found: [Range<Int>] = []
        for document in documents { collect(document, &found) }
        return found
    }

    private static func collect(_ node: Node, _ found: inout [Range<Int>]) {
        switch node.content {
        case .scalar: break
        case .sequence(let items):
            for (index, item) in items.enumerated() {
                if index > 0, let flag = items[index - 1].text, flag.hasPrefix("-"), !flag.contains("=") {
                    add(item, of: flag, &found)
                }
                if let flag = item.text, flag.hasPrefix("-"), isOfSeveralLines(item),
                    SecretName.isSecret(flag.prefix { $0 != "=" })
                {
                    found.append(item.mark.bytes)
                }
                collect(item, &found)
            }
        case .mapping(let pairs):
            let name = node["name"]?.text ?? ""
            let isSecretObject = node["kind"]?.text == "Secret"
            for pair in pairs {
                let key = pair.key.text ?? ""
                if isSecretObject, ["data", "stringData"].contains(key) {
                    addScalars(pair.value, &found)
                } else if key == "value" {
                    add(pair.value, of: name, &found)
                } else if key != "key" || !isSelector(pairs.compactMap(\.key.text)) {
                    add(pair.value, of: key, &found)
                }
                collect(pair.value, &found)
            }
        }
    }

    /// Adds a value that its name makes a secret.
    private static func add(_ value: Node, of name: String, _ found: inout [Range<Int>]) {
        guard SecretName.isSecret(name) else { return }
        switch value.content {
        case .scalar:
            let text = value.text ?? ""
            let isShown = SecretValue.isHarmless(text) || name == "key" && SecretValue.isLabel(text)
            if !isShown { found.append(value.mark.bytes) }
        case .sequence(let items): for item in items where item.text != nil { add(item, of: name, &found) }
        case .mapping(let pairs):
            if !pairs.allSatisfy({ references.contains($0.key.text ?? "") }) { addScalars(value, &found) }
        }
    }

    private static func addScalars(_ node: Node, _ found: inout [Range<Int>]) {
        switch node.content {
        case .scalar: found.append(node.mark.bytes)
        case .sequence(let items): for item in items { addScalars(item, &found) }
        case .mapping(let pairs): for pair in pairs { addScalars(pair.value, &found) }
        }
    }

    /// What a volume or a variable says of a Secret that is elsewhere.
    private static let references: Set<String> = [
        "secretName", "name", "namespace", "key", "optional", "defaultMode", "mode", "items", "path",
        "expirationSeconds",
        "audience",
    ]

    /// Whether `key` beside such keys names a label, or an entry of something elsewhere.
    private static func isSelector(_ keys: [String]) -> Bool {
        keys.contains { ["operator", "effect", "values", "path", "optional"].contains($0) }
            || Set(keys) == ["name", "key"]
    }

    private static func isOfSeveralLines(_ node: Node) -> Bool {
        guard let scalar = node.scalar else { return false }
        return node.mark.contentBytes.count > scalar.text.utf8.count + (scalar.style == .plain ? 0 : 2)
    }
}
