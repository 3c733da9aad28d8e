public import FoundationEssentials
import HostIO

/// An object in a list.
public struct S3ListedObject: Sendable {
    /// The key, whoever wrote it.
    public var key: S3Key
    /// The size in bytes.
    public var byteCount: Int
    /// The entity tag as the server wrote it, quotes included.
    public var entityTag: String?
    /// When it was written, by the server's clock.
    public var lastModified: Date?
    /// The storage class.
    public var storageClass: String?
}

/// Lists objects by what their keys begin with (ListObjectsV2), a page at a time.
///
/// Servers differ in the order of a list, and so in what ``startAfter`` leaves out: some sort by the bytes of the key, some
/// by its segments. Sort what all pages have together by ``S3Key``, and never merge two lists by an order.
public struct ListObjects: S3Operation {
    /// A page of a list.
    public struct Page: Sendable {
        /// The objects, in the server's order.
        public var objects: [S3ListedObject]
        /// What stands for the keys that have the delimiter behind the prefix, up to it and with it; in the server's order.
        public var commonPrefixes: [S3Key]
        /// What the next page is asked for by; nil after the last one.
        public var continuationToken: String?
    }

    /// The most entries that a page has on servers that go by S3's rules.
    public static let maximumPageCount = 1000

    /// What all keys begin with.
    public var prefix: String
    /// What ends a common prefix, a slash for what is like directories; nil lists each key.
    public var delimiter: String?
    /// A key that the list begins behind, in the server's order; nil begins at the first.
    public var startAfter: String?
    /// What the page before named.
    public var continuationToken: String?
    /// The most entries of a page.
    public var pageCount: Int

    /// A list from its beginning.
    public init(
        prefix: String = "", delimiter: String? = nil, startAfter: String? = nil, pageCount: Int = maximumPageCount
    ) {
        self.prefix = prefix
        self.delimiter = delimiter
        self.startAfter = startAfter
        self.pageCount = pageCount
    }

    /// The operation for the page behind one; nil behind the last.
    public func next(after page: Page) -> ListObjects? {
        guard let token = page.continuationToken else { return nil }
        var next = self
        next.continuationToken = token
        return next
    }

    /// The request.
    public var request: S3Request {
        var query: [S3Request.QueryItem] = [
            .init("list-type", "2"), .init("encoding-type", "url"), .init("max-keys", String(pageCount)),
            .init("prefix", prefix),
        ]
        if let delimiter { query.append(.init("delimiter", delimiter)) }
        if let startAfter { query.append(.init("start-after", startAfter)) }
        if let continuationToken { query.append(.init("continuation-token", continuationToken)) }
        return S3Request(.get, .bucket, action: "list", query: query)
    }

    /// A page.
    ///
    /// - Throws: ``S3Error``; also for a page that says that others follow and not how to ask for them, or for one that
    ///   names the page that it is itself.
    public func output(of response: S3Response) throws(S3Error) -> Page {
        try requireStatus(200, of: response)
        return try read("ListBucketResult", in: response) { document throws(XMLProblem) in
            let names = ListedNames(document)
            var objects: [S3ListedObject] = []
            for element in document.all("Contents") {
                objects.append(
                    S3ListedObject(
                        key: try names.key(element.required("Key")), byteCount: try element.requiredNumber("Size"),
                        entityTag: element["ETag"]?.nonEmpty,
                        lastModified: element["LastModified"].flatMap { S3Time.parseExtended($0.trimmed) },
                        storageClass: element["StorageClass"]?.nonEmpty))
            }
            var commonPrefixes: [S3Key] = []
            for element in document.all("CommonPrefixes") {
                commonPrefixes.append(try names.key(element.required("Prefix")))
            }
            var token: String?
            if try document.flag("IsTruncated") {
                let next = try document.required("NextContinuationToken")
                guard !next.isEmpty, next != continuationToken else {
                    throw .noNextPage
                }
                token = next
            } else if document.first("IsTruncated") == nil {
                throw .missing("\(document.name) has no IsTruncated")
            }
            return Page(objects: objects, commonPrefixes: commonPrefixes, continuationToken: token)
        }
    }
}
