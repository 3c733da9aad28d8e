import HostIO

/// The blocks of a PEM file (RFC 7468, and RFC 1421 for the headers of encrypted keys).
///
/// A block is what Go's `encoding/pem` takes for one, which Kubernetes and etcd read with: `BEGIN` and `END` stand at the
/// beginning of a line, the base64 between them may have lines of any length, blanks, tabs and empty lines, and text
/// between blocks is passed over. Go passes over blocks that it can't decode as well, without a word, so such blocks are
/// damage that nothing else would tell: see ``problems``. Source: Go 1.25 `encoding/pem`, `Decode`.
public struct PEMFile {
    /// A block whose content was decoded.
    public struct Block: Sendable {
        /// What stands between `BEGIN` and the dashes, such as `RSA PRIVATE KEY`.
        public var label: String
        /// Whether a header says that the content is encrypted (`Proc-Type: 4,ENCRYPTED`).
        public var isEncrypted: Bool
        /// The decoded content.
        public var content: [UInt8]

        /// A block from its parts.
        public init(label: String, isEncrypted: Bool = false, content: [UInt8]) {
            self.label = label
            self.isEncrypted = isEncrypted
            self.content = content
        }

        /// Whether the content is a certificate: the label that everything writes today, and OpenSSL's others, which
        /// Go's `crypto/tls` and `CertPool.AppendCertsFromPEM` pass over.
        public var isCertificate: Bool { label == Self.certificateLabel || Self.otherCertificateLabels.contains(label) }

        /// OpenSSL's old label, and that of a certificate which it trusts for some uses.
        public static let otherCertificateLabels = ["X509 CERTIFICATE", "TRUSTED CERTIFICATE"]

        /// The label by which everything knows a certificate.
        static let certificateLabel = "CERTIFICATE"

        /// Whether the content is a private key, of whatever form.
        public var isPrivateKey: Bool { label.hasSuffix("PRIVATE KEY") }
    }

    /// The blocks in their order.
    public private(set) var blocks: [Block] = []
    /// What is wrong with others, each a clause such as `the block at line 3 has no END line`.
    public private(set) var problems: [String] = []
    /// Whether the blocks after ``blockCountLimit`` were left out.
    public private(set) var isCut = false

    /// How many blocks of a file are read.
    public static let blockCountLimit = 4096
    private static let problemCountLimit = 8

    /// Takes a file apart.
    public init(_ bytes: [UInt8]) {
        var scanner = PEMScanner(bytes)
        var found: [Block] = []
        var defects: [String] = []
        while found.count < Self.blockCountLimit, let next = scanner.next() {
            switch next {
            case .block(let block): found.append(block)
            case .defect(let problem): if defects.count < Self.problemCountLimit { defects.append(problem) }
            }
        }
        isCut = found.count == Self.blockCountLimit && scanner.next() != nil
        blocks = found
        problems = defects
    }

    /// Wipes the private keys that were decoded.
    public mutating func wipe() {
        for index in blocks.indices where blocks[index].isPrivateKey { blocks[index].content.wipe() }
    }

    /// A block as RFC 7468 writes it strictly: 64 characters a line, with nothing around.
    ///
    /// - Returns: bytes that the caller wipes if the block is a private key.
    public static func encode(_ block: Block) -> [UInt8] {
        let characterCount = (block.content.count + 2) / 3 * 4
        var text: [UInt8] = []
        text.reserveCapacity(characterCount + characterCount / 64 + 2 * block.label.utf8.count + 40)
        text += "-----BEGIN \(block.label)-----\n".utf8
        var body = Base64.encode(block.content, padded: true)
        defer { body.wipe() }
        for start in stride(from: 0, to: body.count, by: 64) {
            text += body[start..<min(start + 64, body.count)]
            text.append(0x0A)
        }
        text += "-----END \(block.label)-----\n".utf8
        return text
    }
}

/// Finds one block after the other.
private struct PEMScanner {
    enum Step {
        case block(PEMFile.Block)
        case defect(String)
    }

