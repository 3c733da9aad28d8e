import Foundation
import TestSupport
import Testing

extension Integration {
    /// Whole backups of a node of kubeadm whose cluster is well, with one change of its files at a time.
    @Suite(.timeLimit(.minutes(45))) struct KubeadmDefectTests {
        private static let pki = KubeadmNode.pki
        private static let kubernetes = "/etc/kubernetes"

        /// A script that runs in `/etc/kubernetes` of a copy of `base`, where `$other` is that of a cluster whose node has
        /// the same name and address; and what a backup has to find then.
        private struct Change {
            let name: String
            let findings: [String]
            let script: String
            /// Whether notes, which say nothing of a defect, are left open.
            var notes = false

            /// A change that nothing is wrong with.
            init(_ name: String, _ script: String, notes: Bool = false) {
                self.init(name, [], script)
                self.notes = notes
            }

            init(_ name: String, _ findings: [String], _ script: String) {
                self.name = name
                self.findings = findings
                self.script = script
            }
        }

        private func expect(_ changes: [Change]) throws {
            let node = try KubeadmNode.running("base")
            let other = try KubeadmNode("endpoint")
            for change in changes {
                let root = try copy(of: node, "other=\(other.root)/etc/kubernetes\n\(change.script)")
                guard change.notes else {
                    try node.expect(change.findings, of: root, change.name)
                    continue
                }
                let outcome = try node.backup(of: root)
                #expect(outcome.findings.filter { !$0.hasPrefix("note ") } == [], "\(change.name)")
                #expect(
                    (1...2).contains(outcome.findings.count) && outcome.status == 0,
                    "\(change.name): \(outcome.findings)")
            }
        }

        private func copy(of node: KubeadmNode, _ script: String) throws -> String {
            try node.copy("cd etc/kubernetes\n\(Self.renewal)\n\(script)")
        }

        /// Gives a certificate other dates: `renew CERTIFICATE DAYS CA`, with the same key and names.
        private static let renewal = """
            renew() {
                openssl x509 -x509toreq -copy_extensions copyall -in $1.crt -signkey $1.key -out request 2>/dev/null
                openssl x509 -req -in request -CA $3.crt -CAkey $3.key -copy_extensions copyall -days $2 \
                    -set_serial 4711 -out $1.crt ${4-} 2>/dev/null
                rm request
            }
            """

        @Test func whatIsUnusualAndSoundHasNoFindings() throws {
            try expect([
                Change("nothing", "cd pki"),
                Change("the break-glass kubeconfigs are kept elsewhere", "rm super-admin.conf admin.conf"),
                Change(
                    "certificates that were renewed",
                    """
                    cd pki; renew apiserver 365 ca; renew apiserver-kubelet-client 365 ca
                    renew etcd/server 365 etcd/ca; renew apiserver-etcd-client 365 etcd/ca
                    renew front-proxy-client 365 front-proxy-ca
                    """),
                Change("a CA under rotation", "cat $other/pki/ca.crt >>pki/ca.crt"),
                Change("Windows line ends", "sed -i 's/$/\\r/' pki/*.crt pki/*.key manifests/etcd.yaml"),
                Change("a byte-order mark", "sed -i '1s/^/\\xef\\xbb\\xbf/' manifests/kube-scheduler.yaml admin.conf"),
                Change("no certificate for health checks", "rm pki/etcd/healthcheck-client.*"),
                Change("keys on another disk", "mkdir -p ../../srv; mv pki ../../srv/pki; ln -s ../../srv/pki pki"),
                Change(
                    "a kubelet that renews its own certificate",
                    """
                    directory=../../var/lib/kubelet/pki; mkdir -p $directory
                    sed -n 's/.*client-\\(certificate\\|key\\)-data: //p' kubelet.conf | while read -r data; do
                        echo "$data" | base64 -d
                    done >$directory/kubelet-client-2026.pem
                    ln -s kubelet-client-2026.pem $directory/kubelet-client-current.pem
                    file=/var/lib/kubelet/pki/kubelet-client-current.pem
                    sed -i -e "s#client-certificate-data:.*#client-certificate: $file#" \
                        -e "s#client-key-data:.*#client-key: $file#" kubelet.conf
                    """),
            ])
        }

