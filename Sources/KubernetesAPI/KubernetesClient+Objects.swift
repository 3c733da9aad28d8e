/// An object without its type: what every object has, and the whole as JSON.
public struct KubernetesObject: Sendable, Decodable {
    /// The whole.
    public var value: JSONValue

    /// Reads an object.
    public init(from decoder: any Decoder) throws { value = try JSONValue(from: decoder) }

    private func metadata(_ name: String) -> String { value["metadata"]?[name]?.text ?? "" }

    /// Its name.
    public var name: String { metadata("name") }
    /// Its namespace, empty for an object of the whole cluster.
    public var namespace: String { metadata("namespace") }
    /// What tells it from every other object of its name.
    public var uid: String { metadata("uid") }
    /// What changes with every change of it.
    public var resourceVersion: String { metadata("resourceVersion") }
    /// Its annotations.
    public var annotations: [String: String] { value["metadata"]?["annotations"]?.texts ?? [:] }
    /// Whether it is being deleted.
    public var isBeingDeleted: Bool { value["metadata"]?["deletionTimestamp"]?.text != nil }
}

/// A page of a list.
private struct Page<Item: Decodable>: Decodable {
    struct Metadata: Decodable { var `continue`: String? }
    var metadata: Metadata?
    var items: [Item]?
}

/// An object that is only counted.
private struct Uncounted: Decodable {
    init(from decoder: any Decoder) {}
}

extension KubernetesClient {
    /// How many objects a page has, as kubectl has it.
    public static let pageCount = 500
    private static let maxRestartCount = 4

    /// An object; nil if there is none of that name.
    public func get(_ type: ResourcePath, namespace: String? = nil, name: String) throws -> KubernetesObject? {
        do {
            return try send("GET", type.path(namespace: namespace, name: name), as: KubernetesObject.self)
        } catch let status as APIStatus where status.isNotFound {
            return nil
        }
    }

    /// All objects of a type.
    ///
    /// - Parameter fieldSelector: which ones, such as `spec.nodeName=cp-1`.
    public func list(
        _ type: ResourcePath, namespace: String? = nil, fieldSelector: String? = nil, pageCount: Int = pageCount
    ) throws -> [KubernetesObject] {
        let query = fieldSelector.map { [("fieldSelector", $0)] } ?? []
        return try pages(type.path(namespace: namespace), query, pageCount, accept: "application/json")
    }

    /// How many objects of a type there are; the server reads each of them whole, and sends its metadata.
    public func count(_ type: ResourcePath, pageCount: Int = pageCount) throws -> Int {
        let items: [Uncounted] = try pages(
            type.path(), [], pageCount,
            accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json")
        return items.count
    }

    /// All pages of a list, all of one moment: where the next one is of a moment that is compacted, it begins again.
    private func pages<Item: Decodable>(
        _ path: String, _ query: [(String, String)], _ pageCount: Int, accept: String
    ) throws -> [Item] {
        var items: [Item] = []
        var next = ""
        var restartCount = 0
        repeat {
            let more = next.isEmpty ? [] : [("continue", next)]
            do {
                let page = try send(
                    "GET", path, query: query + [("limit", "\(pageCount)")] + more, accept: accept, as: Page<Item>.self
                )
                items += page.items ?? []
                next = page.metadata?.continue ?? ""
            } catch let status as APIStatus where status.isExpired && !next.isEmpty {
                restartCount += 1
                guard restartCount < Self.maxRestartCount else { throw status }
                (items, next) = ([], "")
                continue
            }
            if next.isEmpty { break }
        } while true
        return items
    }

    /// Changes fields of an object that is still the one that was read.
    ///
    /// - Parameter fields: in the form of a merge patch (RFC 7386).
    /// - Throws: ``APIStatus`` that is a conflict if it was changed meanwhile.
    @discardableResult
    public func patch(
        _ type: ResourcePath, _ object: KubernetesObject, _ fields: [String: JSONValue], dryRun: Bool = false
    ) throws -> KubernetesObject {
        var fields = fields
        var metadata: [String: JSONValue] = ["resourceVersion": .string(object.resourceVersion)]
        if case .object(let more)? = fields["metadata"] { metadata.merge(more) { own, _ in own } }
        fields["metadata"] = .object(metadata)
        let query = [("fieldManager", "etcd-snap")] + (dryRun ? [("dryRun", "All")] : [])
        return try send(
            "PATCH", type.path(namespace: object.namespace.isEmpty ? nil : object.namespace, name: object.name),
            query: query, contentType: "application/merge-patch+json", body: .object(fields),
            as: KubernetesObject.self)
    }

    /// Deletes an object if it is still the one that was read.
    ///
    /// - Parameters:
    ///   - gracePeriod: the seconds that a pod is given to end; nil for its own.
    ///   - isUnchanged: whether it must not even have changed.
    /// - Returns: false if it was gone already.
    /// - Throws: ``APIStatus`` that is a conflict if it is another one, or changed.
    @discardableResult
    public func delete(
        _ type: ResourcePath, _ object: KubernetesObject, gracePeriod: Int? = nil, isUnchanged: Bool = false
    ) throws -> Bool {
        var preconditions: [String: JSONValue] = ["uid": .string(object.uid)]
        if isUnchanged { preconditions["resourceVersion"] = .string(object.resourceVersion) }
        var options: [String: JSONValue] = [
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": .object(preconditions),
        ]
        if let gracePeriod { options["gracePeriodSeconds"] = .integer(Int64(gracePeriod)) }
        do {
            let namespace = object.namespace.isEmpty ? nil : object.namespace
            _ = try send("DELETE", type.path(namespace: namespace, name: object.name), body: .object(options))
            return true
        } catch let status as APIStatus where status.isNotFound {
            return false
        }
    }
}
