import Testing

@testable import NodeRewrite

/// What a text shows: no value whose name says that it is a secret, and all else.
@Suite struct SecretTests {
    private func shown(_ text: String) -> String {
        let bytes = Array(text.utf8)
        return SecretText(bytes).shown(bytes.indices)
    }

    @Test(arguments: [
        ("args: [a]\n", "- --image-pull-pw=", "hunter2"), ("", "- --registry-password=", "hunter2"),
        ("", "- --api-key=", "hunter2"), ("", "- --db-pass=", "hunter2"), ("", "--oidc-client-secret ", "hunter2"),
        ("", "X_CREDENTIAL=", "hunter2"), ("", "DB_PWD=", "hunter2"), ("", "export GITHUB_TOKEN=", "ghp_x"),
        ("", "dbPassword: ", "hunter2"), ("", "apiKey: ", "hunter2"), ("", "key: ", "c2VjcmV0c2VjcmV0"),
        ("", "secret: ", "/9j+4AAQSkZJRgABAQ=="), ("", "secret: ", "/9j4AAQSkZJRgABAQEAYABgAAD"),
        ("", "keys: ", "[hunter2]"), ("", "password=", "[hunter2"), ("", "token-id: ", "hunter2"),
        ("", "psk: ", "hunter2"), ("", "password: ", "$ecret"), ("", "auth_pass ", "hunter2"),
        ("", "Authorization: ", "Bearer hunter2"), ("", "-H \"Authorization: ", "Basic aGFsbG8=\""),
        ("", "- name: Authorization\n  value: ", "Bearer hunter2"), ("", "- name: X_PASSWORD\n  value: ", "hunter2"),
        ("", "- value: ", "hunter2\n  name: APP_SECRET_KEY"), ("", "kind: Secret\ndata:\n  user: ", "aGFsbG8="),
        ("", "- --pw\n- ", "hunter2"), ("", "- --pw=x\n  ", "hunter2"), ("", "auths: {h: {auth: ", "aGFsbG8=}}"),
        ("", "credentials: {user: ", "hunter2}"), ("", "command: [sh, -c, 'x --key ", "hunter2']"),
    ])
    func `a secret by its name is not shown`(_ before: String, _ name: String, _ secret: String) {
        let text = shown(before + name + secret + "\n")
        let word = secret.split { " \n]}'\"".contains($0) }[secret.hasPrefix("B") ? 1 : 0]
        #expect(!text.contains(word) && text.contains("«secret»"), "\(text)")
    }

    @Test(arguments: [
        "--service-account-key-file=/etc/kubernetes/pki/sa.pub",
        "--tls-private-key-file=/etc/kubernetes/pki/apiserver.key",
        "--service-account-signing-key-file=/etc/kubernetes/pki/sa.key", "--key=/etc/kubernetes/pki/etcd/server.key",
        "--kubelet-client-key=/etc/kubernetes/pki/x.key", "--etcd-keyfile=/pki/x.key", "--peer-key-file=peer.key",
        "--enable-bootstrap-token-auth=true", "--token-auth-file=tokens", "--authorization-mode=Node,RBAC",
        "--authentication-token-webhook-cache-ttl=10s", "keySize: 2048", "encryptionAlgorithm: RSA-2048",
        "automountServiceAccountToken: false", "secretName: certs", "topologyKey: kubernetes.io/hostname",
        "imagePullSecrets: [{name: regcred}]", "volumes: [{name: v, secret: {secretName: certs, defaultMode: 420}}]",
        "tolerations:\n- key: dedicated\n  operator: Exists", "taints: [{effect: NoSchedule, key: dedicated}]",
        "valueFrom: {secretKeyRef: {name: a, key: b}}", "items: [{key: ca, path: ca.crt}]",
        "key: node-role.kubernetes.io/control-plane", "- name: APP_KEY_FILE\n  value: /etc/app/key",
        "- name: PASSWORD\n  value: $(OTHER)", "- name: KEY\n  value: ${KEY}", "authorization: {mode: Webhook}",
        "- serviceAccountToken: {path: token, expirationSeconds: 3607}", "secrets-encryption: true",
        "sshPublicKey: ssh-ed25519", "PassEnvironment=HOME", "PWD=/root/x", "keyring: x", "keystore: x", "monitor: x",
        "tlsPrivateKeyFile: /var/lib/kubelet/pki/x", "token-file: /run/t", "# the token is made by kubeadm init",
        "server: https://lb.example.com:6443", "--password", "password: ''", "token:",
    ])
    func `what is no secret is shown`(_ text: String) {
        // Ends of lines are no part of what is shown.
        #expect(shown(text) == text.replacing("\n", with: " "))
    }

    @Test func `flags behind a secret are shown`() {
        #expect(
            shown("ARGS=\"--registry-password=hunter2 --hostname-override=n --api-key=x --node-ip=10.0.0.1\"")
                == "ARGS=\"--registry-password=«secret» --hostname-override=n --api-key=«secret» --node-ip=10.0.0.1\"")
        #expect(shown("--password=\"a --b=c\"") == "--password=«secret»")
    }

    @Test func `passwords of URLs are not shown`() {
        #expect(shown("proxy: http://user:hunter2@proxy:3128/x") == "proxy: http://user:…@proxy:3128/x")
    }
}
