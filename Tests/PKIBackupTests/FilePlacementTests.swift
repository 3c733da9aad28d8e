import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

/// Members that mean to reach outside the directory that they are placed in.
@Suite struct FilePlacementTests {
    let laboratory: Laboratory
    let scratch: TemporaryDirectory
    /// The directory to place in; beside it are `outside/` and `victim`, which nothing may touch.
    let root: String
    let outside: String

    init() throws {
        laboratory = try Laboratory()
        scratch = laboratory.scratch
        root = scratch.file("root")
        outside = scratch.file("outside")
        try shell(
            "mkdir root outside; printf kept > outside/kept; printf kept > victim; chmod 640 victim", in: scratch.path)
        try shell("touch -d 2001-01-01 outside/kept victim outside", in: scratch.path)
    }

    private struct Member {
        var path: String
        var kind = EntryKind.file
        var target: String?
        var bytes: [UInt8] = Array("evil".utf8)
    }

    private func place(_ members: [Member], changing change: (inout EntryMetadata) -> Void = { _ in }) throws {
        let (reader, _) = try laboratory.archive { writer in
            for member in members {
                let bytes = member.kind == .file ? member.bytes : []
                var metadata = EntryMetadata(
                    path: Array(member.path.utf8), kind: member.kind, byteCount: bytes.count, mode: 0o777,
                    modifiedAt: backupTime)
                metadata.linkTarget = member.target.map { Array($0.utf8) }
                change(&metadata)
                try writer.add(metadata, role: EntryRole.include, bytes: bytes)
            }
        }
        try laboratory.place(reader, in: root)
    }

    /// What is outside, with modes, owners and times, which must be the same before and after.
    private func outsideState() throws -> String {
        try run("find", [outside, scratch.file("victim"), "-printf", "%p %y %m %u %g %s %T@ %n %l\\n"]).text
            + run("cat", [outside + "/kept", scratch.file("victim")]).text
    }

