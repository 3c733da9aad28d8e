import HostIO

extension Failure.Setting {
    /// Where the store is.
    public static let store = Self("store")
    /// The cluster's name in the store.
    public static let cluster = Self("cluster")
    /// The node's name in the store.
    public static let node = Self("node")
    /// The file of a private key.
    public static let identity = Self("identity")
    /// The URL of the server of S3.
    public static let s3Endpoint = Self("s3Endpoint")
    /// The region of the bucket.
    public static let s3Region = Self("s3Region")
    /// The file of the authorities of the server of S3.
    public static let s3Authority = Self("s3Authority")
    /// The file of access keys.
    public static let s3Credentials = Self("s3Credentials")
    /// The profile of the AWS command line.
    public static let s3Profile = Self("s3Profile")
}
