import Foundation

/// A proxy of HTTP/1.1 before a real server on the loopback interface, which does to requests what rules say.
///
/// It records what was asked, and hands on everything that no rule is for as it came.
public final class FaultProxy: @unchecked Sendable {
    // `@unchecked Sendable`: everything that changes is guarded by `lock`.

    /// What a rule does to a request.
    public enum Fault: Sendable {
        /// The request is read and answered here; the server never sees it. `body` is what follows the head.
        case answer(_ status: Int, fields: [String: String] = [:], body: String)
        /// The connection is reset when so many bytes of the request's body have come.
        case resetInRequest(after: Int)
        /// The server does it; the connection is reset when so many bytes of the answer's body were handed on.
        case resetInResponse(after: Int)
        /// Nothing more is read, nor said, when so many bytes of the request's body have come.
        case stall(after: Int)
        /// One byte of the request's body is changed.
        case damageRequest(at: Int)
        /// One byte of the answer's body is changed.
        case damageResponse(at: Int)
        /// The server does it; its answer is thrown away and the connection reset.
        case loseAnswer
        /// The server does it; its answer is replaced.
        case replaceAnswer(_ status: Int, fields: [String: String] = [:], body: String)
        /// Something is done first; then it goes on as without a rule.
        case first(@Sendable () -> Void)
        /// The head is changed; with it an answer is given instead, if there is one.
        case rewrite(@Sendable (inout HTTPHead) -> Fault?)
    }

    /// Which requests a rule is for.
    public struct Match: Sendable {
        /// The method; nil is any.
        public var method: String?
        /// What the key ends with; nil is any.
        public var keySuffix: String?
        /// What the query contains; nil is any, empty is none.
        public var query: String?
        /// How many that match are let through before.
        public var skip: Int
        /// For how many it is; nil is for all.
        public var count: Int?

        /// Requests by what they are.
        public init(
            _ method: String? = nil, key keySuffix: String? = nil, query: String? = nil, skip: Int = 0, count: Int? = 1
        ) {
            self.method = method
            self.keySuffix = keySuffix
            self.query = query
            self.skip = skip
            self.count = count
        }

        /// Beginnings of uploads.
        public static func create(skip: Int = 0, count: Int? = 1) -> Match {
            Match("POST", query: "uploads", skip: skip, count: count)
        }
        /// Parts.
        public static func part(_ number: Int? = nil, skip: Int = 0, count: Int? = 1) -> Match {
            Match("PUT", query: "partNumber=\(number.map { "\($0)&" } ?? "")", skip: skip, count: count)
        }
        /// Completions of uploads.
        public static func complete(skip: Int = 0, count: Int? = 1) -> Match {
            Match("POST", query: "uploadId=", skip: skip, count: count)
        }
        /// Ends of uploads.
        public static func abort(count: Int? = 1) -> Match { Match("DELETE", query: "uploadId=", count: count) }
        /// Sidecars that are written.
        public static func sidecar(skip: Int = 0, count: Int? = 1) -> Match {
            Match("PUT", key: ".json", query: "", skip: skip, count: count)
        }
        /// Lists of objects.
        public static func list(skip: Int = 0, count: Int? = 1) -> Match {
            Match("GET", query: "list-type=2", skip: skip, count: count)
        }

        func fits(_ request: Request) -> Bool {
            if let method, method != request.method { return false }
            if let keySuffix, !request.path.hasSuffix(keySuffix) { return false }
            guard let query else { return true }
            return query.isEmpty ? request.query.isEmpty : request.query.contains(query)
        }
    }

    /// A request that was seen.
    public struct Request: Sendable {
        /// The method.
        public var method: String
        /// The path, as it was sent.
        public var path: String
        /// The query, as it was sent.
        public var query: String
        /// When its head was there.
        public var time: ContinuousClock.Instant
        /// Whether a rule was for it.
        public var isFaulty = false
        /// The status of the answer that was handed on; nil if none was.
        public var status: Int?
    }

    private struct Rule {
        var match: Match
        var fault: Fault
        var seenCount = 0
    }

    private let lock = NSLock()
    private let serverPort: UInt16
    private var rules: [Rule] = []
    private var seen: [Request] = []
    private var connections: [ObjectIdentifier: ScriptedConnection] = [:]
    private var servedCount = 0
    private var listener: Int32 = -1
    private var listenerEnd = DispatchSemaphore(value: 0)
    private var rate: Int?

