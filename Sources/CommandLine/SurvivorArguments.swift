import ArgumentParser
import HostIO
import Operations

/// How a snapshot is taken from a member's data directory.
struct SurvivorArguments: ParsableArguments {
    @Option(
        help: """
            The etcd that takes up the log of a data directory, on a copy; without it the one in PATH, or the one that runs \
            here.
            """, completion: .file())
    var etcdProgram: String?

    @Flag(help: "Take the database of a data directory without its log, and boot no etcd.")
    var databaseAlone = false

    @Option(
        help: "The directory to boot a copy of a data directory in; without it that of what is written.",
        completion: .directory)
    var scratch: String?

    func validate() throws {
        if databaseAlone, etcdProgram != nil { throw ValidationError("--database-alone excludes --etcd-program") }
    }

    /// - Parameter stores: where nothing in the clear may be.
    func options(outside stores: () throws -> StoreSet) throws -> SurvivorOptions {
        var options = SurvivorOptions()
        options.etcdPath = etcdProgram
        options.takesDatabaseAlone = databaseAlone
        if let scratch {
            options.scratch = try plaintextPlace(scratch, of: "the scratch directory", outside: stores())
        }
        return options
    }
}

extension SurvivorComparison {
    /// Reads data directories; one that is damaged is left out, which is said, where others are not.
    ///
    /// - Throws: ``Failure`` for one that a running etcd uses, which no cluster has that is lost, or if none is left.
    static func read(_ directories: [String], takesLogs: Bool) async throws -> SurvivorComparison {
        var survivors: [Survivor] = []
        var damage: Failure?
        for directory in directories {
            do {
                survivors.append(try await Survivor.read(directory, observer: Console.shared.observer))
            } catch {
                let failure = Failure(wrapping: error)
                guard failure.code == .integrity else { throw failure }
                if let damage { Console.shared.warn("left out: \(damage)") }
                damage = failure
            }
        }
        if let damage {
            guard !survivors.isEmpty else { throw damage }
            Console.shared.warn("left out: \(damage)")
        }
        return try SurvivorComparison(survivors, takesLogs: takesLogs)
    }
}
