import Foundation
import TestSupport
import Testing

extension Integration {
    /// A removal makes room, so it must not need any.
    @Suite(.timeLimit(.minutes(2))) struct FullStoreTests {
        @Test func aStoreWithoutAFreeByteLetsDeleteWork() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            try store.makeBackup()
            let place = try TemporaryDirectory()
            // A file system of its own, in a mount namespace that ends with the script.
            let script = """
                set -e
                mount -t tmpfs -o size=8m none "$1"
                cp -a "$2/." "$1"
                cat /dev/zero >"$1/filler" 2>/dev/null || true
                "$3" delete latest --yes --store "$1" --cluster test --node node
                rm "$1/filler"
                "$3" list --store "$1"
                """
            let result = try run(
                "unshare", ["-m", "sh", "-c", script, "sh", place.path, store.root, try SnapTool.executable()],
                allowsFailure: true)
            #expect(result.status == 0, "\(result.errorText)")
        }
    }
}
