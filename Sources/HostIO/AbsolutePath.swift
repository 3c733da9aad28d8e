import FoundationEssentials
import SystemPackage

/// A path of this host without `.`, `..` and doubled slashes, a relative one from the working directory; symbolic links
/// stay what they are.
public func absolutePath(_ path: String) -> FilePath {
    FilePath(FileManager.default.currentDirectoryPath).pushing(FilePath(path)).lexicallyNormalized()
}
