import Foundation
import TestSupport
import Testing

@testable import Operations

@Suite struct BackupNameTests {
    /// What can be an identifier or its beginning is a reference, whatever there is.
    @Test(arguments: [
        "latest", "2026", "20261123T030000Z-abcdef", "20261123T030000Z-a", "prod/cp-0/2026", "prod.example/cp.0/latest",
        "nonexist", "prod/cp-0/nonexist", "a/b", "",
    ])
    func references(text: String) { #expect(BackupName(text) == .reference(text)) }

    @Test(arguments: [
        "/x", "./x", "../x", "x.age", "x.json", "x.db", "dir/x.db", "a/b/c.db", "a/b/c/d", "dir/", "2026.db",
        "20261123T030000Z-abcdef.tar.zst.age", "latest.db", "/2026",
    ])
    func paths(text: String) { #expect(BackupName(text) == .path(text)) }

    @Test func whatIsThere() throws {
        let scratch = try TemporaryDirectory()
        let relative = scratch.path.split(separator: "/").map { _ in ".." }.joined(separator: "/") + scratch.path
        try #require(!relative.hasPrefix("/"))
        for name in ["file", "2026"] { try scratch.write("x", to: name) }
        #expect(BackupName("\(relative)/file") == .path("\(relative)/file"))
        #expect(BackupName(scratch.file("2026")) == .path(scratch.file("2026")))
    }
}
