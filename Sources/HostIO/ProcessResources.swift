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

/// Lets this process have as many open files and as much address space as it may.
///
/// - Throws: ``Failure`` if that is less than what a command needs at most: libraries end the process where it runs out.
public func raiseLimits() throws(Failure) {
    let neededFileCount = 64
    let fileCount = clinux_raise_open_file_limit()
    if fileCount >= 0, fileCount < neededFileCount {
        throw Failure(
            .failed, "only \(fileCount) files may be open at a time, and \(neededFileCount) are needed",
            hint: "raise the limit: ulimit -n \(neededFileCount), or LimitNOFILE= of the unit")
    }
    let neededMiB: UInt64 = 512
    let mebibytes = clinux_raise_address_space_limit() >> 20
    if mebibytes < neededMiB {
        throw Failure(
            .failed, "only \(mebibytes) MiB of memory may be mapped, and \(neededMiB) MiB are needed",
            hint: "raise the limit: ulimit -v \(neededMiB << 10), or LimitAS= of the unit; memory.max is a better one")
    }
}

/// The most memory, in bytes, that the control group of this process allows; nil where none limits it or it can't be told.
///
/// The kernel ends a process without a word that takes more.
public func memoryLimitByteCount() -> Int? {
    let unified = controlGroup("::").map { "/sys/fs/cgroup\($0)/memory.max" }
    let legacy = controlGroup(":memory:").map { "/sys/fs/cgroup/memory\($0)/memory.limit_in_bytes" }
    let limits = [unified, legacy].compactMap { $0 }.compactMap { firstLine(of: $0) }.compactMap { Int($0) }
    return limits.min()
}

/// The memory, in bytes, that can be had now without taking it from others: what the kernel says of the host
/// (`MemAvailable`, proc(5)), and what the control group of this process leaves; nil where neither can be told.
public func availableMemoryByteCount() -> Int? {
    let host = lines(of: "/proc/meminfo").lazy.compactMap { line -> Int? in
        let fields = line.split(separator: " ")
        guard fields.count >= 2, fields[0] == "MemAvailable:" else { return nil }
        return Int(fields[1]).map { $0 << 10 }
    }.first
    return [host, controlGroupAvailableByteCount()].compactMap(\.self).min()
}

/// What the control group leaves, if it is one of version 2; the page cache of files counts as free.
private func controlGroupAvailableByteCount() -> Int? {
    guard let group = controlGroup("::").map({ "/sys/fs/cgroup\($0)" }),
        let limit = firstLine(of: "\(group)/memory.max").flatMap({ Int($0) }),
        let current = firstLine(of: "\(group)/memory.current").flatMap({ Int($0) })
    else { return nil }
    var statistics: [Substring: Int] = [:]
    for line in lines(of: "\(group)/memory.stat") {
        let fields = line.split(separator: " ")
        if fields.count == 2, let value = Int(fields[1]) { statistics[fields[0]] = value }
    }
    let cache = max(0, (statistics["file"] ?? 0) - (statistics["shmem"] ?? 0))
    return max(0, limit - current + cache)
}

/// The path of this process' control group: `::` for that of version 2, `:memory:` and such for version 1
/// (cgroups(7), `/proc/pid/cgroup`).
private func controlGroup(_ controllers: String) -> String? {
    for line in lines(of: "/proc/self/cgroup") {
        guard let colon = line.firstIndex(of: ":") else { continue }
        let rest = line[colon...]
        if rest.hasPrefix(controllers) { return String(rest.dropFirst(controllers.count)) }
    }
    return nil
}

private func controlGroupCoreQuota() -> Int? {
    let group = controlGroup("::")
    let line = firstLine(of: "/sys/fs/cgroup\(group ?? "")/cpu.max") ?? firstLine(of: "/sys/fs/cgroup/cpu.max")
    guard let line else { return nil }
    let fields = line.split(separator: " ")
    guard fields.count == 2, let quota = Int(fields[0]), let period = Int(fields[1]), period > 0 else { return nil }
    return max(1, (quota + period - 1) / period)
}

private func firstLine(of path: String) -> String? { lines(of: path).first }

private func lines(of path: String) -> [String] {
    guard let file = fopen(path, "re") else { return [] }
    defer { fclose(file) }
    var result: [String] = []
    var line = [CChar](repeating: 0, count: 4096)
    while fgets(&line, CInt(line.count), file) != nil {
        let bytes = line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
        result.append(String(decoding: bytes, as: UTF8.self))
    }
    return result
}
