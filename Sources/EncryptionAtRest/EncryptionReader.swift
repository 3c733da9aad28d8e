import HostIO

/// How one API server reads what is stored: its encryption configuration, by the resource of each value.
public struct EncryptionReader: Sendable {
    /// What findings call it: the path of its configuration, or what it was found by where it names none.
    public let subject: String
    private let prefix: [UInt8]
    private let rules: ResourceRules

    /// A reader.
    ///
    /// - Parameters:
    ///   - prefix: what its keys in etcd begin with, as `--etcd-prefix` says it, such as `/registry`.
    ///   - configuration: with its secrets; nil for an API server that has none and reads nothing that is encrypted.
    public init(subject: String, prefix: String, configuration: EncryptionConfiguration?) {
        self.subject = subject
        self.prefix = Array("/\(prefix.split(separator: "/").joined(separator: "/"))/".utf8)
        rules = ResourceRules(configuration)
    }

    /// Whether some values must be encrypted to be read.
    var refusesUnencrypted: Bool { rules.refusesUnencrypted }

    /// Whether values of a key in etcd may be encrypted.
    func encrypts(_ key: UnsafeRawBufferPointer) -> Bool { resource(of: key).map(rules.encrypts) ?? false }

    /// The path of the resource of a key; nil for what is not of this API server.
    func resource(of key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard key.starts(with: prefix) else { return nil }
        return StoredResource.path(in: UnsafeRawBufferPointer(rebasing: key[prefix.count...]))
    }

    /// Decrypts a value as the API server would; nil if it has no key that opens it, or a service elsewhere has it.
    ///
    /// - Parameter value: one that ``EncryptedValue/isMarked(_:)``.
    public func open(_ value: UnsafeRawBufferPointer, of key: UnsafeRawBufferPointer) -> SecretBytes? {
        guard let resource = resource(of: key) else { return nil }
        for (prefix, cipher) in rules.chain(of: resource).keys {
            guard let sealed = EncryptedValue.sealed(value, under: prefix) else { continue }
            if let plain = cipher.open(sealed, key: key) { return plain }
        }
        return nil
    }

    /// What comes of reading a value; nil for a value that is read as it is.
    func judge(
        _ value: UnsafeRawBufferPointer, of key: UnsafeRawBufferPointer, resource: UnsafeRawBufferPointer
    ) -> (name: UnsafeRawBufferPointer?, problem: EncryptionKeyInUse.Problem?)? {
        let chain = rules.chain(of: resource)
        guard EncryptedValue.isMarked(value) else {
            return chain.readsUnencrypted || value.isEmpty ? nil : (nil, .unencrypted)
        }
        var refused: UnsafeRawBufferPointer?
        var unknown: UnsafeRawBufferPointer?
        for (prefix, cipher) in chain.keys {
            guard let sealed = EncryptedValue.sealed(value, under: prefix) else { continue }
            let name = UnsafeRawBufferPointer(rebasing: value[8..<8 + prefix.count])
            switch cipher.trial(sealed, key: key) {
            case .opens: return (name, nil)
            case .unknown: unknown = name
            case .refused: if name.count > refused?.count ?? 0 { refused = name }
            }
        }
        if let unknown { return (unknown, nil) }
        return refused.map { ($0, .refused) } ?? (nil, .missing)
    }
}

/// The API servers of a node, each of which must be able to read what is stored.
public struct EncryptionReaders: Sendable {
    /// What a reader makes of a value; what it points to is only lent.
    public struct Judgement {
        /// The index of the reader.
        public var reader: Int
        /// The key's name, such as `aescbc:v1:key1`; nil if the reader does not know it.
        public var name: UnsafeRawBufferPointer?
        /// Why the reader can't read the value.
        public var problem: EncryptionKeyInUse.Problem?
        /// The resource, such as `secrets`.
        public var resource: UnsafeRawBufferPointer
    }

    /// The readers.
    public let readers: [EncryptionReader]
    private let refusesUnencrypted: Bool

    /// Readers; at least one, for without any nothing can be judged.
    public init(_ readers: [EncryptionReader]) {
        self.readers = readers
        refusesUnencrypted = readers.contains(where: \.refusesUnencrypted)
    }

    /// Whether values of a key in etcd may be encrypted.
    public func encrypts(_ key: UnsafeRawBufferPointer) -> Bool { readers.contains { $0.encrypts(key) } }

    /// Whether a value has to be judged; the answer for nearly all values after one comparison.
    public func judges(_ value: UnsafeRawBufferPointer) -> Bool {
        refusesUnencrypted || EncryptedValue.isMarked(value)
    }

    /// Gives what each reader makes of a value that it is not simply read.
    ///
    /// - Returns: whether the key is of any of the readers.
    public func judge(
        _ value: UnsafeRawBufferPointer, of key: UnsafeRawBufferPointer, _ body: (Judgement) -> Void
    ) -> Bool {
        var isKnown = false
        for index in readers.indices {
            guard let resource = readers[index].resource(of: key) else { continue }
            isKnown = true
            if let result = readers[index].judge(value, of: key, resource: resource) {
                body(Judgement(reader: index, name: result.name, problem: result.problem, resource: resource))
            }
        }
        return isKnown
    }
}
