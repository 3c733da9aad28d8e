import Crypto
import FoundationEssentials
import HostIO
import KubernetesAPI
import SealedArchive
import SystemPackage

/// A plan's document has the digest of itself, so that what was cut or changed on its way to a host is not carried out.
extension RebuildPlan {
    /// The field of the document that has the digest.
    private static let digestField = "sha256"
    private static let largestByteCount = 64 << 20

    /// By what people see that hosts have the same plan: the beginning of its digest.
    ///
    /// Each plan has a token of its own, by which members know each other: those of two plans are never one cluster, even if
    /// all else is the same.
    public var id: String { Self.id(ofDigest: sha256 ?? "") }

    static func id(ofDigest digest: String) -> String { String(digest.prefix(12)) }

    /// The plan with its digest.
    func sealed() throws -> RebuildPlan {
        var plan = self
        plan.sha256 = nil
        plan.sha256 = try Self.digest(of: DocumentCoding.encode(plan))
        return plan
    }

    /// SHA-256 of a document without its digest, in one form whatever its spaces and the order of its fields are.
    ///
    /// Fields that this program does not know count too.
    static func digest(of document: [UInt8]) throws -> String {
        let value = try JSONDecoder().decode(JSONValue.self, from: Data(document))
        guard case .object(var fields) = value else { return "" }
        fields[digestField] = nil
        return Array(SHA256.hash(data: try JSONValue.object(fields).bytes)).hexadecimal
    }

    /// Reads a plan's document.
    ///
    /// - Parameter path: its file, for messages.
    /// - Throws: ``Failure`` with the code `integrity` for what is none, is not as it was made, or is of a later version.
    public static func decode(_ bytes: [UInt8], name path: String) throws -> RebuildPlan {
        try decode(bytes, path, next: anotherCopy)
    }

    /// Reads a plan's file.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there is none; as of ``decode(_:name:)``.
    public static func read(_ path: String) throws -> (plan: RebuildPlan, document: [UInt8]) {
        do {
            let file = try RandomAccessFile(regular: path)
            let bytes = try file.bytes(at: 0, count: min(file.byteCount, largestByteCount))
            return (try decode(bytes, name: path), bytes)
        } catch let error as SystemCallError where error.errno == .noSuchFileOrDirectory {
            throw Failure(
                .notFound, "there is no plan in \(quoted(path))",
                hint: "have `etcd-snap rebuild plan` write it once, and copy it to every host", settings: [.plan])
        }
    }

    /// Reads the plan that a rebuild was begun by.
    ///
    /// - Throws: ``Failure`` if it is not there, or is not the one that the journal was begun with.
    static func read(of journal: RebuildJournal) throws -> (plan: RebuildPlan, document: [UInt8]) {
        let path = journal.directory.path(of: RebuildJournal.planName)
        let next = Next(
            hint:
                "name the plan's own file: `etcd-snap rebuild apply` goes on with it, and `etcd-snap rebuild finish` finishes; "
                + "`etcd-snap rebuild undo` needs none", settings: [.plan] + RebuildUndo.settings(journal.root))
        guard journal.directory.contains(RebuildJournal.planName) else {
            throw Failure(
                .integrity, "the plan of the rebuild, \(quoted(path)), is not there any more", hint: next.hint,
                settings: next.settings)
        }
        let file = try RandomAccessFile(regular: path)
        let bytes = try file.bytes(at: 0, count: min(file.byteCount, largestByteCount))
        let plan = try decode(bytes, path, next: next)
        guard let begin = journal.begin, begin.planSHA256 == plan.sha256 else {
            throw Failure(
                .integrity,
                "\(quoted(path)) is the plan \(plan.id), and the rebuild was begun by the plan "
                    + id(ofDigest: journal.begin?.planSHA256 ?? ""), hint: next.hint, settings: next.settings)
        }
        return (plan, bytes)
    }

    /// What a person does about a plan that is not whole.
    private struct Next {
        var hint: String
        var settings: [Failure.Setting] = []
    }

    private static let anotherCopy = Next(
        hint:
            "copy the whole file again from the host that it was made on, or make it again with `etcd-snap rebuild plan` and take "
            + "that one to every host; it is never changed by hand")

    private static func decode(_ bytes: [UInt8], _ path: String, next: Next) throws -> RebuildPlan {
        struct Head: Decodable { var formatVersion: Int }
        func refusal(_ what: String, cause: (any Error)? = nil) -> Failure {
            Failure(.integrity, "\(quoted(path)) \(what)", hint: next.hint, settings: next.settings, cause: cause)
        }
        guard !bytes.isEmpty else { throw refusal("is empty, and was to be the plan of a rebuild") }
        func decoded<Document: Decodable>(_ type: Document.Type) throws -> Document {
            do {
                return try DocumentCoding.decode(type, from: bytes, name: path)
            } catch let failure as Failure {
                throw refusal(
                    "is no plan of a rebuild, or was cut or changed (\(bytes.count) bytes)", cause: failure.cause)
            }
        }
        let version = try decoded(Head.self).formatVersion
        guard version <= formatVersion else {
            throw Failure(
                .integrity,
                "the plan \(quoted(path)) has the version \(version), and this program knows \(formatVersion)",
                hint: "use the program that made it on every host")
        }
        let plan = try decoded(RebuildPlan.self)
        guard let recorded = plan.sha256 else {
            throw refusal("has no digest of itself: it was changed, or an earlier etcd-snap made it")
        }
        let found = try digest(of: bytes)
        guard found == recorded else {
            throw refusal(
                "was changed after it was made: its sha256 is \(id(ofDigest: found))… and not \(id(ofDigest: recorded))…"
            )
        }
        return plan
    }
}
