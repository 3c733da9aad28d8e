internal import CGRPCShim

extension Client {
    /// The status of every endpoint's member, all asked at once; in the endpoints' order.
    public func health() async -> [EndpointHealth] { await health(of: endpoints) }

    /// The same of other endpoints.
    func health(of endpoints: [Endpoint]) async -> [EndpointHealth] {
        await withTaskGroup(of: (Int, EndpointHealth).self) { group in
            for (index, endpoint) in endpoints.enumerated() {
                group.addTask { (index, await self.health(of: endpoint)) }
            }
            var results = [EndpointHealth?](repeating: nil, count: endpoints.count)
            for await (index, health) in group { results[index] = health }
            return results.compactMap { $0 }
        }
    }

    private func health(of endpoint: Endpoint) async -> EndpointHealth {
        let clock = ContinuousClock()
        let start = clock.now
        let status: Result<MemberStatus, EtcdError>
        do {
            status = .success(try await self.status(of: endpoint))
        } catch let error as EtcdError {
            status = .failure(error)
        } catch {
            // A source of passwords that fails, or cancellation.
            status = .failure(EtcdError(.notAuthenticated, endpoint: endpoint, message: "\(error)"))
        }
        return EndpointHealth(endpoint: endpoint, status: status, latency: clock.now - start)
    }

    /// The status of one endpoint's member.
    ///
    /// - Throws: ``EtcdError``, `CancellationError`, or what the source of the password throws.
    public func status(of endpoint: Endpoint) async throws -> MemberStatus {
        try await call(CGRPC_METHOD_STATUS, at: endpoint) { MemberStatus($0, &$1) }
    }

    /// The cluster's members.
    ///
    /// - Parameter linearizable: whether a quorum has to confirm the answer; without, the member tells what it knows.
    ///   etcd 3.4 always does the latter.
    /// - Throws: ``EtcdError``, `CancellationError`, or what the source of the password throws.
    public func members(linearizable: Bool = true) async throws -> MemberList {
        try await onAnyEndpoint { try await members(at: $0, linearizable: linearizable) }
    }

    /// The cluster's members as one of them tells.
    func members(at endpoint: Endpoint, linearizable: Bool) async throws -> MemberList {
        try await call(CGRPC_METHOD_MEMBERS, at: endpoint) { MemberList($0, linearizable: linearizable, &$1) }
    }

    /// The alarms that any member has raised.
    ///
    /// - Throws: ``EtcdError``, `CancellationError`, or what the source of the password throws.
    public func alarms() async throws -> [Alarm] {
        try await onAnyEndpoint { try await alarms(at: $0) }
    }

    /// The alarms as one member tells, which asks the whole cluster for it.
    func alarms(at endpoint: Endpoint) async throws -> [Alarm] {
        try await call(CGRPC_METHOD_ALARMS, at: endpoint) { call, error in
            var count = 0
            guard cgrpc_call_fetch_alarms(call, &count, &error) else { return nil }
            return (0..<count).map { Alarm(call, $0) }
        }
    }

    /// The hash over one member's key space at `revision`, or at its current revision for 0.
    ///
    /// - Throws: ``EtcdError`` with the reason `compacted` for a revision that is gone, `CancellationError`, or what the
    ///   source of the password throws.
    public func hashKV(endpoint: Endpoint, revision: Int64) async throws -> HashKV {
        try await call(CGRPC_METHOD_HASH_KV, at: endpoint) { call, error in
            var fields = cgrpc_hash_kv_fields()
            guard cgrpc_call_fetch_hash_kv(call, revision, &fields, &error) else { return nil }
            // Before 3.6 the response doesn't repeat the revision.
            let asked = revision == 0 ? fields.header.revision : revision
            return HashKV(
                memberID: fields.header.member_id, currentRevision: fields.header.revision,
                hashRevision: fields.hash_revision == 0 ? asked : fields.hash_revision,
                compactRevision: fields.compact_revision, hash: fields.hash)
        }
    }

