import ArgumentParser
import HostIO
import KubernetesObjects
import Operations

/// The command `etcd-snap inspect volumes`.
struct InspectVolumes: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "volumes",
        abstract: "List persistent volumes and what they are on: what to attach again after a rebuild.",
        discussion: """
            Claims, storage classes, drivers, attachments and nodes are in the output of -o json and -o yaml. Exit code 3 says \
            that the list is not complete: objects are encrypted at rest, could not be read, or are too many.

            Example: etcd-snap inspect volumes latest -i key.txt
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Snapshot") var snapshot: SnapshotOptions

    func run() async throws {
        let configuration = try common.start(output.format)
        let source = try snapshot.open(configuration)
        source.tell()
        let inventory = try await VolumesOperation.run(source.bytes, observer: Console.shared.observer)
        for (kind, count) in inventory.encryptedCounts.sorted(by: { $0.key < $1.key }) {
            Console.shared.warn("\(count) objects of kind \(kind) are encrypted at rest and not listed")
        }
        for (kind, count) in inventory.unreadableCounts.sorted(by: { $0.key < $1.key }) {
            Console.shared.warn("\(count) objects of kind \(kind) could not be read")
        }
        if !inventory.isComplete, inventory.encryptedCounts.isEmpty, inventory.unreadableCounts.isEmpty {
            Console.shared.warn("there are more volumes than could be listed")
        }
        try render(inventory, as: output.format) { text(inventory) }
        if !inventory.isComplete { throw ExitCode(Failure.Code.findings.rawValue) }
    }

    private func text(_ inventory: VolumeInventory) -> String {
        guard !inventory.persistentVolumes.isEmpty else {
            return inventory.isComplete
                ? "no persistent volumes" : "no persistent volumes among those that could be read"
        }
        return table(
            [
                "VOLUME", "CLAIM", Column("CLASS", rank: 2), Column("CAPACITY", rank: 3), Column("RECLAIM", rank: 1),
                "SOURCE", Column("NODES", rank: 4),
            ],
            inventory.persistentVolumes.map { volume in
                [
                    volume.name, volume.claim.map { "\($0.namespace)/\($0.name)" } ?? "-",
                    volume.storageClassName ?? "-", volume.capacity ?? "-", volume.reclaimPolicy ?? "-",
                    volume.source.map(text) ?? "-",
                    volume.nodeAffinity.isEmpty ? "all" : volume.nodeAffinity.joined(separator: " or "),
                ]
            })
    }

    private func text(_ source: VolumeSource) -> String {
        if let driver = source.driver, let handle = source.volumeHandle { return "csi \(driver) \(handle)" }
        let fields = source.fields.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return "\(source.kind) \(fields.joined(separator: " "))"
    }
}
