internal import HostIO

/// Reads a header from bytes that arrive piece by piece, and refuses all but the canonical form.
public struct HeaderParser: Sendable {
    /// The header, once its last byte was parsed.
    public private(set) var header: Header?

    private enum Expectation { case version, stanzaOrMAC, body }

    private let name: String
    private var expectation = Expectation.version
    private var bytes: [UInt8] = []
    private var lineStart = 0
    private var stanzas: [Stanza] = []
    private var arguments: [String] = []
    private var body: [UInt8] = []

    /// A parser whose errors call the file by `name`.
    public init(name: String) { self.name = name }

    /// Takes the next bytes of the file.
    ///
    /// - Returns: how many of them belong to the header: all, unless the header ends among them.
    /// - Throws: ``AgeError`` of kind `header`.
    public mutating func parse(_ input: UnsafeRawBufferPointer) throws(AgeError) -> Int {
        var consumedCount = 0
        while consumedCount < input.count, header == nil {
            let rest = input[consumedCount...]
            let line = rest.prefix { $0 != newline }
            let count = min(line.count + 1, rest.count)
            guard bytes.count + count <= Header.byteCountLimit else {
                throw malformed("it is longer than \(Header.byteCountLimit) bytes", at: bytes.count)
            }
            bytes += rest.prefix(count)
            consumedCount += count
            // Checked before the end of the line is there, for a file of another kind may have no lines.
            if expectation == .version { try checkVersion() }
            if count > line.count {
                try finishLine(bytes[lineStart..<bytes.count - 1])
                lineStart = bytes.count
            }
        }
        return consumedCount
    }

    /// The header after the last byte of the file.
    ///
    /// - Throws: ``AgeError`` of kind `header` if the header is not complete.
    public func finish() throws(AgeError) -> Header {
        if let header { return header }
        if bytes.isEmpty {
            throw AgeError(
                .header, "\(quoted(name)) is empty, so it is not an age file", hint: "get it again from where it came")
        }
        throw AgeError(
            .header, "\(quoted(name)) ends after \(bytes.count) bytes, inside its age header",
            at: .headerOffset(bytes.count), hint: "the file was cut short: get it again from where it came")
    }

    private func checkVersion() throws(AgeError) {
        let count = min(bytes.count, Header.versionLine.count)
        guard bytes[..<count] != Header.versionLine[..<count] else { return }
        let isArmored = bytes.starts(with: "-----BEGIN AGE".utf8)
        throw AgeError(
            .header, "\(quoted(name)) is not an age v1 file: it does not begin with the version line",
            at: .headerOffset(0),
            hint: isArmored ? "the file is armored: remove the armor first, as with age -d" : "check the path")
    }

    private mutating func finishLine(_ line: ArraySlice<UInt8>) throws(AgeError) {
        switch expectation {
        case .version: expectation = .stanzaOrMAC
        case .stanzaOrMAC where line.starts(with: Stanza.prefix): try beginStanza(line)
        case .stanzaOrMAC where line.starts(with: Header.macPrefix): try finishHeader(line)
        case .stanzaOrMAC: throw malformed("a line begins neither with \"-> \" nor with \"---\"", at: lineStart)
        case .body: try addToBody(line)
        }
    }

    private mutating func beginStanza(_ line: ArraySlice<UInt8>) throws(AgeError) {
        guard stanzas.count < Header.stanzaCountLimit else {
            throw malformed("it has more than \(Header.stanzaCountLimit) stanzas", at: lineStart)
        }
        let fields = line.dropFirst(Stanza.prefix.count)
            .split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard fields.allSatisfy({ Stanza.isArgument($0) }) else {
            throw malformed("stanza \(stanzas.count + 1) has an empty or illegal argument", at: lineStart)
        }
        guard fields.count - 1 <= Stanza.argumentCountLimit else {
            throw malformed(
                "stanza \(stanzas.count + 1) has more than \(Stanza.argumentCountLimit) arguments", at: lineStart)
        }
        arguments = fields.map { String(ascii: $0) }
        body = []
        expectation = .body
    }

    private mutating func addToBody(_ line: ArraySlice<UInt8>) throws(AgeError) {
        guard line.count <= Stanza.columnCount, Base64.append(line, as: .unpadded, to: &body) else {
            throw malformed("the body of stanza \(stanzas.count + 1) is not canonical base64", at: lineStart)
        }
        if line.count == Stanza.columnCount { return }
        stanzas.append(Stanza(type: arguments[0], arguments: Array(arguments.dropFirst()), body: body))
        expectation = .stanzaOrMAC
    }

    private mutating func finishHeader(_ line: ArraySlice<UInt8>) throws(AgeError) {
        guard !stanzas.isEmpty else { throw malformed("it has no stanzas", at: lineStart) }
        let text = line.dropFirst(Header.macPrefix.count)
        guard text.first == UInt8(ascii: " "), let mac = Base64.decode(text.dropFirst(), as: .unpadded),
            mac.count == Header.macByteCount
        else { throw malformed("its last line does not hold a MAC of 43 characters", at: lineStart) }
        header = Header(stanzas: stanzas, mac: mac, bytes: bytes)
    }

    private func malformed(_ reason: String, at offset: Int) -> AgeError {
        AgeError(
            .header, "the age header of \(quoted(name)) is malformed at byte \(offset): \(reason)",
            at: .headerOffset(offset), hint: "the file is damaged: get it again from where it came")
    }
}
