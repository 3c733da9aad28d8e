import HostIO
import NodeFiles
import PKIBackup

/// Whether systemd runs backups.
enum TimerCheck {
    static let unit = "etcd-snap-backup.timer"

    /// Asks the systemd of this host; where there is none, only the last backup tells that something runs them.
    static func run(of root: NodeRoot) -> DoctorReport.Check {
        guard root.isHost else {
            return .init(name: "timer", status: .ok, message: "not asked: this is another node's root")
        }
        guard NodeRoot().attributes(of: "/run/systemd/system") != nil else {
            return .init(
                name: "timer", status: .ok,
                message: "systemd does not run here: what starts `etcd-snap backup` is not known, see the last backup")
        }
        let command = HostCommand(
            "systemctl", ["show", unit, "--property=LoadState,ActiveState,UnitFileState,NextElapseUSecRealtime"])
        guard case .output(let bytes) = command.run() else {
            return .init(
                name: "timer", status: .warning, message: "systemd can't be asked on this host",
                advice: "run `etcd-snap backup` by whatever runs things here")
        }
        return judge(String(decoding: bytes, as: UTF8.self))
    }

    /// Judges the properties that `systemctl show` prints, one a line.
    static func judge(_ text: String) -> DoctorReport.Check {
        let pairs = text.split(separator: "\n").compactMap { line -> (Substring, Substring)? in
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return parts.count == 2 ? (parts[0], parts[1]) : nil
        }
        let properties = Dictionary(pairs) { first, _ in first }
        guard properties["LoadState"] == "loaded" else {
            return .init(
                name: "timer", status: .warning, message: "\(unit) is not installed",
                advice: "install the units of the package, then `systemctl enable --now \(unit)`")
        }
        guard properties["ActiveState"] == "active" else {
            return .init(
                name: "timer", status: .warning,
                message: "\(unit) is \(properties["ActiveState"] ?? "unknown"), "
                    + "\(properties["UnitFileState"] ?? "unknown")",
                advice: "`systemctl enable --now \(unit)`")
        }
        let next = properties["NextElapseUSecRealtime"].map { ", next run \($0)" } ?? ""
        return .init(name: "timer", status: .ok, message: "\(unit) is active\(next)")
    }
}
