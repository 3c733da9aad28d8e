import Foundation
import HostIO
import Testing

/// The name of an entry, which the test says is one.
func entry(_ text: String) throws -> EntryName { try #require(EntryName(text.utf8)) }

/// A name that is not valid UTF-8.
let brokenName: [UInt8] = [0x66, 0xFF, 0x0A, 0xC3]

func contents(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }

func names(in path: String) throws -> [String] { try OpenDirectory(path: path).utf8Names() }

/// The permission bits of a file.
func mode(_ path: String) throws -> UInt16 {
    let directory = try OpenDirectory(path: URL(filePath: path).deletingLastPathComponent().path)
    return try directory.attributes(of: entry(URL(filePath: path).lastPathComponent)).mode
}
