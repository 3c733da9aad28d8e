import EncryptionAtRest
import EtcdStorage
import HostIO
import KubernetesObjects
import NodeRewrite

/// A key that has an old name or address, or may have one.
struct FoundRow: Sendable {
    var words: Set<String> = []
    var fields: Set<String> = []
    /// Nil for what can't be decoded.
    var facts: ObjectFacts?
    /// Whether it is encrypted by a key that is not there.
    var isUnread = false
    /// For how many seconds certificates are valid, where it is the configuration of the cluster and says so.
    var certificateSeconds: Int?
}

/// Searches keys and values while a database is read.
struct RowSearch: Sendable {
    private let search: OldNameSearch
    private let store: StoredObjects
    private let configurationKey: [UInt8]

    init(_ gone: GoneNames, _ store: StoredObjects) {
        search = OldNameSearch(names: gone.names, addresses: gone.addresses)
        self.store = store
        configurationKey = store.prefix + Array("configmaps/kube-system/kubeadm-config".utf8)
    }

    /// What is to be kept of a row; nil for nearly all.
    func found(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> FoundRow? {
        guard EncryptedValue.isMarked(value) else { return found(key, plain: value) }
        guard let plain = store.reader?.open(value, of: key) else {
            var row = found(key, plain: UnsafeRawBufferPointer(start: nil, count: 0)) ?? FoundRow()
            row.isUnread = true
            return row
        }
        return plain.withUnsafeBytes { found(key, plain: $0) }
    }

    private func found(_ key: UnsafeRawBufferPointer, plain: UnsafeRawBufferPointer) -> FoundRow? {
        let (isInKey, isInValue) = (search.mayBe(in: key), search.mayBe(in: plain))
        var row = FoundRow()
        if key.elementsEqual(configurationKey) { row.certificateSeconds = CertificateValidity.seconds(in: plain) }
        guard isInKey || isInValue else { return row.certificateSeconds == nil ? nil : row }
        if isInKey { row.words = search.words(in: [UInt8](key)) }
        if isInValue {
            let texts = ObjectTexts(where: search.mayBe)
            let isObject = texts.forEach(in: plain) { place, text in
                let words = search.words(in: [UInt8](text))
                row.words.formUnion(words)
                if !words.isEmpty, !place.isEmpty { row.fields.insert(place) }
            }
            if !isObject { row.words.formUnion(search.words(in: [UInt8](plain))) }
        }
        row.facts = ObjectFacts(plain)
        // Who holds a lease may have a name of which more than the node's is left.
        let isOfUse = !row.words.isEmpty || row.facts?.holderIdentity != nil || row.certificateSeconds != nil
        return isOfUse ? row : nil
    }
}
