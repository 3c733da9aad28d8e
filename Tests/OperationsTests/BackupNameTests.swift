import ArchiveStore
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

    /// Where a store is named, names as its directory shows them are those of backups.
    @Test func fileNamesInAStore() throws {
        let scratch = try TemporaryDirectory()
        let store = LocalStore(root: scratch.path)
        let id = "20261123T030000Z-abcdef"
        for name in ["\(id).tar.zst.age", "\(id).json"] {
            #expect(BackupName(name, store: store) == .reference(id))
            #expect(BackupName("prod/cp-0/\(name)", store: store, isStoreMeant: true) == .reference("prod/cp-0/\(id)"))
            for path in ["./\(name)", "/x/\(name)", "a/\(name)", "a/b/c/\(name)"] {
                #expect(BackupName(path, store: store, isStoreMeant: true) == .path(path))
            }
        }
        #expect(BackupName("x.json", store: store) == .path("x.json"))
    }

    @Test func whatIsThere() throws {
        let scratch = try TemporaryDirectory()
        let relative = scratch.path.split(separator: "/").map { _ in ".." }.joined(separator: "/") + scratch.path
        try #require(!relative.hasPrefix("/"))
        for name in ["file", "2026"] { try scratch.write("x", to: name) }
        #expect(BackupName("\(relative)/file") == .path("\(relative)/file"))
        #expect(BackupName(scratch.file("2026")) == .path(scratch.file("2026")))
    }
}
