import Operations

/// A loop that verifies every leaf certificate of a host, made anew or kept, and those in kubeconfigs, against its authority.
struct RunbookCertificates: Equatable {
    /// Lines of an authority's file and files that it signed.
    private let lines: [String]
    /// The unit that makes them at its start; nil where they are placed.
    private let maker: String?

    /// Those that a plan places; nil where the distribution makes them at its start.
    init?(_ node: RebuildNodePlan) {
        let lines = node.certificates.compactMap { certificate -> String? in
            guard let authority = certificate.authority else { return nil }
            // A kubeconfig that has a certificate, or names one, follows in brackets.
            return "\(authority) \(certificate.path.prefix { $0 != " " })"
        }
        guard !lines.isEmpty else { return nil }
        self.lines = lines
        maker = nil
    }

    /// Those that a distribution makes at its start; nil where kubeadm made them.
    init?(_ layout: RebuildLayoutKind, data: String, service: String) {
        maker = service
        switch layout {
        case .kubeadm, .kubespray: return nil
        case .k3s, .rke2: lines = Self.rancher(data)
        case .k0s: lines = Self.k0s("\(data)/pki")
        }
    }

    /// Source: k3s, `pkg/daemons/control/deps/deps.go`.
    private static func rancher(_ data: String) -> [String] {
        let (tls, agent) = ("\(data)/server/tls", "\(data)/agent")
        return [
            "\(tls)/client-ca.crt \(tls)/client-[!ac]*.crt", "\(tls)/client-ca.crt \(tls)/client-admin.crt",
            "\(tls)/client-ca.crt \(tls)/client-controller.crt",
            "\(tls)/server-ca.crt \(tls)/serving-kube-apiserver.crt",
            "\(tls)/request-header-ca.crt \(tls)/client-auth-proxy.crt",
            "\(tls)/etcd/server-ca.crt \(tls)/etcd/client.crt",
            "\(tls)/etcd/server-ca.crt \(tls)/etcd/server-client.crt",
            "\(tls)/etcd/peer-ca.crt \(tls)/etcd/peer-server-client.crt",
            "\(tls)/server-ca.crt \(agent)/serving-kubelet.crt", "\(tls)/client-ca.crt \(agent)/client-[kr]*.crt",
        ]
    }

    /// Source: k0s, `cmd/controller/certificates.go`, `pkg/component/controller/etcd.go`.
    private static func k0s(_ pki: String) -> [String] {
        [
            "\(pki)/ca.crt \(pki)/server.crt", "\(pki)/ca.crt \(pki)/k0s-api.crt",
            "\(pki)/ca.crt \(pki)/apiserver-kubelet-client.crt", "\(pki)/ca.crt \(pki)/*.conf",
            "\(pki)/front-proxy-ca.crt \(pki)/front-proxy-client.crt",
            "\(pki)/etcd/ca.crt \(pki)/apiserver-etcd-client.crt", "\(pki)/etcd/ca.crt \(pki)/etcd/server.crt",
            "\(pki)/etcd/ca.crt \(pki)/etcd/peer.crt",
        ]
    }

    /// The loop as a check.
    var check: RunbookCheck {
        RunbookCheck(
            title: "Every certificate is signed by its authority and is of its time",
            command: """
                while read -r ca pattern; do
                  for file in $pattern; do
                    result=$(case $file in
                      *.conf) sed -n 's/.*client-certificate-data: *//p' "$file" | base64 -d ;;
                      *) cat "$file" ;;
                    esac | openssl verify -partial_chain -CAfile "$ca" 2>&1 | tr '\\n' ' ')
                    echo "$file $result"
                  done
                done <<'END'
                \(lines.joined(separator: "\n"))
                END
                """,
            expected: "each line ends with `stdin: OK`.",
            others: [
                (
                    "`unable to get local issuer certificate` or `signature failure`",
                    "the file is not of this cluster: something else wrote it. Take the rebuild of this host back and apply again."
                ),
                ("`certificate is not yet valid`", "the clock is wrong: `timedatectl`, then this check again."),
                ("`certificate has expired`", expired),
                ("`No such file`, `Could not read` or `unable to load`", missing),
            ])
    }

    private var expired: String {
        maker.map {
            "`systemctl restart \($0)` renews it; if not, the authority has expired: `openssl x509 -noout -enddate`."
        }
            ?? "a kept one had run out before the loss: `kubeadm certs renew NAME` on this host, before the start."
    }

    private var missing: String {
        maker.map { "it is made at the start: `journalctl -u \($0) -n 50 --no-pager` says why it was not." }
            ?? "`etcd-snap rebuild status` is not `done`: run the line of `apply` again."
    }
}