        /// Nothing names these files: at most they are noted.
        @Test func whatARenewalLeftBehind() throws {
            let node = try KubeadmNode.running("base")
            let root = try copy(
                of: node,
                """
                cp -a pki pki.bak; cp -a pki pki-2025; cp admin.conf admin.conf.bak; cp manifests/etcd.yaml etcd.yaml.old
                cp manifests/kube-apiserver.yaml manifests/kube-apiserver.yaml.bak
                cd pki; cp apiserver.crt keep; renew apiserver -1 ca
                for end in old bak expired orig 2025-11-26 save~; do cp apiserver.crt apiserver.crt.$end; done
                cp apiserver.crt apiserver-old.crt; mv keep apiserver.crt
                """)
            let outcome = try node.backup(of: root)
            #expect(outcome.findings.filter { !$0.hasPrefix("note ") } == [])
            #expect(outcome.findings.count <= 1 && outcome.status == 0, "\(outcome.errorText)")
        }

        /// Files that people put beside those in use, and that nothing reads.
        @Test func whatOnlyLiesThere() throws {
            try expect([
                Change(
                    "a bundle of other authorities, some of them expired",
                    """
                    for days in -1 0 5 900; do
                        openssl req -x509 -newkey rsa:1024 -nodes -keyout key -days 1 -subj "/CN=public$days" -out public.crt \
                            2>/dev/null
                        mv key public.key; renew public $days public; cat public.crt >>pki/corp-ca.crt
                        rm public.crt public.key
                    done
                    """),
                Change(
                    "copies with numbers",
                    "cd pki; cp apiserver.crt keep; renew apiserver -1 ca\n"
                        + "mv apiserver.crt apiserver.crt.1; mv keep apiserver.crt", notes: true),
                Change("a key pair of SSH", "ssh-keygen -q -t ed25519 -N '' -f pki/id_deploy", notes: true),
                Change(
                    "a CA that was replaced, with its expired certificate",
                    """
                    openssl req -x509 -newkey rsa:2048 -nodes -keyout old.key -subj "/CN=kubernetes" -out old.crt 2>/dev/null
                    renew old -1 old; cat old.crt >>pki/ca.crt; rm old.crt old.key
                    """, notes: true),
                Change(
                    "variables that only the running pod knows",
                    "sed -i 's/--advertise-address=.*/--advertise-address=$(HOST_IP)/' manifests/kube-apiserver.yaml\n"
                        + "sed -i 's/--name=.*/--name=$(NODE_NAME)/' manifests/etcd.yaml"),
                Change(
                    "the certificate that a kubelet made for itself a year ago",
                    """
                    directory=../../var/lib/kubelet/pki; mkdir -p $directory
                    openssl req -x509 -newkey rsa:2048 -nodes -keyout kubelet.key -subj "/CN=cp-1@1732000000" -out kubelet.crt \
                        2>/dev/null
                    renew kubelet -1 kubelet; mv kubelet.* $directory
                    """, notes: true),
                Change(
                    "an expired certificate of nobody",
                    "cd pki; cp apiserver.crt spare.crt; cp apiserver.key spare.key\n"
                        + "renew spare -1 ca"),
            ])
        }

        /// Keys under another label than their form's, which Go reads; also the pair that the backup itself connects with.
        @Test func keysUnderOtherLabels() throws {
            try expect([
                Change(
                    "PKCS#1 as PKCS#8",
                    "sed -i 's/ RSA PRIVATE/ PRIVATE/' pki/apiserver.key pki/apiserver-etcd-client.key"),
                Change(
                    "PKCS#8 as PKCS#1",
                    """
                    for name in apiserver apiserver-etcd-client; do
                        openssl pkcs8 -topk8 -nocrypt -in pki/$name.key | sed 's/ PRIVATE/ RSA PRIVATE/' >key
                        mv key pki/$name.key
                    done
                    """),
            ])
        }

