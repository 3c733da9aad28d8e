/// The codes that findings have, as `docs/findings.md` tells what each means.
public enum FindingCodes {
    /// All of them: a configuration that accepts another one is misspelt.
    public static let known: Set<String> = [
        "algorithm-weak", "attributes-too-large", "attributes-unreadable", "backup-chain-broken",
        "backup-chain-unknown", "backup-chains-disagree", "backup-check-failed", "backup-copies-differ",
        "backup-copies-few", "backup-damaged", "backup-from-future", "backup-gap", "backup-level-low", "backup-missing",
        "backup-number-reused",
        "backup-sidecar-missing", "backup-snapshot-missing", "backup-unreadable", "ca-key-missing",
        "ca-missing", "ca-replaced", "certificate-expired", "certificate-expires-soon", "certificate-name-missing",
        "certificate-not-yet-valid", "certificate-unreadable", "certificate-usage", "chain-broken",
        "component-paths-unknown", "configuration-unparsable", "credential-encrypted", "datastore-elsewhere",
        "der-instead-of-pem",
        "directory-unreadable", "drill-failed", "drill-overdue", "encryption-configuration-missing", "encryption-configuration-unreadable",
        "encryption-identity-missing", "encryption-key-invalid", "encryption-key-missing", "encryption-key-retired",
        "encryption-key-wrong", "encryption-keys-incomplete", "encryption-keys-unchecked", "etcd-alarm",
        "etcd-of-another-cluster", "etcd-unreachable", "etcd-v2-enabled", "external-ca", "file-changed", "file-empty",
        "file-missing",
        "file-too-large",
        "file-unreadable", "hashkv-not-compared", "identity-captured", "key-damaged", "key-encrypted", "key-mismatch",
        "key-missing", "key-unreadable", "keys-changed", "keys-several", "kms-external", "kubeconfig-ca-mismatch",
        "kubeconfig-chain-broken", "kubeconfig-context-broken", "kubeconfig-credentials-missing",
        "kubeconfig-exec-credential", "kubeconfig-identity", "kubeconfig-key-mismatch", "kubeconfig-server-name",
        "kubeconfig-unreadable", "kubelet-self-signed", "leftovers", "link-leaves-tree", "link-loop",
        "manifest-not-a-pod",
        "manifest-unparsable", "member-list-mismatch", "members-disagree", "needed-excluded", "not-locked",
        "not-read-back",
        "path-unresolved",
        "path-unusable", "pem-damaged", "pem-label", "pem-missing", "processes-unseen", "reference-missing",
        "reference-unreadable", "rows-unreadable", "service-account-key-mismatch", "service-account-key-refused",
        "snapshot-may-be-old", "store-directory-unread", "store-failed", "store-link-not-followed", "token-missing",
        "volumes-incomplete",
    ]
}
