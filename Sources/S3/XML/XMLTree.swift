internal import CExpat
import HostIO

/// Reads a document into a tree, within limits: it comes from a server that may be anybody's.
///
/// Only UTF-8 is read. A document type declaration is refused before anything in it, so that there are no entities but
/// XML's own five.
enum XMLTree {
    /// The largest body: a page of 1,000 keys of 1,024 bytes, each byte encoded as three, is 3 MiB.
    static let maximumByteCount = 16 << 20
    /// The most elements in each other; S3's own answers have 5.
    static let maximumDepth = 32
    /// The most elements; a page of 1,000 versions has some 15,000.
    static let maximumElementCount = 200_000

    /// The root element of a document.
    static func read(_ bytes: [UInt8]) throws(XMLProblem) -> XMLElement {
        guard bytes.count <= maximumByteCount else {
            throw .malformed("it has \(bytes.count) bytes, and \(maximumByteCount) are the most that are read")
        }
        // What keeps a connection alive may stand before the declaration, which XML has at the very beginning.
        let document = bytes.drop { [0x20, 0x09, 0x0A, 0x0D].contains($0) }
        guard !document.isEmpty else { throw .cut(line: 1) }
        guard let parser = XML_ParserCreate("UTF-8") else { throw .malformed("there is no memory to read it") }
        defer { XML_ParserFree(parser) }
        let builder = XMLTreeBuilder(parser)
        XML_SetUserData(parser, Unmanaged.passUnretained(builder).toOpaque())
        builder.setHandlers()
        let status = document.withUnsafeBytes { buffer in
            XML_Parse(parser, buffer.assumingMemoryBound(to: CChar.self).baseAddress, CInt(buffer.count), 1)
        }
        let line = Int(clamping: XML_GetCurrentLineNumber(parser))
        if let problem = builder.problem { throw problem }
        guard status == XML_STATUS_OK else { throw problem(XML_GetErrorCode(parser), line: line) }
        guard let root = builder.root else { throw .cut(line: line) }
        return root
    }

    private static func problem(_ code: XML_Error, line: Int) -> XMLProblem {
        switch code {
        case XML_ERROR_NO_ELEMENTS, XML_ERROR_UNCLOSED_TOKEN, XML_ERROR_PARTIAL_CHAR, XML_ERROR_UNCLOSED_CDATA_SECTION:
            return .cut(line: line)
        default:
            let text = XML_ErrorString(code).map { String(cString: $0) } ?? "error \(code.rawValue)"
            return .malformed("it is no XML: \(text), in line \(line)")
        }
    }
}

/// What the handlers fill; it lives as long as its parser is used.
private final class XMLTreeBuilder {
    private let parser: XML_Parser
    private var open: [XMLElement] = []
    private var textBytes: [[UInt8]] = []
    private var elementCount = 0
    private(set) var root: XMLElement?
    private(set) var problem: XMLProblem?

    init(_ parser: XML_Parser) { self.parser = parser }

    func setHandlers() {
        XML_SetElementHandler(
            parser,
            { data, name, _ in
                guard let data, let name else { return }
                XMLTreeBuilder.of(data).start(String(cString: name))
            },
            { data, _ in
                guard let data else { return }
                XMLTreeBuilder.of(data).end()
            })
        XML_SetCharacterDataHandler(parser) { data, text, count in
            guard let data, let text else { return }
            XMLTreeBuilder.of(data).append(UnsafeRawBufferPointer(start: text, count: Int(count)))
        }
        XML_SetStartDoctypeDeclHandler(parser) { data, _, _, _, _ in
            guard let data else { return }
            XMLTreeBuilder.of(data).refuse("it has a document type declaration, which no answer of S3 has")
        }
    }

    private static func of(_ data: UnsafeMutableRawPointer) -> XMLTreeBuilder {
        Unmanaged<XMLTreeBuilder>.fromOpaque(data).takeUnretainedValue()
    }

    private func start(_ qualifiedName: String) {
        elementCount += 1
        guard open.count < XMLTree.maximumDepth else {
            return refuse("it has more than \(XMLTree.maximumDepth) elements in each other")
        }
        guard elementCount <= XMLTree.maximumElementCount else {
            return refuse("it has more than \(XMLTree.maximumElementCount) elements")
        }
        let name = qualifiedName.split(separator: ":").last.map(String.init) ?? qualifiedName
        open.append(XMLElement(name: name, text: "", children: []))
        textBytes.append([])
    }

    private func end() {
        guard problem == nil, var element = open.popLast(), let bytes = textBytes.popLast() else { return }
        // expat has checked that it is UTF-8.
        element.text = String(decoding: bytes, as: UTF8.self)
        if open.isEmpty {
            root = element
        } else {
            open[open.count - 1].children.append(element)
        }
    }

    private func append(_ text: UnsafeRawBufferPointer) {
        guard problem == nil, !textBytes.isEmpty else { return }
        textBytes[textBytes.count - 1].append(contentsOf: text)
    }

    private func refuse(_ text: String) {
        guard problem == nil else { return }
        problem = .malformed(text)
        XML_StopParser(parser, XML_Bool(XML_FALSE))
    }
}
