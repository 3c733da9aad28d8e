import Foundation
import TestSupport

/// The path of an archive's sidecar.
func sidecar(of archive: String) -> String { archive.replacingOccurrences(of: ".tar.zst.age", with: ".json") }

/// Changes the sidecar of an archive as somebody would who can write to the store.
func changeSidecar(of archive: String, _ change: (inout [String: Any]) -> Void) throws {
    let url = URL(fileURLWithPath: sidecar(of: archive))
    guard var document = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any] else {
        throw TestSupportError("\(url.path) is no object")
    }
    change(&document)
    try JSONSerialization.data(withJSONObject: document).write(to: url)
}

/// Fields of a sidecar, by their names with dots between.
enum SidecarField {
    /// Those of a backup of one etcd that can be compared with what is sealed or stored, each with another value.
    static var sealed: [(String, Any)] {
        let digest = String(repeating: "ab", count: 32)
        return [
            ("archive.createdAt", "2001-02-03T04:05:06Z"), ("archive.tool.version", "9.9.9"),
            ("entryCount", 4), ("findingCount", 5), ("manifestSHA256", digest), ("sequence", 77),
            ("previousSidecarSHA256", digest), ("verification", "streamed"), ("object.size", 1_000_000),
            ("object.headerSize", 100), ("object.headerSHA256", digest), ("object.payloadSHA256", digest),
            ("object.tarSize", 1 << 40), ("etcd", [Any]()), ("etcd.0.clusterID", "abc"),
            ("etcd.0.serverVersion", "3.9.9"), ("etcd.0.revision", 5), ("etcd.0.revisionAtStart", 5),
            ("etcd.0.compactRevision", 5), ("etcd.0.hash", 5), ("etcd.0.databaseSize", 4096),
            ("etcd.0.databaseSHA256", digest), ("etcd.0.name", "other"),
        ]
    }

    /// Those that only the database tells, each with another value.
    static var computed: [(String, Any)] {
        [
            ("etcd.0.hashKV", 5), ("etcd.0.hashKVCompactRevision", 0), ("etcd.0.hashKVCompactRevision", 1 << 50),
            ("etcd.0.hashKVCompactRevision", -1),
        ]
    }

    static func set(_ field: String, _ value: Any, in document: inout [String: Any]) {
        let names = field.split(separator: ".").map(String.init)
        guard names.count > 1 else { return document[field] = value }
        if names[1] == "0", var array = document[names[0]] as? [[String: Any]] {
            set(names.dropFirst(2).joined(separator: "."), value, in: &array[0])
            document[names[0]] = array
        } else if var object = document[names[0]] as? [String: Any] {
            set(names.dropFirst().joined(separator: "."), value, in: &object)
            document[names[0]] = object
        }
    }
}