    private func expectRefusal(
        _ members: [Member], code: Failure.Code? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try run("rm", ["-rf", root])
        let before = try outsideState()
        let error = #expect(throws: (any Error).self, sourceLocation: sourceLocation) { try place(members) }
        if let code, let error { #expect(Failure(wrapping: error).code == code, sourceLocation: sourceLocation) }
        #expect(try outsideState() == before, sourceLocation: sourceLocation)
    }

    @Test(arguments: ["../victim", "a/../../victim", "..", "a/..", "a/../b", "/etc/etcd-snap-test", "//x", "."])
    func pathsThatLeadOut(path: String) throws {
        try expectRefusal([Member(path: path)], code: .integrity)
    }

    @Test(arguments: ["../outside", "a/../../outside"])
    func directoriesAndLinksThatLeadOut(path: String) throws {
        try expectRefusal([Member(path: "\(path)/new", kind: .directory)], code: .integrity)
        try expectRefusal([Member(path: "\(path)/new", kind: .symbolicLink, target: "x")], code: .integrity)
        try expectRefusal([Member(path: "\(path)/new", kind: .hardLink, target: "x")], code: .integrity)
    }

    @Test func membersBelowALinkOfTheArchive() throws {
        let link = Member(path: "a", kind: .symbolicLink, target: outside)
        try expectRefusal([link, Member(path: "a/file")])
        try expectRefusal([link, Member(path: "a/new", kind: .directory)])
        try expectRefusal([link, Member(path: "a", kind: .directory)])
        try expectRefusal([link, Member(path: "a/new", kind: .symbolicLink, target: "x")])
        try expectRefusal([link, Member(path: "b/c"), Member(path: "a/new", kind: .hardLink, target: "b/c")])
    }

    @Test func filesThroughALinkOfTheirName() throws {
        let link = Member(path: "a", kind: .symbolicLink, target: scratch.file("victim"))
        try expectRefusal([link, Member(path: "a")])
        let dangling = Member(path: "a", kind: .symbolicLink, target: "\(outside)/new")
        try expectRefusal([dangling, Member(path: "a")])
        try expectRefusal([link, Member(path: "b", kind: .hardLink, target: "a"), Member(path: "b")])
    }

    @Test func hardLinksToTheOutside() throws {
        for target in ["../victim", scratch.file("victim"), "/etc/passwd", "x/../../victim"] {
            try expectRefusal([Member(path: "a", kind: .hardLink, target: target)], code: .integrity)
        }
        let link = Member(path: "l", kind: .symbolicLink, target: outside)
        try expectRefusal([link, Member(path: "a", kind: .hardLink, target: "l/kept")])
        try expectRefusal([Member(path: "a", kind: .hardLink, target: "none")])
        try expectRefusal([Member(path: "a", kind: .hardLink, target: "")])
    }

    /// The mode of a link is not set, for that would be its target's.
    @Test func linksAreOnlyLinks() throws {
        let before = try outsideState()
        try place([
            Member(path: "a", kind: .symbolicLink, target: scratch.file("victim")),
            Member(path: "b", kind: .hardLink, target: "a"),
            Member(path: "c", kind: .symbolicLink, target: outside),
        ])
        #expect(try outsideState() == before)
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "\(root)/b") == scratch.file("victim"))
    }

    @Test func nothingIsReplaced() throws {
        try shell("printf mine > a; mkdir d; printf mine > d/f; ln -s a l", in: root)
        for member in [
            Member(path: "a"), Member(path: "d/f"), Member(path: "d"), Member(path: "l"),
            Member(path: "a", kind: .directory), Member(path: "a", kind: .symbolicLink, target: "x"),
            Member(path: "d", kind: .symbolicLink, target: "x"), Member(path: "l", kind: .hardLink, target: "a"),
            Member(path: "a/below"), Member(path: "l/below"),
        ] {
            #expect(throws: (any Error).self, "\(member.path)") { try place([member]) }
            // The archive's own header was placed before.
            unlink("\(root)/etcd-snap.json")
        }
        #expect(try String(contentsOfFile: "\(root)/a", encoding: .utf8) == "mine")
        #expect(try String(contentsOfFile: "\(root)/d/f", encoding: .utf8) == "mine")
        #expect(try OpenDirectory(path: root).utf8Names() == ["a", "d", "l"])
    }

    @Test func duplicateMembersAreRefused() throws {
        try expectRefusal([Member(path: "a"), Member(path: "a")])
        #expect(try String(contentsOfFile: "\(root)/a", encoding: .utf8) == "evil")
        try expectRefusal([Member(path: "b"), Member(path: "./b")])
        try expectRefusal([Member(path: "manifest.json")])
    }

    @Test func absurdAttributesFailSafely() throws {
        let before = try outsideState()
        func place(_ members: [Member], changing change: (inout EntryMetadata) -> Void = { _ in }) {
            _ = try? run("rm", ["-rf", root])
            try? self.place(members, changing: change)
        }
        place([Member(path: "a")]) { $0.modificationSeconds = .max }
        place([Member(path: "b")]) { $0.modificationSeconds = .min }
        place([Member(path: "c")]) { $0.userID = .max }
        place([Member(path: "d")]) {
            $0.extendedAttributes = [
                ExtendedAttribute(name: String(repeating: "n", count: 5000), value: Data(count: 70_000))
            ]
        }
        place([Member(path: String(repeating: "n", count: 300))])
        #expect(try outsideState() == before)
    }

    @Test func directoriesWithoutWriteAreFilled() throws {
        try place([Member(path: "d", kind: .directory), Member(path: "d/e/f")]) { metadata in
            if metadata.kind == .directory { metadata.mode = 0o500 }
        }
        #expect(try String(contentsOfFile: "\(root)/d/e/f", encoding: .utf8) == "evil")
        let text = try run("stat", ["-c", "%a %Y", "\(root)/d"]).text
        #expect(text == "500 1795402800\n")
    }

    /// Whoever may rename entries where files are placed can't have their attributes set on something else.
    @Test(arguments: [true, false]) func attributesAreNotDiverted(isReplacing: Bool) throws {
        try shell("mkdir root/there", in: scratch.path)
        let before = try outsideState()
        let victim = scratch.file("victim")
        let (reader, _) = try laboratory.archive { writer in
            var metadata = EntryMetadata(
                path: Array("there/file".utf8), kind: .file, byteCount: 4, mode: 0o6777, modifiedAt: backupTime)
            metadata.userID = 12
            metadata.extendedAttributes = [ExtendedAttribute(name: "user.x", value: Data([1]))]
            try writer.add(metadata, role: EntryRole.include, bytes: Array("evil".utf8))
        }
        let directory = try OpenDirectory(path: root)
        let placement = try isReplacing ? FilePlacement(replacingIn: directory) : FilePlacement(root: directory)
        try reader.forEachMember { member in
            guard member.metadata.displayPath == "there/file" else { return try member.forEachPiece { _ in } }
            try? placement.place(member) { _ in
                let directory = "\(root)/there"
                for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] {
                    rename("\(directory)/\(name)", "\(directory)/moved")
                    symlink(victim, "\(directory)/\(name)")
                }
            }
        }
        try? placement.finish()
        #expect(try outsideState() == before)
        #expect(try run("getfattr", [victim]).text == "")
        #expect(try run("stat", ["-c", "%a", "\(root)/there/moved"]).text == "6777\n")
    }

    @Test(arguments: ["ln -s ../outside root/d", "mkdir root/d", "mkdir root/d; touch root/d/mine"])
    func directoriesAreNotDivertedEither(script: String) throws {
        let before = try outsideState()
        let (reader, _) = try laboratory.archive { writer in
            let metadata = EntryMetadata(path: Array("d".utf8), kind: .directory, mode: 0o777, modifiedAt: backupTime)
            try writer.add(metadata, role: EntryRole.include)
        }
        let placement = FilePlacement(root: try OpenDirectory(path: root))
        try reader.forEachMember { try placement.place($0) }
        try shell("mv root/d moved; \(script); chmod -f 711 root/d || :", in: scratch.path)
        let state = try run("stat", ["-c", "%a", "\(root)/d"]).text
        try shell("touch -d 2001-01-01 outside; chmod 755 outside", in: scratch.path)
        #expect(throws: (any Error).self) { try placement.finish() }
        #expect(try run("stat", ["-c", "%a", "\(root)/d"]).text == state)
        #expect(try outsideState() == before || script.hasPrefix("ln"))
        #expect(try run("stat", ["-c", "%a", outside]).text == "755\n")
    }
}
