import HostIO
import NodeFiles

#if canImport(Glibc)
    import Glibc
#endif

/// Patterns of paths as glob(7) has them, looked up on the node.
enum FilePattern {
    /// The paths that an absolute pattern stands for, sorted; a pattern without special characters stands for itself.
    static func paths(matching pattern: String, in root: NodeRoot) -> [String] {
        guard pattern.hasPrefix("/") else { return [] }
        var paths = ["/"]
        for part in pattern.split(separator: "/").map(String.init) where part != "." {
            guard part.contains(where: { "*?[".contains($0) }) else {
                paths = paths.map { joinPath($0, part) }
                continue
            }
            paths = paths.flatMap { directory in
                ((try? root.names(in: directory)) ?? []).filter { fnmatch(part, $0, FNM_PERIOD) == 0 }
                    .map { joinPath(directory, $0) }
            }
        }
        return paths.filter(root.hasEntry)
    }
}
