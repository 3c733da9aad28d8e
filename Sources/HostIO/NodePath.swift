/// Whether an absolute path is another one or below it.
public func isPath(_ path: String, atOrBelow other: String) -> Bool {
    path == other || other == "/"
        || path.utf8.starts(with: other.utf8) && path.utf8.dropFirst(other.utf8.count).first == 0x2F
}

/// A directory and what is below it as one path, without doubled slashes.
public func joinPath(_ directory: String, _ rest: String) -> String {
    let parts = directory.split(separator: "/") + rest.split(separator: "/")
    return "/" + parts.filter { $0 != "." }.joined(separator: "/")
}

/// A path as a file in `directory` means it: itself if it is absolute, else below the directory.
public func absolutePath(_ path: String, from directory: String) -> String {
    path.hasPrefix("/") ? joinPath("/", path) : joinPath(directory, path)
}

/// The directory that a path is in.
public func parentPath(_ path: String) -> String {
    let parts = path.split(separator: "/")
    return "/" + parts.dropLast().joined(separator: "/")
}

/// The last component of a path.
public func lastName(_ path: some StringProtocol) -> String {
    var bytes = Substring(path).utf8
    while bytes.last == 0x2F { bytes.removeLast() }
    let start = bytes.lastIndex(of: 0x2F).map { bytes.index(after: $0) } ?? bytes.startIndex
    return String(Substring(bytes[start...]))
}
