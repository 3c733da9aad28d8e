#if canImport(Glibc)
    import Glibc
#endif

/// The names of users and groups on this host, asked for once each.
struct OwnerNames {
    private var users: [UInt32: String?] = [:]
    private var groups: [UInt32: String?] = [:]

    mutating func userName(_ id: UInt32) -> String? {
        if let known = users[id] { return known }
        let name = getpwuid(id).map { String(cString: $0.pointee.pw_name) }
        users[id] = .some(name)
        return name
    }

    mutating func groupName(_ id: UInt32) -> String? {
        if let known = groups[id] { return known }
        let name = getgrgid(id).map { String(cString: $0.pointee.gr_name) }
        groups[id] = .some(name)
        return name
    }
}