    private let bytes: [UInt8]
    private var offset = 0
    private var lineNumber = 1
    private static let begin = Array("-----BEGIN ".utf8)
    private static let end = Array("-----END ".utf8)
    private static let dashes = Array("-----".utf8)
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func next() -> Step? {
        while offset < bytes.count {
            let line = takeLine()
            if line.starts(with: Self.begin) {
                if line.count > Self.begin.count, line.hasSuffix(Self.dashes) { return readBlock(line) }
                return .defect("line \(lineNumber - 1) begins a block and does not end with five dashes")
            }
            if line.starts(with: Self.end) { return .defect("line \(lineNumber - 1) ends a block that does not begin") }
            if let reason = Self.whatHides(line) {
                return .defect("the block at line \(lineNumber - 1) is not seen, for \(reason)")
            }
        }
        return nil
    }

    /// Why a line that was meant to begin a block does not, nil if it was not meant to.
    private static func whatHides(_ line: ArraySlice<UInt8>) -> String? {
        guard let first = line.first, first == 0x20 || first == 0x09 || first == byteOrderMark[0] else { return nil }
        if line.starts(with: byteOrderMark), line.dropFirst(3).starts(with: begin) {
            return "a byte-order mark stands before it"
        }
        return line.drop { $0 == 0x20 || $0 == 0x09 }.starts(with: begin) ? "it is indented" : nil
    }

    /// Reads on behind a `BEGIN` line; what is no block leaves the place behind that line, for the next may begin there.
    private mutating func readBlock(_ beginLine: ArraySlice<UInt8>) -> Step {
        let start = lineNumber - 1
        let label = Array(beginLine.dropFirst(Self.begin.count).dropLast(Self.dashes.count))
        let isEncrypted = skipHeaders()
        let resume = (offset, lineNumber)
        var body: [UInt8] = []
        defer { body.wipe() }
        while offset < bytes.count {
            let line = takeLine()
            if line.starts(with: Self.end) {
                guard line.dropFirst(Self.end.count).elementsEqual(label + Self.dashes) else {
                    (offset, lineNumber) = resume
                    return .defect("the block at line \(start) ends under another name")
                }
                guard let content = Base64.decode(body), !content.isEmpty else {
                    return .defect("the block at line \(start) is not valid base64")
                }
                return .block(
                    PEMFile.Block(
                        label: String(decoding: label, as: UTF8.self), isEncrypted: isEncrypted, content: content))
            }
            if line.starts(with: Self.begin) {
                (offset, lineNumber) = resume
                return .defect("the block at line \(start) has no END line before line \(skipToBegin())")
            }
            body += line.filter { $0 != 0x20 && $0 != 0x09 }
        }
        (offset, lineNumber) = resume
        return .defect("the block at line \(start) has no END line")
    }

    /// Goes to the next line that begins a block; its number.
    private mutating func skipToBegin() -> Int {
        while offset < bytes.count {
            let place = (offset, lineNumber)
            if takeLine().starts(with: Self.begin) {
                (offset, lineNumber) = place
                break
            }
        }
        return lineNumber
    }

    /// Passes over `Name: value` lines; whether one says that the content is encrypted.
    private mutating func skipHeaders() -> Bool {
        var isEncrypted = false
        while offset < bytes.count {
            let place = (offset, lineNumber)
            let line = takeLine()
            guard line.contains(UInt8(ascii: ":")) else {
                (offset, lineNumber) = place
                break
            }
            if line.starts(with: "Proc-Type:".utf8), line.hasSuffix(Array("ENCRYPTED".utf8)) { isEncrypted = true }
        }
        return isEncrypted
    }

    /// The next line without its end and the blanks before that.
    private mutating func takeLine() -> ArraySlice<UInt8> {
        let end = bytes[offset...].firstIndex(of: 0x0A) ?? bytes.count
        var line = bytes[offset..<end]
        offset = end + 1
        lineNumber += 1
        if line.last == 0x0D { line.removeLast() }
        while let last = line.last, last == 0x20 || last == 0x09 { line.removeLast() }
        return line
    }
}

extension ArraySlice<UInt8> {
    fileprivate func hasSuffix(_ end: [UInt8]) -> Bool { suffix(end.count).elementsEqual(end) }
}
