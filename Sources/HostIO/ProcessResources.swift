internal import CLinux
import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#endif

/// The number of cores this process may use, at least 1: the affinity mask, and the control group's CPU quota rounded up.
///
/// The quota is read from `cpu.max` (control groups version 2, `Documentation/admin-guide/cgroup-v2.rst`) of the root
/// that the process sees; systemd's `CPUQuota=` appears in the unit's own group, found through `/proc/self/cgroup`.
public func availableCoreCount() -> Int {
    var count = ProcessInfo.processInfo.activeProcessorCount
    if let quota = controlGroupCoreQuota() { count = min(count, quota) }
    return max(1, count)
}

/// Makes this process give way: its threads no longer preempt others that wake up (`SCHED_BATCH`, sched(7)).
///
/// Neither a control plane's requests nor the etcd that a snapshot comes from then wait for a time slice of the backup.
/// Where a unit's system-call filter refuses that, it is for the unit to say.
public func scheduleAsBatch() { _ = clinux_schedule_as_batch() }

/// Lets this process have as many files open as it may, up to what it can use.
///
/// - Throws: ``Failure`` if that is less than what a command needs at most.
public func raiseOpenFileLimit() throws(Failure) {
    let needed = 64
    let limit = clinux_raise_open_file_limit()
    guard limit < needed, limit >= 0 else { return }
    throw Failure(
        .failed, "only \(limit) files may be open at a time, and \(needed) are needed",
        hint: "raise the limit: ulimit -n \(needed), or LimitNOFILE= of the unit")
}

private func controlGroupCoreQuota() -> Int? {
    let group = firstLine(of: "/proc/self/cgroup").flatMap { line in
        line.hasPrefix("0::") ? String(line.dropFirst(3)) : nil
    }
    let line = firstLine(of: "/sys/fs/cgroup\(group ?? "")/cpu.max") ?? firstLine(of: "/sys/fs/cgroup/cpu.max")
    guard let line else { return nil }
    let fields = line.split(separator: " ")
    guard fields.count == 2, let quota = Int(fields[0]), let period = Int(fields[1]), period > 0 else { return nil }
    return max(1, (quota + period - 1) / period)
}

private func firstLine(of path: String) -> String? {
    guard let file = fopen(path, "re") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 4096)
    guard fgets(&line, CInt(line.count), file) != nil else { return nil }
    return String(decoding: line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
