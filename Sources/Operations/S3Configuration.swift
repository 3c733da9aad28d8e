import ArchiveStore
import HostIO
import S3

extension Configuration {
    /// How a store in S3 is reached.
    public struct S3: Codable, Sendable, Equatable, StrictlyKeyed {
        /// The URL of the server; without it Amazon's.
        public var endpoint: String?
        /// The region; without it what the profile or the server's name says.
        public var region: String?
        /// Whether the bucket is named in the path; by default so on all servers but Amazon's.
        public var pathStyle: Bool?
        /// Whether Amazon's servers with IPv6 addresses are used.
        public var dualStack: Bool?
        /// Whether Amazon's servers with validated cryptography are used.
        public var fips: Bool?
        /// The file of the authorities that the server's certificate must be signed by.
        public var ca: String?
        /// The URL of a proxy; without it `https_proxy` and its like count, and an empty one is none.
        public var proxy: String?
        /// A file of access keys in the form of the AWS command line.
        public var credentials: String?
        /// The profile in that file, or in the user's own.
        public var profile: String?
        /// Whether access keys are taken from the environment; default false.
        public var credentialsFromEnvironment: Bool?
        /// The storage class of archives.
        public var storageClass: String?
        /// How the server encrypts objects: `AES256`, `aws:kms` or `aws:kms:dsse`.
        public var serverSideEncryption: String?
        /// The key of the key management service.
        public var kmsKeyID: String?
        /// Whether writes ask that nothing is there yet; default true, false for servers that refuse to be asked.
        public var conditionalWrites: Bool?
        /// Whether the server is sent checksums to keep; default true.
        public var checksums: Bool?
        /// For how many seconds what fails and may pass is tried again; default 300 for a backup that nobody watches, and 60.
        public var retrySeconds: Int?
        /// For how many seconds a connection may stand still before it counts as lost; default 60.
        public var stallSeconds: Int?

        /// An empty section.
        public init() {}

        enum CodingKeys: String, CodingKey, CaseIterable {
            case endpoint, region, pathStyle, dualStack, fips, ca, proxy, credentials, profile
            case credentialsFromEnvironment, storageClass, serverSideEncryption, kmsKeyID
            case conditionalWrites, checksums, retrySeconds, stallSeconds
        }

        /// The settings of a store.
        ///
        /// - Throws: ``Failure`` with the code `usage` for values that can't be.
        public func settings() throws(Failure) -> S3Settings {
            var settings = S3Settings()
            settings.endpointURL = endpoint
            settings.region = region
            settings.usesPathStyle = pathStyle
            settings.isDualStack = dualStack ?? false
            settings.isFIPS = fips ?? false
            settings.authoritiesPath = ca
            settings.proxyURL = proxy
            settings.credentials.file = credentials
            settings.credentials.profile = profile
            settings.credentials.usesEnvironment = credentialsFromEnvironment ?? false
            settings.storageClass = storageClass
            settings.encryption = try encryption()
            settings.createsConditionally = conditionalWrites ?? true
            settings.sendsChecksums = checksums ?? true
            settings.stallTimeout = try Self.duration(stallSeconds, "stallSeconds", from: 1)
            return settings
        }

        /// For how long what fails and may pass is tried again; nil if that is not set.
        ///
        /// - Throws: ``Failure`` with the code `usage` for a number that can't be.
        public func patience() throws(Failure) -> Duration? {
            try Self.duration(retrySeconds, "retrySeconds", from: 0)
        }

        private static func duration(_ seconds: Int?, _ key: String, from least: Int) throws(Failure) -> Duration? {
            guard let seconds else { return nil }
            guard (least...86_400).contains(seconds) else {
                throw Failure(
                    .usage, "\(key) is \(seconds)", hint: "set it to a number of seconds from \(least) to 86400")
            }
            return .seconds(seconds)
        }

        private func encryption() throws(Failure) -> S3WriteAttributes.Encryption? {
            switch serverSideEncryption {
            case nil:
                guard kmsKeyID == nil else {
                    throw Failure(
                        .usage, "kmsKeyID is set and serverSideEncryption is not",
                        hint: "set serverSideEncryption to aws:kms")
                }
                return nil
            case "AES256"?: return .storageKey
            case "aws:kms"?: return .managedKey(id: kmsKeyID, isDoubled: false)
            case "aws:kms:dsse"?: return .managedKey(id: kmsKeyID, isDoubled: true)
            case let text?:
                throw Failure(
                    .usage, "there is no server-side encryption \(quoted(text))",
                    hint: "there are AES256, aws:kms and aws:kms:dsse")
            }
        }
    }
}
