import HostIO
import TestSupport
import Testing

@testable import S3

@Suite struct XMLTests {
    private func read(_ text: String) throws -> XMLElement { try XMLTree.read(Array(text.utf8)) }

    private func problem(_ text: String) -> XMLProblem? {
        do throws(XMLProblem) {
            _ = try XMLTree.read(Array(text.utf8))
            return nil
        } catch {
            return error
        }
    }

    @Test func documentsBecomeTrees() throws {
        let root = try read(
            "\n<?xml version=\"1.0\" encoding=\"UTF-8\"?><!-- c --><a:Root xmlns:a=\"urn:x\" xmlns='y'><Key> a &lt;b&gt;&#32;"
                + "<![CDATA[<&]]> </Key><Empty/><x:Item xmlns:x='z'>1</x:Item><Item>2</Item></a:Root>\n")
        #expect(root.name == "Root" && root["Key"] == " a <b> <& " && root["Empty"] == "" && root["Other"] == nil)
        #expect(root.all("Item").map(\.text) == ["1", "2"])
    }

    @Test func blanksBeforeTheDeclarationAreRead() throws {
        // CompleteMultipartUpload keeps the connection alive by them.
        #expect(try read("<?xml version=\"1.0\"?>\n   \n<R/>").name == "R")
        #expect(try read("   <R/>").name == "R")
        #expect(try read("  \n <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<R/>").name == "R")
    }

    @Test(arguments: [
        "<!DOCTYPE html><html></html>", "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>",
        "<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a>&e;</a>",
        "<!DOCTYPE a SYSTEM \"http://127.0.0.1/\"><a/>",
        "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY % p SYSTEM 'file:///etc/passwd'> %p;]><a/>",
    ])
    func typeDeclarationsAreRefused(text: String) {
        guard case .malformed(let problem)? = problem(text) else { return #expect(Bool(false), "\(text)") }
        #expect(problem.contains("document type"))
    }

    @Test(arguments: [
        "<a>&nbsp;</a>", "<a></b>", "<a/><b/>", "hello", "{\"a\":1}", "<a b=c/>", "<a>\u{1}</a>",
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a>x</b>", "<html><br></html>",
    ])
    func othersAreMalformed(text: String) {
        guard case .malformed? = problem(text) else { return #expect(Bool(false), "\(text)") }
    }

    @Test func bytesThatAreNoTextAreMalformed() {
        for bytes: [UInt8] in [[0x3C, 0x61, 0x3E, 0xFF, 0x3C], [0xFF, 0xFE, 0x3C, 0x00], [0x1F, 0x8B, 0x08, 0x00]] {
            #expect(throws: XMLProblem.self) { try XMLTree.read(bytes) }
        }
    }

    @Test func limitsHold() throws {
        let nested = { (count: Int) in
            String(repeating: "<a>", count: count) + String(repeating: "</a>", count: count)
        }
        #expect(try read(nested(XMLTree.maximumDepth)).name == "a")
        #expect(problem(nested(XMLTree.maximumDepth + 1)) != nil && problem(nested(1_000_000)) != nil)
        let wide = "<r>" + String(repeating: "<a/>", count: XMLTree.maximumElementCount) + "</r>"
        #expect(problem(wide)?.text.contains("elements") == true)
        let large = "<r>" + String(repeating: "x", count: XMLTree.maximumByteCount) + "</r>"
        #expect(problem(large)?.text.contains("bytes") == true)
    }

    /// A body of each operation, cut everywhere: never half an answer, and never a crash.
    @Test(arguments: [
        "list", "list-delimited", "parts", "uploads", "complete", "delete-several", "lock-default", "versioning-on",
        "create",
    ])
    func whatIsCutIsSaidToBeCut(name: String) throws {
        let body = try recorded("seaweedfs/\(name)").body
        let end = try #require(body.lastIndex(of: UInt8(ascii: ">")))
        #expect(body.count > 100)
        for count in 0...end {
            let problem = #expect(throws: XMLProblem.self) { try XMLTree.read(Array(body[..<count])) }
            guard case .cut? = problem else {
                #expect(Bool(false), "\(name) cut at \(count): \(problem?.text ?? "")")
                continue
            }
        }
        #expect(throws: Never.self) { try XMLTree.read(Array(body[...end])) }
    }

    @Test func flippedBitsNeverCrash() throws {
        var generator = SeededGenerator(seed: 11)
        var readable = 0
        for name in ["list-encoded", "parts", "uploads", "delete-several-locked", "complete-small"] {
            let answer = try recorded("seaweedfs/\(name)")
            for _ in 0..<500 {
                var damaged = answer
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    let index = Int.random(in: 0..<damaged.body.count, using: &generator)
                    damaged.body[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                }
                damaged.status = 200
                for outcome in [
                    try? ListObjects().output(of: damaged).objects.count,
                    try? ListParts(S3Key("k"), uploadID: "u").output(of: damaged).parts.count,
                    try? ListMultipartUploads().output(of: damaged).uploads.count,
                    try? DeleteObjects([.init(S3Key("held"))]).output(of: damaged).failures.count,
                ] where outcome != nil { readable += 1 }
                let error = S3Error(damaged, to: ListObjects().request)
                let shown = error.failure.message + (error.failure.hint ?? "")
                #expect(shown == printable(shown))
            }
        }
        #expect(readable > 20)
    }

    @Test func writtenTextsAreReadAgain() throws {
        let text = "a<b>&\"c'\r\n\t]]> ü😀"
        #expect(try XMLTree.read(XMLText.document("R", XMLText.element("K", text)))["K"] == text)
    }
}
