import HostIO

/// The settings of a profile in one file.
struct ProfileSettings {
    let profile: String
    let file: S3CredentialFile
    let items: [INIDocument.Item]

    /// The settings of the sections of these names that a file has; nothing if it has none of them.
    static func read(
        _ profile: String, sections names: [String], in file: S3CredentialFile
    ) throws(Failure) -> [ProfileSettings] {
        let document = try file.bytes.withUnsafeBytes { bytes throws(Failure) in
            try INIDocument(bytes, name: file.path)
        }
        // Blanks between the words of a heading don't count.
        let found = document.sections.filter { section in
            names.contains(section.name.split(separator: " ").joined(separator: " "))
                && !(section.name.isEmpty && section.items.isEmpty)
        }
        guard found.count <= 1 else {
            let lines = found.map { String($0.line) }.joined(separator: " and ")
            throw Failure(
                .usage, "\(file) has profile \(quoted(profile)) in lines \(lines)", hint: "make one of them")
        }
        return found.map { ProfileSettings(profile: profile, file: file, items: $0.items) }
    }

    /// What would change who signs, and is not read here.
    private static let unknownKeys: Set<String> = [
        "source_profile", "credential_source", "credential_process", "external_id", "mfa_serial", "duration_seconds",
        "services", "login_session",
    ]

    /// Refuses a profile with settings that others obey and that are not known here.
    func checkKnown() throws(Failure) {
        let isWebIdentity = items.contains { $0.key == "web_identity_token_file" }
        let keys = items.map(\.key).filter { key in
            Self.unknownKeys.contains(key) || key.hasPrefix("sso_")
                || !isWebIdentity && ["role_arn", "role_session_name"].contains(key)
        }
        guard !keys.isEmpty else { return }
        throw Failure(
            .usage,
            "profile \(quoted(profile)) of \(file) sets \(keys.joined(separator: ", ")), which is not done here",
            hint:
                "name a profile with aws_access_key_id and aws_secret_access_key, or use the identity of the instance, "
                + "the container or a web identity")
    }

    /// The text of a setting; one without a value is not set.
    func text(_ key: String) throws(Failure) -> String? {
        guard let item = items.first(where: { $0.key == key }), !item.value.isEmpty else { return nil }
        let text = file.bytes.withUnsafeBytes { String(decoding: $0[item.value], as: UTF8.self) }
        if let quote = text.first, "\"'".contains(quote) {
            throw failure(item, "has a quotation mark in its value", hint: "write the value without")
        }
        return text
    }

    /// What the profile signs with.
    func source() throws(Failure) -> S3Profile.Source? {
        if let tokenPath = try text("web_identity_token_file") {
            guard let role = try text("role_arn") else {
                throw failure(nil, "has web_identity_token_file without role_arn", hint: "name the role too")
            }
            return .webIdentity(
                WebIdentity(
                    roleARN: role, tokenPath: tokenPath,
                    sessionName: try text("role_session_name") ?? WebIdentity.defaultSessionName))
        }
        let accessKeyID = try text("aws_access_key_id")
        let secret = try secret("aws_secret_access_key")
        switch (accessKeyID, secret) {
        case (nil, nil): return nil
        case (_?, nil): throw failure(nil, "has an access key without its secret", hint: "add aws_secret_access_key")
        case (nil, _?): throw failure(nil, "has a secret without its access key", hint: "add aws_access_key_id")
        case (let accessKeyID?, let secret?):
            try file.checkMode()
            // The second is the older name.
            let tokens = [try self.secret("aws_session_token"), try self.secret("aws_security_token")]
            return .keys(
                try S3Credentials(
                    accessKeyID: accessKeyID, secretAccessKey: secret,
                    sessionToken: tokens.compactMap(\.self).first,
                    origin: "profile \(quoted(profile)) of \(file)"))
        }
    }

    private func secret(_ key: String) throws(Failure) -> SecretBytes? {
        guard let item = items.first(where: { $0.key == key }), !item.value.isEmpty else { return nil }
        return try file.bytes.withUnsafeBytes { bytes throws(Failure) in
            let value = UnsafeRawBufferPointer(rebasing: bytes[item.value])
            if let first = value.first, "\"'".utf8.contains(first) {
                throw failure(item, "has a quotation mark in its value", hint: "write the value without")
            }
            return SecretBytes(copying: value)
        }
    }

    private func failure(_ item: INIDocument.Item?, _ problem: String, hint: String) -> Failure {
        let place = item.map { "line \($0.line) (\($0.key)) of \(file)" } ?? "profile \(quoted(profile)) of \(file)"
        return Failure(.usage, "\(place) \(problem)", hint: hint)
    }
}
