import HostIO

/// An element of a document: its name without a prefix, its text and the elements in it.
///
/// Attributes are left out, for no answer of S3 says anything in them.
struct XMLElement: Equatable {
    /// The name without a prefix of a namespace.
    let name: String
    /// The text directly in it, blanks included.
    var text: String
    /// The elements directly in it, in order.
    var children: [XMLElement]

    /// The text of the first element of a name; nil if there is none.
    subscript(name: String) -> String? { first(name)?.text }

    /// The first element of a name.
    func first(_ name: String) -> XMLElement? { children.first { $0.name == name } }

    /// The elements of a name.
    func all(_ name: String) -> [XMLElement] { children.filter { $0.name == name } }
}

/// Reads what an answer must have; each error says what was being read.
extension XMLElement {
    /// The text of an element that has to be there.
    func required(_ name: String) throws(XMLProblem) -> String {
        guard let text = self[name] else { throw .missing("\(self.name) has no \(name)") }
        return text
    }

    /// A number that has to be there.
    func requiredNumber(_ name: String) throws(XMLProblem) -> Int {
        let text = try required(name)
        guard let number = Int(text.trimmed), number >= 0 else {
            throw .missing("\(name) of \(self.name) is \(quoted(beginning(of: text))), which is no number")
        }
        return number
    }

    /// Whether an element says true; one that is not there does not.
    func flag(_ name: String) throws(XMLProblem) -> Bool {
        guard let text = self[name]?.trimmed else { return false }
        switch text.lowercased() {
        case "true": return true
        case "false", "": return false
        default:
            throw .missing("\(name) of \(self.name) is \(quoted(beginning(of: text))), which is neither true nor false")
        }
    }
}

/// Why a body is not the document that was expected.
enum XMLProblem: Error, Equatable {
    /// It ends before the document does.
    case cut(line: Int)
    /// It is not well-formed, or has what is not read.
    case malformed(String)
    /// It is a document, and what it has to say is not in it.
    case missing(String)

    /// It is a page of a list that does not say what the next one is.
    static let noNextPage = XMLProblem.missing("more pages follow, and it does not say how to ask for them")

    /// One sentence part.
    var text: String {
        switch self {
        case .cut(let line): "it ends before its XML does, in line \(line)"
        case .malformed(let problem), .missing(let problem): problem
        }
    }
}

extension String {
    /// Without blanks and line ends around it.
    var trimmed: String {
        let isBlank = { (character: Character) in character.isWhitespace }
        guard let start = firstIndex(where: { !isBlank($0) }), let end = lastIndex(where: { !isBlank($0) }) else {
            return ""
        }
        return String(self[start...end])
    }
}

/// The beginning of a text, for messages.
func beginning(of text: String, count: Int = 80) -> String {
    let start = text.unicodeScalars.prefix(count)
    return String(String.UnicodeScalarView(start)) + (text.unicodeScalars.count > count ? "…" : "")
}
