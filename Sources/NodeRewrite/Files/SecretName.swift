internal import HostIO

/// What a key, a variable or a flag says of its value: whether it is for nobody's eyes.
enum SecretName {
    /// Words that make a value a secret wherever they stand in its name, also within a longer word: `dbpassword`, `authtokens`.
    private static let parts = [
        "password", "passwd", "passphrase", "secret", "token", "credential", "dockerconfigjson",
    ]
    /// Words that do so as the end of a word: `image-pull-pw`, `apikey`.
    private static let endings = ["pw", "key", "keys", "psk", "keydata"]
    /// Words that do so as a name's last one, for elsewhere they mean something else: `PassEnvironment`.
    private static let lastWords = ["pass", "pwd"]
    /// Names that do so as a whole.
    private static let names = ["authorization", "proxy-authorization", "auth"]
    /// Last words of names that tell where a secret is, or of what kind: `token-auth-file`, `secretName`, `keySize`.
    private static let harmlessEndings: Set<String> = [
        "file", "files", "path", "paths", "dir", "directory", "name", "names", "namespace", "ref", "refs", "selector",
        "url",
        "uri", "endpoint", "ttl", "size", "length", "bits", "type", "kind", "usage", "usages", "algorithm", "format",
        "mode",
        "method", "provider", "issuer", "audience", "audiences", "expiration", "expiry", "seconds", "timeout", "period",
        "lifetime", "version", "count", "enabled", "disabled", "enable", "rotation", "policy", "hash", "fingerprint",
        "keyfile", "keypath", "tokenfile", "passwordfile", "interval", "qps", "burst",
    ]
    /// Words before `key` that make it no key of a cipher.
    private static let harmlessKeys: Set<String> = [
        "topology", "label", "annotation", "taint", "map", "public", "pub", "primary", "partition", "sort", "selector",
    ]

    /// What the names of secrets have, without looking at words.
    private static let hints = [
        "pass", "pw", "secret", "token", "credential", "key", "psk", "auth", "dockerconfigjson",
    ]
    .map { Array($0.utf8) }

    /// Whether the value of something of this name is a secret, unless the value itself says otherwise.
    static func isSecret(_ name: some StringProtocol) -> Bool {
        // Most names have none of these, and a file has many.
        let text = Array(name.lowercased().utf8)
        guard hints.contains(where: { text.firstRange(of: $0) != nil }) else { return false }
        let words = words(name)
        guard let last = words.last else { return false }
        if names.contains(words.joined(separator: "-")) || lastWords.contains(last) { return true }
        if words.suffix(2) == ["token", "id"] { return true }
        if harmlessEndings.contains(last) || last.hasSuffix("file") { return false }
        return words.indices.contains { isSecret(words, at: $0) }
    }

    private static func isSecret(_ words: [String], at index: Int) -> Bool {
        let word = words[index]
        if parts.contains(where: { word.contains($0) }) { return true }
        guard endings.contains(where: { word.hasSuffix($0) }) else { return false }
        if word.hasPrefix("pub") { return false }
        return !["key", "keys"].contains(word) || index == 0 || !harmlessKeys.contains(words[index - 1])
    }

    /// The words of `some-name`, `SOME_NAME`, `some.name`, `someName` and `APIName`, in lower case.
    private static func words(_ name: some StringProtocol) -> [String] {
        let letters = Array(name)
        var words: [String] = []
        var word = ""
        for (index, letter) in letters.enumerated() {
            let isSeparator = !letter.isLetter && !letter.isNumber
            let begins =
                letter.isUppercase && index > 0
                && (letters[index - 1].isLowercase || letters[index - 1].isNumber
                    || letters[index - 1].isUppercase && index + 1 < letters.count && letters[index + 1].isLowercase)
            if isSeparator || begins, !word.isEmpty {
                words.append(word)
                word = ""
            }
            if !isSeparator { word += letter.lowercased() }
        }
        return words + (word.isEmpty ? [] : [word])
    }
}

/// What a value under the name of a secret says of itself.
enum SecretValue {
    /// Directories of which a path begins; that base64 begins like one of them does not happen.
    private static let roots: Set<Substring> = [
        "etc", "var", "run", "usr", "opt", "srv", "home", "root", "tmp", "mnt", "media", "data", "dev", "proc", "sys",
        "host",
        "secrets", "certs", "pki",
    ]
    private static let fileEndings: Set<Substring> = [
        "key", "pem", "crt", "cer", "csr", "pub", "conf", "yaml", "yml", "json", "txt", "csv", "token", "env",
        "kubeconfig",
    ]

    /// Whether a value may be seen all the same: a path, a switch, nothing, or a variable.
    static func isHarmless(_ value: some StringProtocol) -> Bool {
        let value = value.drop { "\"' ".contains($0) }
        let word = value.prefix { !"\"' ,".contains($0) }
        guard !word.isEmpty else { return value.isEmpty }
        let plain = word.lowercased().filter { !"}])".contains($0) }
        if ["true", "false", "null", "~", "|", ">", "|-", ">-"].contains(plain) { return true }
        return isPath(word) || isVariable(word) || word.hasPrefix("--")
    }

    /// The labels of nodes, pods and taints, which `key` has in tolerations: `example.com/name`.
    static func isLabel(_ value: some StringProtocol) -> Bool {
        let parts = value.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count == 2 && parts[0].contains(".")
            && parts.allSatisfy { part in
                !part.isEmpty && part.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) }
            }
    }

    /// A path, which base64 may begin like: then it has what base64 has not, or the directory of a path.
    private static func isPath(_ word: some StringProtocol) -> Bool {
        let isPlain = word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "._-/%@:${}~".contains($0)) }
        guard isPlain else { return false }
        let parts = word.split(separator: "/")
        let end = parts.last?.split(separator: ".", omittingEmptySubsequences: false) ?? []
        if end.count > 1, let ending = end.last, fileEndings.contains(Substring(ending)) { return true }
        guard let first = parts.first, parts.count > 1, "/.~".contains(word.first ?? " ") else { return false }
        return roots.contains(Substring(first)) || [".", "..", "~"].contains(String(first))
            || word.contains { "._-".contains($0) }
    }

    /// `$NAME`, `${NAME}` or `$(NAME)`, whose value is elsewhere.
    private static func isVariable(_ word: some StringProtocol) -> Bool {
        guard word.first == "$" else { return false }
        var name = word.dropFirst()
        if name.hasPrefix("{") && name.hasSuffix("}") || name.hasPrefix("(") && name.hasSuffix(")") {
            name = name.dropFirst().dropLast()
        }
        return !name.isEmpty && name.allSatisfy { $0.isASCII && ($0.isUppercase || $0.isNumber || $0 == "_") }
    }
}
