import Crypto
public import HostIO

/// Removes up to 1,000 objects in one request, each on its own: some may be refused.
public struct DeleteObjects: S3Operation {
    /// One that is to go.
    public struct Item: Sendable, Hashable {
        /// The key.
        public var key: S3Key
        /// The version, which really goes; nil is the name.
        public var versionID: String?

        /// An item from its parts.
        public init(_ key: S3Key, versionID: String? = nil) {
            self.key = key
            self.versionID = versionID
        }
    }

    /// What became of the items.
    public struct Output: Sendable {
        /// Those that are gone, or were not there.
        public var deleted: [Item]
        /// Those that the server refused, or did not mention, each with why.
        public var failures: [(item: Item, error: S3Error)]
    }

    /// The most items of a request.
    public static let maximumItemCount = 1000

    /// Those that are to go.
    public let items: [Item]

    /// A removal of objects.
    ///
    /// - Throws: ``Failure`` with the code `failed` for none, for more than ``maximumItemCount``, and for a key that XML
    ///   can't tell of.
    public init(_ items: [Item]) throws(Failure) {
        guard (1...Self.maximumItemCount).contains(items.count) else {
            throw Failure(
                .failed, "\(items.count) objects can't be deleted at once; it is 1 to \(Self.maximumItemCount)")
        }
        let isUntold = { (scalar: Unicode.Scalar) in
            scalar.value < 0x20 && !["\t", "\n", "\r"].contains(scalar) || scalar.value & 0xFFFE == 0xFFFE
        }
        if let item = items.first(where: { $0.key.text.unicodeScalars.contains(where: isUntold) }) {
            throw Failure(
                .failed, "\(item.key) can't be deleted with others: it has a control character", hint: "delete it alone"
            )
        }
        self.items = items
    }

    /// The request; every server takes Content-MD5 for it, and some nothing else.
    public var request: S3Request {
        let objects = items.map { item in
            let version = item.versionID.map { XMLText.element("VersionId", $0) } ?? ""
            return "<Object>" + XMLText.element("Key", item.key.text) + version + "</Object>"
        }
        let body = XMLText.document("Delete", objects.joined())
        return S3Request(
            .post, .bucket, action: "delete \(items.count) objects of", query: [.init("delete")],
            headers: [
                "Content-Type": "application/xml", "Content-MD5": base64(Array(Insecure.MD5.hash(data: body))),
            ], payload: .bytes(body))
    }

    /// What became of each item.
    public func output(of response: S3Response) throws(S3Error) -> Output {
        try requireStatus(200, of: response)
        return try read("DeleteResult", in: response) { document throws(XMLProblem) in
            var rest = Set(items)
            var deleted: [Item] = []
            var failures: [(item: Item, error: S3Error)] = []
            for element in document.children {
                guard element.name == "Deleted" || element.name == "Error" else { continue }
                guard let item = take(try element.required("Key"), element["VersionId"], from: &rest) else { continue }
                if element.name == "Deleted" {
                    deleted.append(item)
                } else {
                    failures.append((item, error(of: item, from: element, in: response)))
                }
            }
            failures += items.filter { rest.contains($0) }.map { ($0, error(of: $0, from: nil, in: response)) }
            return Output(deleted: deleted, failures: failures)
        }
    }

    /// Takes what an answer means out of the items that are left; servers name versions that nobody asked for as well.
    private func take(_ key: String, _ versionID: String?, from rest: inout Set<Item>) -> Item? {
        let key = S3Key(listed: key)
        return rest.remove(Item(key, versionID: versionID?.nonEmpty)) ?? rest.remove(Item(key))
    }

    private func error(of item: Item, from element: XMLElement?, in response: S3Response) -> S3Error {
        let request = S3Request(.delete, .object(item.key), action: "delete")
        guard let element else {
            return S3Error(.missing("the answer does not mention it"), in: response, to: request)
        }
        var answer = response
        answer.body = []
        var error = S3Error(answer, to: request)
        error.fill(from: element)
        return error
    }
}
