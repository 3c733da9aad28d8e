import Foundation
import TestSupport
import Testing
import YAML

let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// Files of a real control plane; `ORIGIN.md` beside them tells where they are from.
let realDocuments = ["manifests/etcd.yaml", "manifests/kube-apiserver.yaml", "scheduler.conf", "kubelet.conf"]

func realDocument(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: repository.appending(path: "Tests/Fixtures/kubeadm/etc/kubernetes/\(name)")))
}

func read(_ text: String, limits: Limits = Limits()) throws -> Node {
    try #require(try Node.first(in: Array(text.utf8), limits: limits))
}

func problem(_ text: String, limits: Limits = Limits()) -> String? { problem(Array(text.utf8), limits: limits) }

func problem(_ bytes: [UInt8], limits: Limits = Limits()) -> String? {
    do {
        _ = try Node.first(in: bytes, limits: limits)
        return nil
    } catch {
        return error.description
    }
}

extension Node {
    /// Scalars as texts, mappings as lists of pairs, as JSON.
    var shape: Any {
        switch content {
        case .scalar(let scalar): scalar.text
        case .sequence(let nodes): ["list"] + nodes.map(\.shape)
        case .mapping(let pairs): ["pairs"] + pairs.map { [$0.key.shape, $0.value.shape] }
        }
    }

    /// Every scalar, keys too.
    var scalars: [Node] {
        switch content {
        case .scalar: [self]
        case .sequence(let nodes): nodes.flatMap(\.scalars)
        case .mapping(let pairs): pairs.flatMap { $0.key.scalars + $0.value.scalars }
        }
    }
}

/// PyYAML, another reader: one line of JSON in, one out.
func askPyYAML(_ script: String, _ lines: [Any]) throws -> [Any] {
    let input = try lines.map { try JSONSerialization.data(withJSONObject: $0) + Data("\n".utf8) }.reduce(Data(), +)
    let program = """
        import base64, json, sys, yaml
        \(script)
        for line in sys.stdin: print(json.dumps(answer(json.loads(line))))
        """
    return try run("python3", ["-c", program], input: input).output.split(separator: UInt8(ascii: "\n")).map {
        try JSONSerialization.jsonObject(with: $0, options: .fragmentsAllowed)
    }
}

/// Reads bytes with both readers: what one makes of them, the other must.
func expectAgreement(_ documents: [[UInt8]], sourceLocation: SourceLocation = #_sourceLocation) throws {
    let script = """
        loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
        def shape(value):
            if isinstance(value, dict): return ["pairs"] + [[shape(key), shape(item)] for key, item in value.items()]
            return ["list"] + [shape(item) for item in value] if isinstance(value, list) else value
        def answer(text):
            try: return {"root": [shape(root) for root in [next(yaml.load_all(base64.b64decode(text[0]), loader))]]}
            except StopIteration: return {"root": []}
            except Exception as error: return {"error": str(type(error))}
        """
    let answers = try askPyYAML(script, documents.map { [Data($0).base64EncodedString()] })
    #expect(answers.count == documents.count, sourceLocation: sourceLocation)
    var readCount = 0
    for (bytes, answer) in zip(documents, answers) {
        let theirs = try #require(answer as? [String: Any])["root"].map { $0 as? NSArray }
        do {
            let ours = try Node.first(in: bytes).map { [$0.shape] } ?? []
            readCount += 1
            #expect(
                theirs == (ours as NSArray), "\(String(decoding: bytes, as: UTF8.self))", sourceLocation: sourceLocation
            )
        } catch
            where ["a key stands twice", "a key of a mapping", "there are more"].contains(
                where: error.problem.hasPrefix)
        {
            // What only we refuse.
        } catch {
            #expect(
                theirs == nil, "\(error): \(String(decoding: bytes, as: UTF8.self))", sourceLocation: sourceLocation)
        }
    }
    #expect(readCount > 0, sourceLocation: sourceLocation)
}
