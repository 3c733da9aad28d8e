import Certificates
import HostIO
import NodeFiles
import SealedArchive

extension Examination {
    /// Every file that something names is there and can be read.
    mutating func checkReferences() {
        for file in sortedFiles where file.captureClass != .joinToken {
            let referrer = file.referrers.first ?? "a component"
            switch file.state {
            case .missing where file.isRequired && file.captureClass == .caKey:
                find(
                    .error, "ca-key-missing", file.path,
                    "the CA key \(quoted(file.path)), named by \(referrer), does not exist",
                    "copy the key from another control-plane node: a rebuild can't issue certificates without it")
            case .missing where file.isRequired:
                find(
                    .error, "reference-missing", file.path,
                    "\(quoted(file.path)), named by \(referrer), does not exist",
                    "restore the file, or remove what names it")
            case .unreadable(let reason)
            where file.isRequired || InspectedFile.form(of: file.captureClass, path: file.path) != .opaque:
                find(
                    .error, "reference-unreadable", file.path,
                    "\(quoted(file.path)), named by \(referrer), can't be read: \(reason)",
                    "make it a regular file that root can read")
            default: break
            }
        }
    }

    /// Says once that copies were kept aside.
    mutating func noteLeftovers(_ paths: [String]) {
        guard let first = paths.first else { return }
        find(
            .note, "leftovers", first,
            "\(paths.count) names, such as \(quoted(first)), are those of copies kept aside, which are captured and not judged",
            "remove what nobody needs: it may hold keys")
    }

    /// Every file holds what its class says, undamaged.
    mutating func checkContents() {
        for file in sortedFiles {
            for problem in file.problems where isWorthTelling(problem, file) {
                find(severity(of: problem, in: file), problem.code, file.path, problem.message, problem.advice)
            }
            if let contents = file.pem, file.isSound, !file.isFoundByWalk { checkContents(contents, of: file) }
        }
    }

    /// An encrypted key may be kept on purpose; what else is wrong with a file that nobody uses harms nobody.
    private func severity(of problem: ContentProblem, in file: InspectedFile) -> Finding.Severity {
        if isSpare(file) { return .note }
        if problem.code == "key-encrypted" { return file.isRequired ? problem.severity : .warning }
        return isUnused(file) ? .warning : problem.severity
    }

    /// Empty files of other classes may mean to be empty.
    private func isWorthTelling(_ problem: ContentProblem, _ file: InspectedFile) -> Bool {
        if file.captureClass == .joinToken { return false }
        return problem.code != "file-empty" || file.isRequired || file.captureClass == .staticPod
            || InspectedFile.form(of: file.captureClass, path: file.path) != .opaque
    }

    private mutating func checkContents(_ contents: PEMContents, of file: InspectedFile) {
        let missing: String? =
            switch file.captureClass {
            case .caCertificate, .certificate: contents.certificates.isEmpty ? "certificate" : nil
            case .caKey, .privateKey: contents.privateKeys.isEmpty ? "private key" : nil
            case .serviceAccountKey:
                contents.certificates.isEmpty && contents.privateKeys.isEmpty && contents.publicKeys.isEmpty
                    ? "key" : nil
            default: nil
            }
        if let missing {
            find(
                .error, "pem-missing", file.path, "\(quoted(file.path)) holds no \(missing)",
                "restore the file from another control-plane node or a backup")
        }
        if contents.privateKeys.count > 1, file.captureClass != .serviceAccountKey {
            find(
                .warning, "keys-several", file.path,
                "\(quoted(file.path)) holds \(contents.privateKeys.count) private keys, of which the first is used",
                "remove the others")
        }
        if let weakness = contents.privateKeys.lazy.compactMap(\.weakness).first,
            file.captureClass == .serviceAccountKey, !isFound("service-account-key-refused", file.path)
        {
            find(
                .warning, "algorithm-weak", file.path, "\(quoted(file.path)) is \(weakness)",
                "replace the key by one of RSA 2048 or ECDSA P-256")
        }
    }

    /// k3s and RKE2 encrypt their bootstrap data in the datastore with the server token: no rebuild without it.
    mutating func checkJoinTokens() {
        for distribution in ["k3s", "rke2"] where layout.hasServer(of: distribution) {
            let directory = joinPath(layout.dataDirectory(of: distribution), "server")
            let tokens = ["token", "node-token"].map { joinPath(directory, $0) }
            let isThere = files.values.contains { file in
                file.captureClass == .joinToken && file.isSound && (file.isRequired || tokens.contains(file.path))
            }
            guard !isThere else { continue }
            find(
                .error, "token-missing", tokens[0],
                "the server token of \(distribution), \(quoted(tokens[0])), is missing or empty",
                "copy it from another server: the bootstrap data in the datastore can't be decrypted without it")
        }
    }
}
