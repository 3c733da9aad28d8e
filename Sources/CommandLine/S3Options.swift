import ArgumentParser
import Operations

/// How a store in S3 is reached.
struct S3Options: ParsableArguments {
    @Option(
        name: .customLong("s3-endpoint"),
        help: "The URL of the server of an s3:// store; without it Amazon's.")
    var endpoint: String?

    @Option(name: .customLong("s3-region"), help: "The region of the bucket.")
    var region: String?

    @Flag(name: .customLong("s3-path-style"), help: "Name the bucket in the path, not in the host.")
    var pathStyle = false

    @Option(
        name: .customLong("s3-ca"), help: "The CA certificates to verify the server with.", completion: .file())
    var ca: String?

    @Option(
        name: .customLong("s3-credentials"),
        help: ArgumentHelp(
            "A file of access keys, as the AWS command line has them.",
            discussion:
                "Without it the systemd credential s3, a web identity, the agent of a container and the metadata "
                + "of the instance are asked, in this order."),
        completion: .file())
    var credentials: String?

    @Option(
        name: .customLong("s3-profile"), help: "The profile in that file, or in ~/.aws/credentials and ~/.aws/config.")
    var profile: String?

    @Flag(
        name: .customLong("s3-credentials-from-environment"),
        help: "Take access keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    var credentialsFromEnvironment = false

    /// A section of the configuration with the flags before it.
    func section(_ configured: Configuration.S3?) -> Configuration.S3 {
        var section = configured ?? Configuration.S3()
        section.endpoint = endpoint ?? section.endpoint
        section.region = region ?? section.region
        if pathStyle { section.pathStyle = true }
        section.ca = ca ?? section.ca
        if credentials != nil || profile != nil {
            section.credentials = credentials
            section.profile = profile
            section.credentialsFromEnvironment = nil
        }
        if credentialsFromEnvironment { section.credentialsFromEnvironment = true }
        return section
    }

    /// Whether anything is given.
    var isGiven: Bool {
        endpoint != nil || region != nil || pathStyle || ca != nil || credentials != nil || profile != nil
            || credentialsFromEnvironment
    }
}
