public import HostIO

/// What a profile of the AWS command line's files says of S3.
public struct S3Profile: Sendable {
    /// Where credentials come from.
    public enum Source: Sendable {
        /// They stand in the file.
        case keys(S3Credentials)
        /// They are got for the token of a file.
        case webIdentity(WebIdentity)
    }

    /// The profile's name.
    public var name: String
    /// Where credentials come from; nil if the profile names none.
    public var source: Source?
    /// The region.
    public var region: String?
    /// The URL of the endpoint.
    public var endpointURL: String?
    /// How buckets are named.
    public var style: S3Endpoint.Style?
    /// Whether Amazon's servers with validated cryptography are asked for.
    public var usesFIPS: Bool
    /// Whether Amazon's servers with IPv6 addresses are asked for.
    public var usesDualStack: Bool
    /// The file of the authorities that servers are checked by.
    public var authoritiesPath: String?

    /// The profile that is meant where none is named.
    public static let defaultName = "default"

    /// Reads a profile out of a file of credentials (`~/.aws/credentials`) and one of settings (`~/.aws/config`); what both
    /// say is taken from the first.
    ///
    /// - Throws: ``Failure`` with the code `usage` for a file that can't be read, a profile that is in neither, and settings
    ///   that would change who signs and are not known here; `untrusted` for a secret that others may read.
    public init(
        named name: String = defaultName, credentials: S3CredentialFile?, config: S3CredentialFile? = nil
    ) throws(Failure) {
        var settings: [ProfileSettings] = []
        if let credentials {
            try settings += ProfileSettings.read(name, sections: [name], in: credentials)
        }
        if let config {
            let sections = name == Self.defaultName ? [name, "profile \(name)"] : ["profile \(name)"]
            try settings += ProfileSettings.read(name, sections: sections, in: config)
        }
        guard !settings.isEmpty else {
            let files = [credentials, config].compactMap { $0?.description }.joined(separator: " nor in ")
            throw Failure(
                .usage, "there is no profile \(quoted(name)) in \(files)",
                hint: "it begins with [\(name)] in a file of credentials"
                    + (config == nil || name == Self.defaultName
                        ? "" : ", and with [profile \(name)] in one of settings"))
        }
        try self.init(name, settings)
    }

    /// Reads a file with the settings of one profile, such as a credential of systemd's: as in a file of credentials, where
    /// the heading may be left out.
    public init(alone file: S3CredentialFile) throws(Failure) {
        let settings = try ProfileSettings.read(Self.defaultName, sections: ["", Self.defaultName], in: file)
        guard !settings.isEmpty else {
            throw Failure(
                .usage, "\(file) has no credentials",
                hint: "write lines as in aws_access_key_id = …, aws_secret_access_key = … into it")
        }
        try self.init(Self.defaultName, settings)
    }

    private init(_ name: String, _ settings: [ProfileSettings]) throws(Failure) {
        self.name = name
        for one in settings { try one.checkKnown() }
        var source: Source?
        for one in settings where source == nil { source = try one.source() }
        self.source = source
        region = try settings.text("region")
        endpointURL = try settings.text("endpoint_url")
        usesFIPS = try settings.flag("use_fips_endpoint")
        let flags = [try settings.flag("use_dualstack_endpoint"), try settings.flag("s3.use_dualstack_endpoint")]
        usesDualStack = flags.contains(true)
        authoritiesPath = try settings.text("ca_bundle")
        style = try settings.style()
    }
}

extension [ProfileSettings] {
    fileprivate func text(_ key: String) throws(Failure) -> String? {
        for settings in self {
            if let text = try settings.text(key) { return text }
        }
        return nil
    }

    fileprivate func flag(_ key: String) throws(Failure) -> Bool {
        switch try text(key)?.lowercased() {
        case nil, "false"?: return false
        case "true"?: return true
        case let text?: throw Failure(.usage, "\(key) is \(quoted(text))", hint: "it is true or false")
        }
    }

    fileprivate func style() throws(Failure) -> S3Endpoint.Style? {
        switch try text("s3.addressing_style")?.lowercased() {
        case nil, "auto"?: return nil
        case "path"?: return .path
        case "virtual"?: return .virtualHost
        case let text?:
            throw Failure(.usage, "addressing_style is \(quoted(text))", hint: "it is auto, path or virtual")
        }
    }
}
