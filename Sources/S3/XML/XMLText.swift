/// Writes the small documents of requests.
enum XMLText {
    static let namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

    /// An element with a text in it.
    static func element(_ name: String, _ text: String) -> String { "<\(name)>\(escaped(text))</\(name)>" }

    /// A document with elements in its root.
    static func document(_ root: String, _ content: String) -> [UInt8] {
        Array("<\(root) xmlns=\"\(namespace)\">\(content)</\(root)>".utf8)
    }

    /// Carriage returns too: a reader would take them for line feeds.
    private static func escaped(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result.append(contentsOf: "&amp;".unicodeScalars)
            case "<": result.append(contentsOf: "&lt;".unicodeScalars)
            case ">": result.append(contentsOf: "&gt;".unicodeScalars)
            case "\"": result.append(contentsOf: "&quot;".unicodeScalars)
            case "\r": result.append(contentsOf: "&#13;".unicodeScalars)
            default: result.append(scalar)
            }
        }
        return String(result)
    }
}
