public import FoundationEssentials
import HostIO

/// Lists all versions of objects, and the markers that hide them, a page at a time.
///
/// The order of servers differs as in ``ListObjects``.
public struct ListVersions: MarkedList {
    /// A version of an object, or a marker that hides those before it.
    public struct Version: Sendable {
        /// The key, whoever wrote it.
        public var key: S3Key
        /// The version; `null` is what was written before the bucket kept versions.
        public var versionID: String
        /// Whether it is what reading by the name finds.
        public var isLatest: Bool
        /// Whether it is a marker.
        public var isMarker: Bool
        /// The size in bytes; 0 for a marker.
        public var byteCount: Int
        /// When it was written, by the server's clock.
        public var lastModified: Date?
    }

    /// A page of the list.
    public struct Page: MarkedPage {
        /// Versions and markers, in the server's order.
        public var versions: [Version]
        /// What the next page begins behind; nil after the last one.
        public var marker: ListMarker?
    }

    /// What all keys begin with.
    public var prefix: String
    /// What the page before ended with.
    public var marker: ListMarker?
    /// The most entries of a page.
    public var pageCount: Int

    /// A list from its beginning.
    public init(prefix: String = "", pageCount: Int = ListObjects.maximumPageCount) {
        self.prefix = prefix
        self.pageCount = pageCount
    }

    /// The request.
    public var request: S3Request {
        var query: [S3Request.QueryItem] = [
            .init("versions"), .init("encoding-type", "url"), .init("max-keys", String(pageCount)),
            .init("prefix", prefix),
        ]
        query += marker?.query("version-id-marker") ?? []
        return S3Request(.get, .bucket, action: "list the versions of", query: query)
    }

    /// A page.
    public func output(of response: S3Response) throws(S3Error) -> Page {
        try requireStatus(200, of: response)
        return try read("ListVersionsResult", in: response) { document throws(XMLProblem) in
            let names = ListedNames(document)
            var versions: [Version] = []
            for element in document.children where element.name == "Version" || element.name == "DeleteMarker" {
                let isMarker = element.name == "DeleteMarker"
                versions.append(
                    Version(
                        key: try names.key(element.required("Key")), versionID: try element.required("VersionId"),
                        isLatest: try element.flag("IsLatest"), isMarker: isMarker,
                        byteCount: isMarker ? 0 : try element.requiredNumber("Size"),
                        lastModified: element["LastModified"].flatMap { S3Time.parseExtended($0.trimmed) }))
            }
            guard document.first("IsTruncated") != nil else {
                throw .missing("\(document.name) has no IsTruncated")
            }
            guard try document.flag("IsTruncated") else { return Page(versions: versions, marker: nil) }
            let next = try ListMarker("NextVersionIdMarker", in: document, names)
            guard next != marker else { throw .noNextPage }
            return Page(versions: versions, marker: next)
        }
    }
}
