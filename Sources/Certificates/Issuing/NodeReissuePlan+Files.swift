import FoundationEssentials
import HostIO

/// Files that a ``NodeReissuePlan`` gives.
public struct ReissuedFiles: Sendable {
    /// A file that is to be written, or a symbolic link that is to be made.
    public struct Item: Sendable {
        /// Where it is to be.
        public let path: String
        /// What it is.
        public let content: Content
    }

    /// What is to be at a path.
    public enum Content: Sendable {
        /// A file of such a mode.
        case file(SecretBytes, mode: UInt16)
        /// A symbolic link.
        case symbolicLink(to: String)
    }

    /// What is to be on the node by its absolute paths, each in place of what is there, a link behind its file.
    public internal(set) var items: [Item] = []
    /// New keys, requests and what their signers have to know, by paths relative to a directory outside the node's own;
    /// empty if nothing is requested.
    public internal(set) var requests: [Item] = []
}

extension NodeReissuePlan {
    /// The name of the table in ``ReissuedFiles/requests``.
    public static let tableName = "requests.tsv"

    /// Makes keys and certificates, and requests where an authority's key is kept elsewhere.
    ///
    /// - Throws: ``Failure`` if a certificate is refused: the first of ``refusals``; or if an authority can't sign.
    public func issue() throws(Failure) -> ReissuedFiles {
        try issue { (algorithm) throws(Failure) in try LeafKey(algorithm) }
    }

    /// The same with keys from elsewhere.
    func issue(makingKeys make: (LeafKeyAlgorithm) throws(Failure) -> LeafKey) throws(Failure) -> ReissuedFiles {
        if let refusal = refusals.first { throw refusal }
        var files = ReissuedFiles()
        var table = [SigningRequest.tableHead]
        for leaf in leaves {
            guard case .reissue = leaf.plan.decision, let profile = leaf.plan.profile else { continue }
            let key = try make(profile.keyAlgorithm)
            if let signer = authorities[leaf.kind.authority]?.signer {
                let made = try signer.issue(profile, key: key, now: now)
                try files.place(made.pem, key.pem, for: leaf, at: now)
            } else {
                let request = try SigningRequest(profile, key: key)
                let stem = leaf.kind.requestStem
                files.requests.append(.secret("\(stem).key", key.pem))
                files.requests.append(.file("\(stem).csr", request.pem, mode: 0o600))
                table.append(request.tableLine(file: "\(stem).csr", authority: leaf.kind.authority))
            }
        }
        if table.count > 1 {
            let text = Array((table.joined(separator: "\n") + "\n").utf8)
            files.requests.append(.file(Self.tableName, text, mode: 0o644))
        }
        return files
    }
}

extension KubeadmCertificate {
    /// What the names of the files begin with that go to a signer and come back.
    var requestStem: String { isEmbedded ? path : String(path.dropLast(4)) }
}

extension ReissuedFiles {
    /// Puts a certificate and its key where the node has them.
    mutating func place(
        _ certificate: [UInt8], _ key: SecretBytes, for leaf: NodeReissuePlan.Leaf, at now: Date
    ) throws(Failure) {
        let place = leaf.place
        if place.isCombined { return placeCombined(certificate, key, at: place.certificate.path, now) }
        let certificate = SecretBytes(certificate)
        let isCertificateEmbedded = put(certificate, at: place.certificate, mode: 0o644)
        let isKeyEmbedded = put(key, at: place.key, mode: 0o600)
        guard let kubeconfig = leaf.kubeconfig else { return }
        for part in [place.certificate, place.key] {
            guard case .embedded(let path, let user) = part else { continue }
            var fields: [KubeconfigCredentials.Field] = []
            if isCertificateEmbedded { fields.append((KubeconfigCredentials.certificateField, certificate)) }
            if isKeyEmbedded { fields.append((KubeconfigCredentials.keyField, key)) }
            let bytes = try KubeconfigCredentials.replacing(fields, of: user, in: kubeconfig, path: path)
            return items.append(.secret(path, bytes))
        }
    }

    /// Puts what has a file of its own there.
    ///
    /// - Returns: whether it is embedded in a kubeconfig instead.
    private mutating func put(_ bytes: SecretBytes, at part: CredentialPlace.Part, mode: UInt16) -> Bool {
        guard case .file(let path) = part else { return true }
        items.append(Item(path: path, content: .file(bytes, mode: mode)))
        return false
    }

    /// Writes certificate and key into one file, for a kubelet's as the kubelet does: it takes nothing but a link for the
    /// name that its kubeconfig says (`client-go/util/certificate`, `certificate_store.go`, `updateSymlink`).
    private mutating func placeCombined(_ certificate: [UInt8], _ key: SecretBytes, at path: String, _ now: Date) {
        let both = SecretBytes(count: certificate.count + key.count) { target in
            target.copyBytes(from: certificate)
            key.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(rebasing: target[certificate.count...]).copyMemory(from: $0)
            }
        }
        let suffix = "-current.pem"
        guard path.hasSuffix(suffix) else {
            items.append(.secret(path, both))
            return
        }
        let time = now.formatted(.iso8601).prefix(19).map { "T:".contains($0) ? "-" : $0 }
        let file = "\(path.dropLast(suffix.count))-\(String(time)).pem"
        items.append(.secret(file, both))
        items.append(Item(path: path, content: .symbolicLink(to: file)))
    }
}

extension ReissuedFiles.Item {
    fileprivate static func file(_ path: String, _ bytes: [UInt8], mode: UInt16) -> Self {
        Self(path: path, content: .file(SecretBytes(bytes), mode: mode))
    }

    /// A file that only its owner may read.
    fileprivate static func secret(_ path: String, _ bytes: SecretBytes) -> Self {
        Self(path: path, content: .file(bytes, mode: 0o600))
    }
}

extension SecretBytes {
    fileprivate convenience init(_ bytes: [UInt8]) {
        self.init(count: bytes.count) { $0.copyBytes(from: bytes) }
    }
}
