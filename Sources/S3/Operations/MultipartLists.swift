public import FoundationEssentials
import HostIO

/// Lists uploads that were begun and neither completed nor aborted, a page at a time.
public struct ListMultipartUploads: MarkedList {
    /// An unfinished upload.
    public struct Upload: Sendable {
        /// The key.
        public var key: S3Key
        /// The identifier.
        public var uploadID: String
        /// When it was begun, by the server's clock.
        public var initiated: Date?
    }

    /// A page of the list.
    public struct Page: MarkedPage {
        /// The uploads, in the server's order.
        public var uploads: [Upload]
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
        // Without an encoding: SeaweedFS says that it encodes keys, and does not.
        var query: [S3Request.QueryItem] = [
            .init("uploads"), .init("max-uploads", String(pageCount)), .init("prefix", prefix),
        ]
        query += marker?.query("upload-id-marker") ?? []
        return S3Request(.get, .bucket, action: "list unfinished uploads of", query: query)
    }

    /// A page.
    public func output(of response: S3Response) throws(S3Error) -> Page {
        try requireStatus(200, of: response)
        return try read("ListMultipartUploadsResult", in: response) { document throws(XMLProblem) in
            let names = ListedNames(document)
            var uploads: [Upload] = []
            for element in document.all("Upload") {
                uploads.append(
                    Upload(
                        key: try names.key(element.required("Key")), uploadID: try element.required("UploadId"),
                        initiated: element["Initiated"].flatMap { S3Time.parseExtended($0.trimmed) }))
            }
            guard try document.flag("IsTruncated") else { return Page(uploads: uploads, marker: nil) }
            let next = try ListMarker("NextUploadIdMarker", in: document, names)
            guard next != marker else { throw .noNextPage }
            return Page(uploads: uploads, marker: next)
        }
    }
}

/// Lists the parts of an upload, a page at a time.
public struct ListParts: MarkedList {
    /// A part that the server has.
    public struct ListedPart: Sendable, Equatable {
        /// What completing names it by.
        public var part: S3Part
        /// The size in bytes.
        public var byteCount: Int
    }

    /// A page of the list.
    public struct Page: MarkedPage {
        /// The parts in order of their numbers.
        public var parts: [ListedPart]
        /// The number that the next page begins behind; nil after the last one.
        public var marker: Int?
    }

    /// The key.
    public var key: S3Key
    /// The identifier of the upload.
    public var uploadID: String
    /// The number that the list begins behind.
    public var marker: Int?
    /// The most parts of a page.
    public var pageCount: Int

    /// A list from its beginning.
    public init(_ key: S3Key, uploadID: String, pageCount: Int = ListObjects.maximumPageCount) {
        self.key = key
        self.uploadID = uploadID
        self.pageCount = pageCount
    }

    /// The request.
    public var request: S3Request {
        var query: [S3Request.QueryItem] = [.init("uploadId", uploadID), .init("max-parts", String(pageCount))]
        if let marker { query.append(.init("part-number-marker", String(marker))) }
        return S3Request(.get, .object(key), action: "list the parts of the upload of", query: query)
    }

    /// A page.
    public func output(of response: S3Response) throws(S3Error) -> Page {
        try requireStatus(200, of: response)
        // The second name is moto's.
        return try read("ListPartsResult", "ListPartsResponse", in: response) { document throws(XMLProblem) in
            var parts: [ListedPart] = []
            for element in document.all("Part") {
                let part = S3Part(
                    number: try element.requiredNumber("PartNumber"), entityTag: try element.required("ETag"),
                    checksumSHA256: element["ChecksumSHA256"]?.trimmed.nonEmpty)
                parts.append(ListedPart(part: part, byteCount: try element.requiredNumber("Size")))
            }
            guard try document.flag("IsTruncated") else { return Page(parts: parts, marker: nil) }
            let next = try document.requiredNumber("NextPartNumberMarker")
            guard next > marker ?? 0 else { throw .noNextPage }
            return Page(parts: parts, marker: next)
        }
    }
}
