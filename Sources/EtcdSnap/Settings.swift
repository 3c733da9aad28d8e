import HostIO

extension Failure.Setting {
    /// The client URLs of the members.
    public static let endpoints = Self("endpoints")
    /// The certificate of the authority that signed the members' certificates.
    public static let authority = Self("authority")
    /// The client's certificate.
    public static let clientCertificate = Self("clientCertificate")
    /// The client's private key.
    public static let clientKey = Self("clientKey")
    /// The name to expect in the server's certificate.
    public static let serverName = Self("serverName")
    /// The user of etcd's own authentication.
    public static let user = Self("user")
    /// The file of that user's password.
    public static let passwordFile = Self("passwordFile")
    /// The most time for a whole snapshot.
    public static let totalTimeout = Self("totalTimeout")
}

extension [Failure.Setting] {
    /// What a TLS connection takes.
    static let tls: Self = [.authority] + clientPair
    /// The client's half of that.
    static let clientPair: Self = [.clientCertificate, .clientKey]
}
