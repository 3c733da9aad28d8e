/// A page of a list that goes on behind a marker.
public protocol MarkedPage: Sendable {
    /// What a page ends with.
    associatedtype Marker: Sendable & Equatable

    /// What the next page begins behind; nil after the last one.
    var marker: Marker? { get }
}

/// A list whose pages are asked for by what the page before ended with.
public protocol MarkedList: S3Operation where Output: MarkedPage {
    /// What the page begins behind; nil begins at the first.
    var marker: Output.Marker? { get set }
}

extension MarkedList {
    /// The operation for the page behind one; nil behind the last.
    public func next(after page: Output) -> Self? {
        guard let marker = page.marker else { return nil }
        var next = self
        next.marker = marker
        return next
    }
}

/// A key, and what tells apart what is listed of that key: a version or an upload.
public struct ListMarker: Sendable, Equatable {
    private let key: String
    private let identifier: String?

    /// The marker of a truncated page, whose element of that name has the identifier.
    init(_ identifierElement: String, in document: XMLElement, _ names: ListedNames) throws(XMLProblem) {
        key = try names.key(document.required("NextKeyMarker")).text
        identifier = document[identifierElement]?.nonEmpty
    }

    /// What asks for the page behind it, the identifier by an item of that name.
    func query(_ identifierItem: String) -> [S3Request.QueryItem] {
        [.init("key-marker", key)] + (identifier.map { [.init(identifierItem, $0)] } ?? [])
    }
}
