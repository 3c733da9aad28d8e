import HostIO
import Testing

@testable import EtcdSnap

@Suite struct HostAddressesTests {
    @Test(arguments: [
        (["10.0.0.1"], "ipv4:10.0.0.1:2379"),
        (["10.0.0.1", "10.0.0.2"], "ipv4:10.0.0.1:2379,10.0.0.2:2379"),
        (["fd00::1"], "ipv6:[fd00::1]:2379"),
        (["::1", "127.0.0.1"], "ipv6:[::1]:2379,[::ffff:127.0.0.1]:2379"),
    ])
    func targets(addresses: [String], target: String) {
        #expect(HostAddresses(addresses: addresses, port: 2379).target == target)
    }

    @Test func anAddressIsNotLookedUp() async throws {
        let endpoint = try Endpoint(parsing: "https://[fd00::1]:99")
        let found = try await HostAddresses.find(endpoint, timeout: .zero)
        #expect(found == HostAddresses(addresses: ["fd00::1"], port: 99))
    }

    @Test(arguments: ["localhost", "a.localhost", "localhost.", "LOCALHOST.", "a.localhost."])
    func localNamesNeedNoFile(name: String) async throws {
        let endpoint = Endpoint(transport: .tls, host: name, port: 1)
        let found = try await HostAddresses.find(endpoint, timeout: .seconds(60))
        #expect(!Set(found.addresses).isDisjoint(with: ["127.0.0.1", "::1"]))
    }

    @Test func anUnknownNameSaysWhereItWasLookedUp() async throws {
        let endpoint = Endpoint(transport: .tls, host: "no-such-host.invalid", port: 1)
        await #expect {
            try await HostAddresses.find(endpoint, timeout: .seconds(60))
        } throws: { error in
            let message = (error as? EtcdError)?.failure.message ?? ""
            return message.contains(#"name "no-such-host.invalid" has no address"#) && message.contains("/etc/hosts")
        }
    }

    @Test func aLookupThatIsCancelledEnds() async throws {
        let endpoint = Endpoint(transport: .tls, host: "no-such-host.invalid", port: 1)
        let task = Task { try await HostAddresses.find(endpoint, timeout: .seconds(60)) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
