import HostIO

extension S3Credentials {
    /// The credentials of environment variables; nil if none is there.
    ///
    /// Only to be asked where somebody wants that: what is in an environment is in that of children, in `/proc` and in
    /// reports of crashes too.
    ///
    /// - Throws: ``Failure`` with the code `usage` for half of them.
    public static func environment(_ variables: [String: String]) throws(Failure) -> S3Credentials? {
        let names = (key: "AWS_ACCESS_KEY_ID", secret: "AWS_SECRET_ACCESS_KEY", token: "AWS_SESSION_TOKEN")
        let key = variables[names.key]?.nonEmpty
        let secret = variables[names.secret]?.nonEmpty
        guard key != nil || secret != nil else { return nil }
        guard let key, let secret else {
            throw Failure(
                .usage,
                "the environment has \(key == nil ? names.secret : names.key) and no "
                    + (key == nil ? names.key : names.secret), hint: "set both, or neither")
        }
        return try S3Credentials(
            accessKeyID: key, secretAccessKey: SecretBytes(secret),
            sessionToken: variables[names.token]?.nonEmpty.map { SecretBytes($0) }, origin: "the environment")
    }
}