        /// Certificates that are for something else than what uses them.
        @Test func certificatesForOtherUses() throws {
            let issue = """
                issue() {
                    openssl x509 -x509toreq -in $1.crt -signkey $1.key -out request 2>/dev/null
                    printf '%s\\n' "${@:3}" >extensions
                    openssl x509 -req -in request -CA $2.crt -CAkey $2.key -extfile extensions -days 300 -set_serial 4712 \
                        -out $1.crt 2>/dev/null
                    rm request extensions
                }
                cd pki

                """
            func usage(_ name: String, _ path: String, _ script: String) -> Change {
                Change(name, ["error certificate-usage \(path)"], issue + script)
            }
            let names = "subjectAltName=DNS:kubernetes.default.svc,IP:10.0.0.1,IP:10.0.0.11,IP:10.96.0.1"
            try expect([
                usage(
                    "a server's as the kubelets' client", "\(Self.pki)/apiserver-kubelet-client.crt",
                    "issue apiserver-kubelet-client ca extendedKeyUsage=serverAuth"),
                usage(
                    "a client's as the API server's", "\(Self.pki)/apiserver.crt",
                    "issue apiserver ca extendedKeyUsage=clientAuth "
                        + "\(names)$(openssl x509 -in apiserver.crt -noout -ext subjectAltName | tail -1 | "
                        + "sed 's/ //g;s/IPAddress/IP/g;s/^/,/')"),
                usage(
                    "a CA that is none", "\(Self.pki)/front-proxy-ca.crt",
                    "issue front-proxy-ca front-proxy-ca basicConstraints=CA:FALSE"),
                usage(
                    "a CA that may not sign", "\(Self.pki)/ca.crt",
                    "issue ca ca basicConstraints=critical,CA:TRUE keyUsage=digitalSignature"),
                usage(
                    "a front proxy of another name", "\(Self.pki)/front-proxy-client.crt",
                    "sed -i 's/requestheader-allowed-names=.*/requestheader-allowed-names=other/' "
                        + "../manifests/kube-apiserver.yaml"),
                Change(
                    "uses that are not limited", issue + "issue apiserver-kubelet-client ca basicConstraints=CA:FALSE"),
            ])
        }

        /// What the programs themselves refuse, each by its own rules, with the rest of the node sound.
        @Test func filesThatProgramsRefuse() throws {
            let client = "\(Self.pki)/etcd/healthcheck-client.crt"
            try expect([
                Change(
                    "a pair for health checks of another cluster", ["warning chain-broken \(client)"],
                    "cp $other/pki/etcd/healthcheck-client.* pki/etcd/"),
                Change(
                    "the key of another pair for health checks",
                    ["warning key-mismatch \(Self.pki)/etcd/healthcheck-client.key"],
                    "cp $other/pki/etcd/healthcheck-client.key pki/etcd/"),
                Change(
                    "an API server's certificate behind its CA's",
                    [
                        "error key-mismatch \(Self.pki)/apiserver.key",
                        "warning certificate-name-missing \(Self.pki)/apiserver.crt",
                    ],
                    "cat pki/ca.crt pki/apiserver.crt >both; mv both pki/apiserver.crt"),
                Change(
                    "a certificate for health checks without its key", ["warning key-missing \(client)"],
                    "rm pki/etcd/healthcheck-client.key"),
                Change(
                    "OpenSSL's old label", ["error pem-label \(Self.pki)/apiserver.crt"],
                    "sed -i 's/ CERTIFICATE/ X509 CERTIFICATE/' pki/apiserver.crt"),
                Change(
                    "the old label where etcd reads it", "sed -i 's/ CERTIFICATE/ X509 CERTIFICATE/' pki/etcd/ca.crt"),
                Change(
                    "a revocation list in etcd's CA file", ["error pem-label \(Self.pki)/etcd/ca.crt"],
                    """
                    touch index; printf '[ca]\\ndefault_ca=a\\n[a]\\ndatabase=index\\n' >conf
                    openssl ca -gencrl -config conf -md sha256 -crldays 9 -cert pki/etcd/ca.crt -keyfile pki/etcd/ca.key \
                        >>pki/etcd/ca.crt 2>/dev/null
                    rm -f index* conf
                    """),
                Change(
                    "an expired CA that certificates still need", ["error certificate-expired \(Self.pki)/ca.crt"],
                    "cat $other/pki/ca.crt >both; renew pki/ca -1 pki/ca; cat both >>pki/ca.crt; rm both"),
            ])
        }

        @Test func aFileThatIsMissing() throws {
            let kubelet = "/var/lib/kubelet/pki/kubelet-client-current.pem"
            try expect([
                missing("apiserver.key"), missing("sa.pub"), missing("sa.key"), missing("front-proxy-client.crt"),
                Change("the CA's key", ["error ca-key-missing \(Self.pki)/ca.key"], "rm pki/ca.key"),
                Change("the key of etcd's CA", ["note external-ca \(Self.pki)/etcd/ca.crt"], "rm pki/etcd/ca.key"),
                Change(
                    "a link to nowhere", ["error reference-missing \(Self.pki)/apiserver.key"],
                    "ln -sf /nowhere/key pki/apiserver.key"),
                Change(
                    "the kubelet's certificate", ["error reference-missing \(kubelet)"],
                    "sed -i 's#client-certificate-data:.*#client-certificate: \(kubelet)#' kubelet.conf"),
            ])
        }

