import SealedArchive

/// The first stage of a backup: every etcd of the plan with its members asked.
struct BackupSources: Sendable {
    /// The etcds that a snapshot can be taken of.
    var targets: [EtcdTarget] = []
    /// Those that none can be taken of, and that nobody asked for.
    var unreachable: [Finding] = []

    /// Connects to every etcd; one that was only found, and is not the cluster's own, may be out of reach.
    init(connectingTo sources: [EtcdSource], observer: Observer) async throws {
        for source in sources {
            do {
                targets.append(try await EtcdTarget(connectingTo: source, observer: observer))
            } catch  where !source.isRequired && !(error is CancellationError) {
                unreachable.append(source.unreachable(for: error))
            }
        }
    }
}