    /// The port to connect to.
    public let port: UInt16
    /// The endpoint.
    public var url: String { "http://127.0.0.1:\(port)" }

    /// Stands before a server's port.
    public init(before serverPort: UInt16) throws {
        self.serverPort = serverPort
        port = try EtcdServer.freePorts(1)[0]
        try open()
    }

    deinit { endListening() }

    /// Adds a rule; of those that fit a request the first counts.
    public func inject(_ fault: Fault, into match: Match) {
        lock.withLock { rules.append(Rule(match: match, fault: fault)) }
    }

    /// Takes all rules back, and forgets what was seen.
    public func reset() {
        lock.withLock {
            rules = []
            seen = []
        }
    }

    /// What was asked so far.
    public var requests: [Request] { lock.withLock { seen } }

    /// The requests that a rule was for.
    public var faultyRequests: [Request] { requests.filter(\.isFaulty) }

    /// How many bytes a second of all bodies of requests are handed on; nil sets no limit.
    public func limit(bytesPerSecond: Int?) { lock.withLock { rate = bytesPerSecond } }

    /// Takes connections again.
    public func open() throws {
        let listener = try listenAtLoopback(port)
        let end = DispatchSemaphore(value: 0)
        lock.withLock { (self.listener, listenerEnd) = (listener, end) }
        Thread.detachNewThread { [weak self] in
            while true {
                let client = Foundation.accept(listener, nil, nil)
                if client < 0 {
                    if errno == EINTR { continue }
                    break
                }
                guard let self else {
                    Foundation.close(client)
                    break
                }
                self.lock.withLock { self.servedCount += 1 }
                Thread.detachNewThread { self.serve(client) }
            }
            Foundation.close(listener)
            end.signal()
        }
    }

    /// Breaks all connections and takes no more: connecting is refused until ``open()``.
    public func close() {
        let end = lock.withLock {
            endListening()
            for connection in connections.values { connection.breakOff() }
            return listenerEnd
        }
        end.wait()
    }

    /// Waits until all that has come by connections whose clients are gone is done, for ten seconds at most.
    public func waitForEndOfConnections() {
        for _ in 0..<1_000 where lock.withLock({ servedCount > 0 }) { usleep(10_000) }
    }

    /// The accepting thread closes it then, so that its number may be that of something else.
    private func endListening() {
        guard listener >= 0 else { return }
        shutdown(listener, Int32(SHUT_RDWR))
        listener = -1
    }

    private func serve(_ descriptor: Int32) {
        let client = ScriptedConnection(descriptor, limitSeconds: 600)
        lock.withLock { connections[ObjectIdentifier(client)] = client }
        var server: ScriptedConnection?
        while let head = HTTPHead(client.readHead()), head.words.count == 3, exchange(head, client, &server) {}
        lock.withLock { connections[ObjectIdentifier(client)] = nil }
        client.close()
        server?.close()
        lock.withLock { servedCount -= 1 }
    }