        private func missing(_ name: String) -> Change {
            Change(name, ["error reference-missing \(Self.pki)/\(name)"], "rm pki/\(name)")
        }

        @Test func filesThatDoNotBelongTogether() throws {
            let admin = "\(Self.kubernetes)/admin.conf"
            try expect([
                Change(
                    "another pair's key", ["error key-mismatch \(Self.pki)/front-proxy-client.key"],
                    "cp $other/pki/front-proxy-client.key pki/"),
                Change("another CA's key", ["error key-mismatch \(Self.pki)/ca.key"], "cp $other/pki/ca.key pki/"),
                Change(
                    "the key of another CA of etcd", ["error key-mismatch \(Self.pki)/etcd/ca.key"],
                    "cp $other/pki/etcd/ca.key pki/etcd/"),
                Change(
                    "another cluster's service account key", ["error service-account-key-mismatch \(Self.pki)/sa.key"],
                    "cp $other/pki/sa.key pki/"),
                Change(
                    "another authority's certificate for etcd's peers",
                    ["error chain-broken \(Self.pki)/etcd/peer.crt"],
                    "cp $other/pki/etcd/peer.* pki/etcd/"),
                Change(
                    "another cluster's kubeconfig",
                    ["error kubeconfig-chain-broken \(admin)", "error kubeconfig-ca-mismatch \(admin)"],
                    "cp $other/admin.conf ."),
                Change(
                    "another member's name", ["warning member-list-mismatch \(Self.kubernetes)/manifests/etcd.yaml"],
                    "sed -i s/--name=cp-1/--name=cp-7/ manifests/etcd.yaml"),
            ])
        }

        @Test func certificatesThatClientsRefuse() throws {
            try expect([
                Change(
                    "it has ended", ["error certificate-expired \(Self.pki)/apiserver-kubelet-client.crt"],
                    "cd pki; renew apiserver-kubelet-client -1 ca"),
                Change(
                    "it ends soon", ["warning certificate-expires-soon \(Self.pki)/apiserver.crt"],
                    "cd pki; renew apiserver 5 ca"),
                Change(
                    "it lacks names", ["warning certificate-name-missing \(Self.pki)/apiserver.crt"],
                    """
                    cd pki; openssl req -new -key apiserver.key -subj /CN=kube-apiserver -out request
                    printf 'subjectAltName=DNS:kubernetes,IP:10.96.0.1\\nextendedKeyUsage=serverAuth\\n' >extensions
                    openssl x509 -req -in request -CA ca.crt -CAkey ca.key -days 300 -extfile extensions -set_serial 3 \
                        -out apiserver.crt 2>/dev/null
                    rm request extensions
                    """),
                Change(
                    "it is signed with SHA-1", ["warning algorithm-weak \(Self.pki)/apiserver.crt"],
                    "cd pki; renew apiserver 300 ca -sha1"),
                // The API server's own pair is there and in use.
                Change(
                    "that of health checks has ended",
                    ["warning certificate-expired \(Self.pki)/etcd/healthcheck-client.crt"],
                    "cd pki; renew etcd/healthcheck-client -1 etcd/ca"),
            ])
        }

        @Test func contentsThatNobodyCanRead() throws {
            let scheduler = "\(Self.kubernetes)/scheduler.conf"
            try expect([
                Change("an empty CA", ["error file-empty \(Self.pki)/front-proxy-ca.crt"], ": >pki/front-proxy-ca.crt"),
                Change(
                    "a key that is cut", ["error pem-damaged \(Self.pki)/apiserver.key"],
                    "truncate -s 400 pki/apiserver.key"),
                Change(
                    "DER", ["error der-instead-of-pem \(Self.pki)/apiserver.crt"],
                    "openssl x509 -in pki/apiserver.crt -outform der -out der; mv der pki/apiserver.crt"),
                Change(
                    "a passphrase", ["error key-encrypted \(Self.pki)/apiserver.key"],
                    "openssl rsa -in pki/apiserver.key -aes256 -passout pass:x -out key 2>/dev/null; mv key pki/apiserver.key"
                ),
                Change(
                    "a manifest that is no YAML",
                    ["error manifest-unparsable \(Self.kubernetes)/manifests/kube-scheduler.yaml"],
                    "echo '  x: [' >>manifests/kube-scheduler.yaml"),
                Change(
                    "a kubeconfig whose key is no base64", ["error kubeconfig-unreadable \(scheduler)"],
                    "sed -i 's#client-key-data: ....#client-key-data: a-b_#' scheduler.conf"),
            ])
        }
    }
}
