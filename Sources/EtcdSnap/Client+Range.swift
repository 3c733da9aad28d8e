internal import CGRPCShim

/// A key as a member returns it, lent.
public struct RangeRow {
    /// The key.
    public let key: UnsafeRawBufferPointer
    /// Its value.
    public let value: UnsafeRawBufferPointer
    /// The revision that created it.
    public let createRevision: Int64
    /// The revision that changed it last.
    public let modRevision: Int64
    /// How often it was written since it was created.
    public let version: Int64
    /// The lease that it is attached to; 0 for none.
    public let lease: Int64
}

/// What one request for keys came to.
public struct RangePage: Sendable {
    /// The member's current revision.
    public var currentRevision: Int64
    /// All keys from the first one that was asked for.
    public var keyCount: Int
    /// How many of them were returned.
    public var rowCount: Int
    /// The bytes of the keys and values that were returned.
    public var byteCount: Int
    /// The last key that was returned; nil if there was none.
    public var lastKey: [UInt8]?
    /// Whether there are keys behind it.
    public var hasMore: Bool
}

extension Client {
    /// The keys of the key space from one on, in their order, as a quorum confirms them.
    ///
    /// - Parameters:
    ///   - endpoint: the member that is asked.
    ///   - key: the first key; at least one byte.
    ///   - limit: the most keys that are returned; 0 for all.
    ///   - revision: the revision to read at; 0 for the current one.
    ///   - body: called with each row, on another thread.
    /// - Throws: ``EtcdError``, also for an answer larger than ``ClientConfiguration/maxMessageByteCount``;
    ///   `CancellationError`.
    public func range(
        endpoint: Endpoint, from key: [UInt8], limit: Int, revision: Int64,
        _ body: @escaping @Sendable (RangeRow) -> Void
    ) async throws -> RangePage {
        try await call(CGRPC_METHOD_RANGE, at: endpoint) { call, error in
            var fields = cgrpc_range_fields()
            let isFetched = key.withUnsafeBytes { start in
                [UInt8(0)].withUnsafeBytes { (end: UnsafeRawBufferPointer) in
                    guard let first = start.baseAddress, let last = end.baseAddress else {
                        preconditionFailure("a range begins with a key")
                    }
                    var request = cgrpc_range_request(
                        key: first, key_bytes: start.count, range_end: last, range_end_bytes: 1, limit: Int64(limit),
                        revision: revision)
                    return cgrpc_call_fetch_range(call, &request, &fields, &error)
                }
            }
            return isFetched ? RangePage(call, fields, body) : nil
        }
    }
}

extension RangePage {
    /// Visits the rows of a response.
    fileprivate init(_ call: OpaquePointer, _ fields: cgrpc_range_fields, _ body: (RangeRow) -> Void) {
        currentRevision = fields.header.revision
        keyCount = Int(clamping: fields.key_count)
        rowCount = fields.row_count
        hasMore = fields.has_more
        var byteCount = 0
        var lastKey: [UInt8]?
        for index in 0..<fields.row_count {
            var row = cgrpc_key_value_fields()
            cgrpc_call_get_key_value(call, index, &row)
            byteCount += row.key_bytes + row.value_bytes
            let key = UnsafeRawBufferPointer(start: row.key, count: row.key_bytes)
            body(
                RangeRow(
                    key: key, value: UnsafeRawBufferPointer(start: row.value, count: row.value_bytes),
                    createRevision: row.create_revision, modRevision: row.mod_revision, version: row.version,
                    lease: row.lease))
            if index == fields.row_count - 1 { lastKey = Array(key) }
        }
        self.byteCount = byteCount
        self.lastKey = lastKey
    }
}
