public import FoundationEssentials
import HostIO

/// What is wanted of an object beside its bytes; it is said when the object, or the upload of its parts, begins.
public struct S3WriteAttributes: Sendable, Equatable {
    /// How the server encrypts an object.
    public enum Encryption: Sendable, Equatable {
        /// With keys of the storage (SSE-S3).
        case storageKey
        /// With a key of the key management service (SSE-KMS); nil is the account's own key for S3.
        ///
        /// `isDoubled` asks for two layers of encryption.
        case managedKey(id: String?, isDoubled: Bool)
    }

    /// What forbids to delete and to rewrite a version of an object.
    public struct Lock: Sendable, Equatable {
        /// Whom a retention binds.
        public enum Mode: String, Sendable, Equatable {
            /// All but those with a special right.
            case governance = "GOVERNANCE"
            /// Everybody.
            case compliance = "COMPLIANCE"
        }

        /// Whom the retention binds, and until when by the server's clock; nil for none.
        public var retention: (mode: Mode, until: Date)?
        /// Whether it is locked without an end, until that is taken away.
        public var isOnLegalHold: Bool

        /// A lock from its parts.
        public init(retention: (mode: Mode, until: Date)? = nil, isOnLegalHold: Bool = false) {
            self.retention = retention
            self.isOnLegalHold = isOnLegalHold
        }

        /// Whether both lock alike.
        public static func == (one: Lock, other: Lock) -> Bool {
            one.retention?.mode == other.retention?.mode && one.retention?.until == other.retention?.until
                && one.isOnLegalHold == other.isOnLegalHold
        }
    }

    /// How the server encrypts it; nil leaves that to the bucket.
    public var encryption: Encryption?
    /// The storage class; nil is the standard one.
    public var storageClass: String?
    /// What locks it; nil leaves that to the bucket.
    public var lock: Lock?
    /// The media type.
    public var contentType: String?

    /// Attributes from their parts.
    public init(
        encryption: Encryption? = nil, storageClass: String? = nil, lock: Lock? = nil, contentType: String? = nil
    ) {
        self.encryption = encryption
        self.storageClass = storageClass
        self.lock = lock
        self.contentType = contentType
    }

    /// The fields of a request that say so.
    func write(to headers: inout S3Headers) {
        headers["Content-Type"] = contentType
        switch encryption {
        case nil: break
        case .storageKey: headers["x-amz-server-side-encryption"] = "AES256"
        case .managedKey(let id, let isDoubled):
            headers["x-amz-server-side-encryption"] = isDoubled ? "aws:kms:dsse" : "aws:kms"
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = id
        }
        headers["x-amz-storage-class"] = storageClass
        // Mode and date go together: either alone is refused.
        if let retention = lock?.retention {
            headers["x-amz-object-lock-mode"] = retention.mode.rawValue
            headers["x-amz-object-lock-retain-until-date"] = S3Time.extended(retention.until)
        }
        if lock?.isOnLegalHold == true { headers["x-amz-object-lock-legal-hold"] = "ON" }
    }
}

/// What must hold for a write to be done; each that does not is answered by 412.
public enum S3WriteCondition: Sendable, Equatable {
    /// Nothing is there under that key: `If-None-Match: *`, the only way to create once that all servers know.
    case absent
    /// What is there has this entity tag.
    case unchanged(entityTag: String)

    func write(to headers: inout S3Headers) {
        switch self {
        case .absent: headers["If-None-Match"] = "*"
        case .unchanged(let entityTag): headers["If-Match"] = entityTag
        }
    }
}
