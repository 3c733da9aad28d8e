import Certificates
import HostIO
import NodeFiles
import SealedArchive

extension Examination {
    /// Kubeconfigs of the cluster have credentials that belong together and that the cluster accepts.
    mutating func checkKubeconfigs() {
        let paths = authorityPaths
        let clients = authorities(paths.clients)
        let serving = authorities(paths.serving)
        for file in sortedFiles where file.captureClass == .kubeconfig {
            guard let inspected = file.kubeconfig else { continue }
            // What only lies in a directory may be for another cluster, and for a person to choose a context of.
            let isOwn = !file.isFoundByWalk
            if isOwn || inspected.kubeconfig.currentContext?.isEmpty == false {
                checkContexts(inspected.kubeconfig, path: file.path)
            }
            for user in inspected.kubeconfig.users { checkUser(user, inspected, file.path, isOwn ? clients : nil) }
            for cluster in inspected.kubeconfig.clusters where isOwn {
                checkCluster(cluster, inspected, file.path, serving)
            }
        }
    }

    private mutating func checkContexts(_ kubeconfig: Kubeconfig, path: String) {
        let context = kubeconfig.contexts.first { $0.name == kubeconfig.currentContext }
        let cluster = kubeconfig.clusters.first { $0.name == context?.cluster }
        let user = kubeconfig.users.first { $0.name == context?.user }
        guard context == nil || cluster == nil || user == nil else { return }
        let lacking = context == nil ? "context" : cluster == nil ? "cluster" : "user"
        find(
            .warning, "kubeconfig-context-broken", path,
            "the current context \(quoted(kubeconfig.currentContext ?? "")) of \(quoted(path)) leads to no \(lacking)",
            "correct current-context or the context")
    }

    private mutating func checkUser(
        _ user: Kubeconfig.User, _ inspected: InspectedKubeconfig, _ path: String, _ authorities: [ParsedCertificate]?
    ) {
        let embedded = inspected.certificates[user.name]
        let certificates = embedded ?? user.certificatePath.flatMap { files[$0]?.pem }
        let keys = inspected.keys[user.name] ?? user.keyPath.flatMap { files[$0]?.pem }
        let name = "the user \(quoted(user.name)) of \(quoted(path))"
        checkPresence(user, name, path)
        if let leaf = certificates?.certificates.first, let key = keys?.privateKeys.first,
            leaf.record.publicKey.digest != key.digest,
            // A key in a file of its own that does not fit is found where its pair is.
            !(user.keyPath.map { isFound("key-mismatch", $0) } ?? false)
        {
            find(
                .error, "kubeconfig-key-mismatch", path,
                "the private key of \(name) does not belong to its certificate (\(leaf.record.subject))",
                "write the kubeconfig again, for example with kubeadm init phase kubeconfig")
        }
        if let embedded = embedded?.certificates, let leaf = embedded.first, let authorities,
            !Chain.leads(embedded, to: authorities)
        {
            find(
                .error, "kubeconfig-chain-broken", path,
                "the certificate of \(name), issued by \(leaf.record.issuer), is not signed by the cluster's client CA",
                "write the kubeconfig again with a certificate of the cluster's CA")
        }
    }

    private mutating func checkPresence(_ user: Kubeconfig.User, _ name: String, _ path: String) {
        let hasCertificate = user.certificateData != nil || user.certificatePath != nil
        let hasKey = user.keyData != nil || user.keyPath != nil
        let hasOther =
            user.hasToken || user.tokenPath != nil || user.hasPassword || user.execCommand != nil
            || user.authProvider != nil
        if hasCertificate != hasKey || !(hasCertificate || hasOther) {
            let lacking = hasCertificate ? "private key" : hasKey ? "certificate" : "credentials"
            find(
                .warning, "kubeconfig-credentials-missing", path, "\(name) has no \(lacking)",
                "write the kubeconfig again")
        }
        if let command = user.execCommand {
            guard !command.hasPrefix("/") || source.find(command) != .missing else {
                return find(
                    .error, "reference-missing", command,
                    "the program \(quoted(command)), with which \(name) fetches its credentials, does not exist",
                    "install the program")
            }
            find(
                .note, "kubeconfig-exec-credential", path,
                "\(name) fetches its credentials with the program \(quoted(command)), which is not part of the backup",
                "install the program and what it needs before a restore")
        }
    }

    private mutating func checkCluster(
        _ cluster: Kubeconfig.Cluster, _ inspected: InspectedKubeconfig, _ path: String,
        _ authorities: [ParsedCertificate]?
    ) {
        let contents =
            inspected.authorities[cluster.name] ?? cluster.certificateAuthorityPath.flatMap { files[$0]?.pem }
        guard let certificates = contents?.certificates, !certificates.isEmpty, let authorities else { return }
        // A renewed CA certificate has another fingerprint and the same key.
        let isSame = certificates.contains { certificate in
            authorities.contains {
                $0.subject == certificate.subject && $0.record.publicKey == certificate.record.publicKey
            }
        }
        guard isSame else {
            return find(
                .error, "kubeconfig-ca-mismatch", path,
                "the CA of the cluster \(quoted(cluster.name)) in \(quoted(path)) (\(certificates[0].record.subject)) "
                    + "is not the cluster's CA",
                "write the kubeconfig again with the cluster's CA")
        }
        checkServer(cluster, path)
    }

    /// Some certificate of the API server has the name that the kubeconfig calls it by.
    private mutating func checkServer(_ cluster: Kubeconfig.Cluster, _ path: String) {
        let servers = components("kube-apiserver")
        let paths = servers.compactMap { self.path($0, "tls-cert-file") }
        let serving = paths.compactMap { files[$0]?.pem?.certificates.first?.record }
        // A certificate that is wrong in itself says nothing about who calls the server.
        let isWrong = paths.contains { isFound("certificate-name-missing", $0) || isFound("chain-broken", $0) }
        guard !serving.isEmpty, !isWrong, servers.allSatisfy({ $0.flags["tls-sni-cert-key"] == nil }),
            let name = cluster.serverName ?? cluster.server.flatMap(host), !cluster.skipsVerification,
            !serving.contains(where: { $0.covers(name) })
        else { return }
        find(
            .warning, "kubeconfig-server-name", path,
            "\(quoted(path)) calls the API server \(quoted(name)), which is no name of its certificate",
            "correct the server's URL, or issue the API server's certificate again with this name")
    }
}
