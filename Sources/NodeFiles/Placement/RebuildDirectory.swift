import HostIO

/// `/var/lib/etcd-snap-rebuild` of a root, mode 0700: the journal of a rebuild with what it has replaced, never captured.
public enum RebuildDirectory {
    static let name = "etcd-snap-rebuild"

    /// Where it is, absolute within the root.
    public static let path = "/var/lib/" + name
}