    /// Notes a request; returns its number and what is to be done to it.
    private func note(_ head: HTTPHead) -> (Int, Fault?) {
        let target = head.words[1].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).map(
            String.init)
        var request = Request(
            method: head.words[0], path: target[0], query: target.count > 1 ? target[1] : "", time: .now)
        return lock.withLock {
            var fault: Fault?
            for index in rules.indices where rules[index].match.fits(request) {
                let number = rules[index].seenCount
                rules[index].seenCount += 1
                let match = rules[index].match
                guard fault == nil, number >= match.skip, match.count.map({ number < match.skip + $0 }) != false else {
                    continue
                }
                fault = rules[index].fault
            }
            request.isFaulty = fault != nil
            seen.append(request)
            return (seen.count - 1, fault)
        }
    }

    private func noteStatus(_ status: Int, of number: Int) {
        lock.withLock { if seen.indices.contains(number) { seen[number].status = status } }
    }

    /// One request and its answer; false if the connection ends with it.
    private func exchange(
        _ head: HTTPHead, _ client: ScriptedConnection, _ server: inout ScriptedConnection?
    ) -> Bool {
        var head = head
        var (number, fault) = note(head)
        let length = HTTPBodyLength(ofRequest: head)
        if case .first(let action)? = fault {
            action()
            fault = nil
        }
        if case .rewrite(let change)? = fault { fault = change(&head) }
        switch fault {
        case .answer(let status, let fields, let body)?:
            guard client.forwardBody(length, { _ in true }) else { return false }
            return answer(status, fields, body, head, client, number)
        case .resetInRequest(let limit)?:
            _ = swallow(limit, length, client)
            client.reset()
            return false
        case .stall(let limit)?:
            guard swallow(limit, length, client) else { return false }
            client.waitForEnd()
            return false
        default: break
        }
        let connection = server ?? connect()
        server = connection
        guard let connection, connection.send(head.text), send(length, client, connection, fault) else { return false }
        guard let response = HTTPHead(connection.readHead()) else { return false }
        return hand(response, of: head, connection, client, fault, number)
    }

    /// Reads so many bytes of a body and no more.
    private func swallow(_ limit: Int, _ length: HTTPBodyLength, _ client: ScriptedConnection) -> Bool {
        guard limit > 0 else { return true }
        return client.read(limit).count == limit
    }

    private func send(
        _ length: HTTPBodyLength, _ client: ScriptedConnection, _ connection: ScriptedConnection, _ fault: Fault?
    ) -> Bool {
        var position = 0
        return client.forwardBody(length) { bytes in
            var bytes = bytes
            if case .damageRequest(let place)? = fault, (position..<position + bytes.count).contains(place) {
                bytes[place - position] ^= 1
            }
            position += bytes.count
            if let rate = lock.withLock({ rate }) { usleep(UInt32(Double(bytes.count) / Double(rate) * 1e6)) }
            return connection.send(bytes)
        }
    }

    private func hand(
        _ response: HTTPHead, of head: HTTPHead, _ connection: ScriptedConnection, _ client: ScriptedConnection,
        _ fault: Fault?, _ number: Int
    ) -> Bool {
        let length = HTTPBodyLength(ofResponse: response, to: head.words[0])
        switch fault {
        case .loseAnswer?:
            _ = connection.forwardBody(length) { _ in true }
            client.reset()
            return false
        case .replaceAnswer(let status, let fields, let body)?:
            guard connection.forwardBody(length, { _ in true }) else { return false }
            return answer(status, fields, body, head, client, number)
        default: break
        }
        noteStatus(response.status, of: number)
        guard client.send(response.text) else { return false }
        var position = 0
        let isWhole = connection.forwardBody(length) { bytes in
            var bytes = bytes
            if case .damageResponse(let place)? = fault, (position..<position + bytes.count).contains(place) {
                bytes[place - position] ^= 1
            }
            if case .resetInResponse(let limit)? = fault, position + bytes.count > limit {
                client.send(Array(bytes.prefix(max(0, limit - position))))
                client.reset()
                return false
            }
            position += bytes.count
            return client.send(bytes)
        }
        if case .resetInResponse? = fault { client.reset() }
        let isKept = response["Connection"]?.lowercased() != "close"
        if case .untilEnd = length { return false }
        return isWhole && isKept
    }

    private func answer(
        _ status: Int, _ fields: [String: String], _ body: String, _ head: HTTPHead, _ client: ScriptedConnection,
        _ number: Int
    ) -> Bool {
        noteStatus(status, of: number)
        var response = HTTPHead("HTTP/1.1 \(status) Said", [("Content-Length", "\(body.utf8.count)")])
        response["Date"] = Self.date(Date())
        for (name, value) in fields { response[name] = value }
        return client.send(response.text + (head.words[0] == "HEAD" ? "" : body))
    }

    private func connect() -> ScriptedConnection? {
        let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard withLoopback(serverPort, { Foundation.connect(server, $0, $1) }) == 0 else {
            Foundation.close(server)
            return nil
        }
        return ScriptedConnection(server, limitSeconds: 600)
    }

    /// A time as a field of a head says it (RFC 9110, section 5.6.7).
    public static func date(_ date: Date) -> String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "GMT")
        formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        return formatter.string(from: date)
    }
}

extension FaultProxy.Fault {
    /// An answer of S3's with an error in its body.
    ///
    /// - Parameter before: what stands before the document.
    public static func refuse(
        _ status: Int, _ code: String, requestID: String = "TESTREQUEST", fields: [String: String] = [:],
        before: String = ""
    ) -> Self {
        let body =
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>\(code)</Code><Message>as a test says</Message>"
            + "<RequestId>\(requestID)</RequestId></Error>"
        let all = fields.merging(["Content-Type": "application/xml", "x-amz-request-id": requestID]) { $1 }
        return .answer(status, fields: all, body: before + body)
    }
}
