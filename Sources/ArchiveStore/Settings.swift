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
}
