import Foundation
import TestSupport

/// Files as they are found on hosts and in nobody's example: odd modes, owners, times, names, links and attributes.
enum SourceTree {
    /// Makes the tree in a new directory `tree`, and returns its path.
    static func make(in directory: TemporaryDirectory) throws -> String {
        let path = directory.file("tree")
        try run("bash", ["-euc", script, "tree", path])
        return path
    }

    private static let script = #"""
        umask 022
        mkdir -p "$1/pki/etcd" "$1/empty" "$1/sticky" "$1/shared"
        cd "$1"
        echo key >pki/etcd/ca.key; chmod 0400 pki/etcd/ca.key
        echo crt >pki/etcd/ca.crt; chmod 0640 pki/etcd/ca.crt
        : >zero
        head -c 5000000 /dev/urandom >large
        truncate -s 3000000 sparse; printf end >>sparse
        printf 'a line\n' >'name with  spaces'
        printf 'newline\n' >$'name\nwith newline'
        printf 'latin\n' >$'caf\xe9'
        printf 'utf\n' >'schlüssel'
        printf 'long\n' >"$(printf 'n%.0s' {1..255})"
        mkdir -p "$(printf 'd%.0s' {1..120})/$(printf 'e%.0s' {1..120})"
        printf 'deep\n' >"$(printf 'd%.0s' {1..120})/$(printf 'e%.0s' {1..120})/file"
        printf 'tool\n' >setuid; chmod 04755 setuid
        chmod 01777 sticky; chmod 02770 shared; chmod 0000 zero
        ln large hard1; ln large pki/hard2
        ln -s pki/etcd/ca.crt relative; ln -s /nowhere/at/all dangling; ln -s .. up
        setfattr -n user.comment -v 'an attribute' pki/etcd/ca.crt
        setfattr -n user.empty pki
        setfattr -n user.binary -v 0x00ff0a3d22 large
        if [ "$(id -u)" = 0 ]; then
            chown 1234:5678 setuid; chmod 04755 setuid
            chown -h 4321:8765 dangling; chown 99:99 shared; chmod 02770 shared
        fi
        touch -h -d '1999-12-31T23:59:59.123456789Z' dangling
        touch -d '2038-01-20T00:00:00.987654321Z' large
        touch -d '1969-06-01T00:00:00Z' 'name with  spaces'
        touch -d '2001-02-03T04:05:06.7Z' pki/etcd pki empty
        """#
}

/// What rsync would change to make a copy like the original: nothing, if the copy is perfect.
func differences(_ original: String, _ copy: String) throws -> String {
    try run(
        "rsync", ["-aAXHn", "--numeric-ids", "--itemize-changes", "--checksum", "--delete", "\(original)/", "\(copy)/"]
    ).text
}