    /// Whether the cluster demands authentication.
    ///
    /// - Throws: ``EtcdError`` with the reason `unimplemented` from etcd 3.4, `CancellationError`, or what the source of
    ///   the password throws.
    public func authStatus() async throws -> AuthStatus {
        try await onAnyEndpoint { endpoint in
            try await call(CGRPC_METHOD_AUTH_STATUS, at: endpoint) { call, error in
                var fields = cgrpc_auth_status_fields()
                guard cgrpc_call_fetch_auth_status(call, &fields, &error) else { return nil }
                return AuthStatus(isEnabled: fields.is_enabled, authRevision: fields.auth_revision)
            }
        }
    }
}

extension MemberStatus {
    /// Fetches the response of a call; nil and an error if it fails.
    init?(_ call: OpaquePointer, _ error: inout OpaquePointer?) {
        var fields = cgrpc_status_fields()
        guard cgrpc_call_fetch_status(call, &fields, &error) else { return nil }
        let storageVersion = String(cString: fields.storage_version)
        self.init(
            clusterID: fields.header.cluster_id, memberID: fields.header.member_id, revision: fields.header.revision,
            raftTerm: fields.raft_term, version: String(cString: fields.version),
            databaseByteCount: believable(fields.db_size_bytes),
            databaseInUseByteCount: believable(fields.db_size_in_use_bytes),
            leaderID: fields.leader_id, raftIndex: fields.raft_index, raftAppliedIndex: fields.raft_applied_index,
            isLearner: fields.is_learner, storageVersion: storageVersion.isEmpty ? nil : storageVersion,
            databaseQuotaByteCount: fields.db_size_quota_bytes == 0 ? nil : fields.db_size_quota_bytes,
            errors: (0..<fields.error_count).map { String(cString: cgrpc_call_get_status_error(call, $0)) })
    }
}

/// A size as a server claims it, within what a database can have: sums of such sizes don't overflow.
private func believable(_ byteCount: Int64) -> Int64 {
    min(max(0, byteCount), Int64(SnapshotHeader.maximumDatabaseByteCount))
}

extension MemberList {
    /// Fetches the response of a call; nil and an error if it fails.
    init?(_ call: OpaquePointer, linearizable: Bool, _ error: inout OpaquePointer?) {
        var header = cgrpc_header_fields()
        var count = 0
        guard cgrpc_call_fetch_members(call, linearizable, &header, &count, &error) else { return nil }
        self.init(clusterID: header.cluster_id, members: (0..<count).map { Member(call, $0) })
    }
}

extension Member {
    fileprivate init(_ call: OpaquePointer, _ index: Int) {
        var fields = cgrpc_member_fields()
        cgrpc_call_get_member(call, index, &fields)
        self.init(
            id: fields.id, name: String(cString: fields.name),
            peerURLs: (0..<fields.peer_url_count).map {
                String(cString: cgrpc_call_get_member_peer_url(call, index, $0))
            },
            clientURLs: (0..<fields.client_url_count).map {
                String(cString: cgrpc_call_get_member_client_url(call, index, $0))
            },
            isLearner: fields.is_learner)
    }
}

extension Alarm {
    fileprivate init(_ call: OpaquePointer, _ index: Int) {
        var fields = cgrpc_alarm_fields()
        cgrpc_call_get_alarm(call, index, &fields)
        let kind: Kind =
            switch fields.type {
            case 1: .noSpace
            case 2: .corrupt
            default: .unknown(fields.type)
            }
        self.init(memberID: fields.member_id, kind: kind)
    }
}

extension Client {
    /// A client of the same cluster with another configuration.
    public func with(_ change: (inout ClientConfiguration) -> Void) throws -> Client {
        var configuration = configuration
        change(&configuration)
        return try Client(configuration, logger: logger)
    }
}
