import Foundation
import HostIO
import TestSupport
import Testing

@testable import NodeFiles

@Suite struct PathLookupTests {
    private let tree: NodeTree

    init() throws { tree = try NodeTree() }

    private func word(_ lookup: PathLookup) -> String {
        switch lookup {
        case .found: "found"
        case .missing: "missing"
        case .unreadable: "unreadable"
        }
    }

    @Test func whatCantBeLookedAtIsNotMissing() throws {
        try shell("mkdir d; touch d/file; ln -s loop loop; ln -s nowhere dangling; ln -s d/file link", in: tree.path)
        let expected = [
            "/d": "found", "/d/file": "found", "/link": "found", "/d/none": "missing", "/none/below": "missing",
            "/d/file/below": "missing", "/dangling": "missing", "/loop": "unreadable", "/loop/below": "unreadable",
        ]
        for (path, word) in expected { #expect(self.word(tree.root.lookUp(path)) == word, "\(path)") }
    }

    @Test(.enabled(if: isRoot, "only root can become another user")) func whatIsForbiddenIsNotMissing() throws {
        try shell("mkdir -m 0700 secret; touch secret/file; chmod 755 .", in: tree.path)
        try withFileUser(65_534) {
            #expect(word(tree.root.lookUp("/secret/file")) == "unreadable")
            #expect(word(tree.root.lookUp("/secret/none")) == "unreadable")
        }
    }
}
