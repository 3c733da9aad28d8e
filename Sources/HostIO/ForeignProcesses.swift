import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Processes of this host that this one did not start, as `/proc` shows them (proc(5)).
public enum ForeignProcesses {
    /// Kills those that a run before has left in a directory: they run there, and have a variable of their environment that
    /// nobody else sets; waits until they are gone.
    ///
    /// - Parameters:
    ///   - directory: its path without symbolic links.
    ///   - variable: as `NAME=value`.
    /// - Returns: how many there were.
    @discardableResult
    public static func killLeftovers(in directory: String, having variable: String) -> Int {
        let found = all().filter { process in
            guard process != getpid(), let place = link("/proc/\(process)/cwd") else { return false }
            let path = place.hasSuffix(" (deleted)") ? String(place.dropLast(10)) : place
            return isPath(path, atOrBelow: directory) && environment(of: process).contains(variable)
        }
        for process in found { kill(process, SIGKILL) }
        for process in found {
            // One that is a zombie has no directory any more.
            for _ in 0..<2_000 where link("/proc/\(process)/cwd") != nil { usleep(1_000) }
        }
        return found.count
    }

    /// The files of the programs of a name that run, each to be opened through its process.
    public static func programs(named name: String) -> [String] {
        all().filter { file("/proc/\($0)/comm") == "\(name)\n" }.map { "/proc/\($0)/exe" }
            .filter { access($0, R_OK) == 0 }
    }

    private static func all() -> [pid_t] {
        ((try? OpenDirectory(path: "/proc").utf8Names()) ?? []).compactMap { pid_t($0) }
    }

    private static func link(_ path: String) -> String? {
        var bytes = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }

    private static func environment(of process: pid_t) -> [String] {
        (file("/proc/\(process)/environ") ?? "").split(separator: "\0").map(String.init)
    }

    private static func file(_ path: String) -> String? {
        guard let descriptor = try? openForReading(path) else { return nil }
        defer { try? descriptor.close() }
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        guard let count = try? bytes.withUnsafeMutableBytes({ try readSome(descriptor, name: path, into: $0) }) else {
            return nil
        }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
