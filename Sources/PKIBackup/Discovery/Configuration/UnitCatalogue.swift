import HostIO
import NodeFiles

/// The units of a node: where each is defined, under what names, and what starts it.
///
/// Source: systemd.unit(5), "Unit File Load Path", "Aliases", `.wants/`, `.requires/`, `.upholds/`, `DefaultInstance=`.
struct UnitCatalogue {
    /// Directories of units, that of highest precedence first.
    static let directories = [
        "/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient",
        "/run/systemd/generator.early", "/etc/systemd/system", "/etc/systemd/system.attached", "/run/systemd/system",
        "/run/systemd/system.attached", "/run/systemd/generator", "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator.late",
    ]
    /// Where packages have theirs, of which there are hundreds.
    private static let packageDirectories: Set<String> = ["/usr/lib/systemd/system", "/lib/systemd/system"]

    private let root: NodeRoot
    private let names: [(directory: String, names: [String])]
    /// The names of units that stand for others, by the others' names.
    private(set) var aliases: [UnitName: Set<UnitName>] = [:]
    /// What starts units, by the units' names: links of targets, and other units that want them.
    private(set) var starters: [UnitName: [String]] = [:]
    /// Every unit that was put there locally or is started by something, and those of packages that the control plane is
    /// known to have.
    private(set) var units: Set<UnitName> = []

    init(root: NodeRoot) {
        self.root = root
        names = Self.directories.compactMap { directory in
            (try? root.names(in: directory)).map { (directory, $0) }
        }
        addEntries()
        addStarters()
        units = units.filter { !$0.isTemplate }
    }

    static func isOfPackages(_ path: String) -> Bool { packageDirectories.contains(parentPath(path)) }

    // MARK: Names

    private mutating func addEntries() {
        let known = Set(HostGroups.units.map { $0 + UnitName.ending })
        for (directory, names) in names {
            let isLocal = !Self.packageDirectories.contains(directory)
            for name in names {
                let isDropIns = name.hasSuffix("\(UnitName.ending).d")
                guard isLocal || known.contains(isDropIns ? String(name.dropLast(2)) : name),
                    let unit = UnitName(isDropIns ? String(name.dropLast(2)) : name)
                else { continue }
                // Drop-ins of an instance that nothing starts are none.
                if isDropIns, unit.instance != nil { continue }
                add(unit)
            }
        }
    }

    private mutating func add(_ name: UnitName) {
        let unit = canonical(name)
        if unit != name { aliases[unit, default: []].insert(name) }
        units.insert(unit)
    }

    /// The name of the unit that a name stands for: a link to another unit's file is an alias of it.
    private func canonical(_ name: UnitName) -> UnitName {
        guard let path = entry(of: name) ?? name.template.flatMap(entry) else { return name }
        var links: [String] = []
        let end = try? root.resolve(Array(path.utf8)) { step in
            if step.attributes.kind == .symbolicLink { links.append(String(decoding: step.path, as: UTF8.self)) }
        }
        guard let end else { return name }
        let steps = links + [String(decoding: end.path, as: UTF8.self)]
        return steps.filter { isUnitDirectory(parentPath($0)) }.compactMap { UnitName(lastName($0)) }
            .reduce(name) { name, target in
                target.isTemplate ? name.instance.map(target.instantiated) ?? name : target
            }
    }

    /// A file outside of the units' directories is linked under the name that the link has.
    private func isUnitDirectory(_ directory: String) -> Bool {
        names.contains { $0.directory == directory || (try? root.realPath(of: $0.directory)) == directory }
    }

    private func entry(of name: UnitName) -> String? {
        names.first { $0.names.contains(name.text) }.map { joinPath($0.directory, name.text) }
    }

    /// The file that defines a unit: its own, else that of its template.
    func fragment(of unit: UnitName) -> String? { entry(of: unit) ?? unit.template.flatMap(entry) }

    /// Drop-ins in the order of their names; of those with one name that of the most specific unit, and of these that in the
    /// directory of highest precedence counts.
    func dropIns(of unit: UnitName) -> [String] {
        let units = [unit] + (aliases[unit] ?? []).sorted { $0.text < $1.text }
        var paths: [String: String] = [:]
        for name in units.flatMap(\.dropInDirectories) + ["service.d"] {
            for directory in names where directory.names.contains(name) {
                let path = joinPath(directory.directory, name)
                for file in (try? root.names(in: path)) ?? [] where file.hasSuffix(".conf") && paths[file] == nil {
                    paths[file] = joinPath(path, file)
                }
            }
        }
        return paths.sorted { $0.key < $1.key }.map(\.value)
    }

    // MARK: What starts them

    private mutating func addStarters() {
        for (directory, names) in names {
            for name in names where [".wants", ".requires", ".upholds"].contains(where: name.hasSuffix) {
                let links = joinPath(directory, name)
                for link in (try? root.names(in: links)) ?? [] {
                    if let unit = UnitName(link) ?? Self.activated(by: link) {
                        addStarter(of: unit, joinPath(links, link))
                    }
                }
            }
            guard !Self.packageDirectories.contains(directory) else { continue }
            for name in names where !name.contains("@.") { addWanted(by: name, in: directory) }
        }
    }

    /// The service that a timer, a path or a socket starts unless it names another (systemd.timer(5), `Unit=`).
    private static func activated(by name: String) -> UnitName? {
        [".timer", ".path", ".socket"].first(where: name.hasSuffix).flatMap {
            UnitName(name.dropLast($0.count) + UnitName.ending)
        }
    }

    private mutating func addStarter(of name: UnitName, _ path: String) {
        guard let unit = name.isTemplate ? defaultInstance(of: name) : name else { return }
        add(unit)
        starters[canonical(unit), default: []].append(path)
    }

    private func defaultInstance(of template: UnitName) -> UnitName? {
        guard let path = entry(of: template), let bytes = try? root.bytes(of: path) else { return nil }
        let assignments = UnitFile(bytes).assignments.filter { $0.section == "Install" && $0.key == "DefaultInstance" }
        return assignments.last.flatMap { $0.value.isEmpty ? nil : template.instantiated($0.value) }
    }

    /// Settings by which a unit starts others.
    private static let wanting: Set<String> = ["Wants", "Requires", "BindsTo", "Upholds", "Unit", "Service"]
    private static let wantingEndings = [".target", ".service", ".timer", ".path", ".socket"]

    /// Adds what a local unit, or its drop-ins, start by settings of its own.
    private mutating func addWanted(by name: String, in directory: String) {
        let path = joinPath(directory, name)
        let files: [String]
        if Self.wantingEndings.contains(where: name.hasSuffix) {
            files = [path]
        } else if Self.wantingEndings.contains(where: { name.hasSuffix($0 + ".d") }) {
            files = ((try? root.names(in: path)) ?? []).filter { $0.hasSuffix(".conf") }.map { joinPath(path, $0) }
        } else {
            return
        }
        for file in files {
            guard let bytes = try? root.bytes(of: file) else { continue }
            for assignment in UnitFile(bytes).assignments where Self.wanting.contains(assignment.key) {
                for word in UnitWords.split(assignment.value) where !word.contains("%") {
                    if let unit = UnitName(word) { addStarter(of: unit, file) }
                }
            }
        }
    }
}
