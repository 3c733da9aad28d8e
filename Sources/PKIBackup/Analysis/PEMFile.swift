import HostIO

/// The blocks of a PEM file (RFC 7468, and RFC 1421 for the headers of encrypted keys).
///
/// Go's `encoding/pem`, which Kubernetes and etcd read with, passes over text between blocks and over blocks that it
/// can't decode without a word, so such blocks are damage that nothing else would tell.
struct PEMFile {
    /// A block whose content was decoded.
    struct Block {
        /// What stands between `BEGIN` and the dashes, such as `RSA PRIVATE KEY`.
        var label: String
        /// Whether a header says that the content is encrypted (`Proc-Type: 4,ENCRYPTED`).
        var isEncrypted: Bool
        /// The decoded content.
        var content: [UInt8]
    }

    /// The blocks in their order.
    var blocks: [Block] = []
    /// What is wrong with others, each a clause such as `the block at line 3 has no END line`.
    var problems: [String] = []
    /// Whether the blocks after ``blockCountLimit`` were left out.
    var isCut = false

    /// How many blocks of a file are read.
    static let blockCountLimit = 4096
    private static let problemCountLimit = 8

    private var open: (label: String, line: Int, isEncrypted: Bool, body: [UInt8])?

    /// Takes a file apart.
    init(_ bytes: [UInt8]) {
        var number = 0
        var start = 0
        while start < bytes.count, blocks.count < Self.blockCountLimit {
            let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
            number += 1
            if end > start { read(Self.trimmed(bytes[start..<end]), number) }
            start = end + 1
        }
        isCut = start < bytes.count
        close(because: "has no END line")
    }

    /// Wipes the private keys that were decoded.
    mutating func wipe() {
        for index in blocks.indices where blocks[index].label.hasSuffix("PRIVATE KEY") { blocks[index].content.wipe() }
    }

    private mutating func read(_ line: ArraySlice<UInt8>, _ number: Int) {
        if let label = Self.label(of: line, "-----BEGIN ") {
            close(because: "has no END line before line \(number)")
            open = (label, number, false, [])
        } else if let label = Self.label(of: line, "-----END ") {
            end(label, number)
        } else if open != nil {
            if line.contains(UInt8(ascii: ":")) {
                if line.starts(with: "Proc-Type:".utf8), String(decoding: line, as: UTF8.self).hasSuffix("ENCRYPTED") {
                    open?.isEncrypted = true
                }
            } else {
                open?.body += line.filter { $0 != 0x20 && $0 != 0x09 }
            }
        }
    }

    private mutating func end(_ label: String, _ number: Int) {
        guard open != nil else { return note("line \(number) ends a block that does not begin") }
        guard open?.label == label else {
            return close(because: "ends at line \(number) under another name")
        }
        guard let content = Base64.decode(open?.body ?? []), !content.isEmpty else {
            return close(because: "is not valid base64")
        }
        blocks.append(Block(label: label, isEncrypted: open?.isEncrypted ?? false, content: content))
        open?.body.wipe()
        open = nil
    }

    private mutating func close(because reason: String) {
        guard let line = open?.line else { return }
        note("the block at line \(line) \(reason)")
        open?.body.wipe()
        open = nil
    }

    private mutating func note(_ problem: String) {
        if problems.count < Self.problemCountLimit { problems.append(problem) }
    }

    private static func label(of line: ArraySlice<UInt8>, _ prefix: String) -> String? {
        guard line.starts(with: prefix.utf8), line.suffix(5).elementsEqual("-----".utf8),
            line.count >= prefix.utf8.count + 5
        else { return nil }
        return String(decoding: line.dropFirst(prefix.utf8.count).dropLast(5), as: UTF8.self)
    }

    private static func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 || byte == 0x0D }
        var line = line.drop(while: isSpace)
        while let last = line.last, isSpace(last) { line.removeLast() }
        return line
    }
}
