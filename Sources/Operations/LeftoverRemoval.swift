import HostIO
import NodeFiles
import PKIBackup
import SystemPackage

/// Removes what a killed run has left on a node: files of secrets in the clear under names that nobody looks at.
public enum LeftoverRemoval {
    /// Removes it, unless the restore still runs; what can't be removed is a warning, for it is not what was asked for.
    public static func run(root: NodeRoot, observer: Observer) {
        removeRegistered(observer: observer)
        do {
            let directory = try OpenDirectory(path: root.location(of: "/"))
            try PlacementJournal.removeLeftovers(below: directory).tell(observer)
        } catch let error as SystemCallError where [.permissionDenied, .notPermitted].contains(error.errno) {
            // Only root has restored in place there.
        } catch {
            // The unit of the timer sees a file system that it can't write to.
            observer.warn(
                "what an interrupted restore has left in the clear can't be removed: \(Failure(wrapping: error).message) "
                    + "(run `etcd-snap doctor` as root, or the same restore again)")
        }
    }

    /// Removes what killed runs of this user have left: beside targets of restores, files that were not done, and directories
    /// in which servers were booted.
    public static func removeRegistered(observer: Observer) {
        for path in StagingRegister.removeLeftovers() { observer.warn(sentence(path)) }
    }

    static func sentence(_ path: String) -> String {
        let isScratch = lastName(path).hasPrefix(StagingRegister.scratchPrefix)
        return
            "removed \(quoted(path)), left by an interrupted \(isScratch ? "drill, or by a survivor that was booted" : "restore")"
    }
}

extension PlacementJournal.Leftovers {
    /// Says what was removed, and what is still kept in the clear.
    func tell(_ observer: Observer) {
        for path in removed { observer.warn(LeftoverRemoval.sentence(path)) }
        guard let keptPath else { return }
        observer.warn(
            "what an interrupted restore had replaced is kept in the clear in \(quoted(keptPath)); remove it with: "
                + "rm -r \(keptPath)")
    }
}
