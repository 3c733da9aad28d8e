import ArchiveStore
import Foundation
import HostIO
import Testing

@testable import Operations

@Suite struct S3ConfigurationTests {
    private func section(_ lines: String...) throws -> Configuration.S3 {
        let text = "s3:\n" + lines.map { "  \($0)\n" }.joined()
        return try #require(try Configuration.parse(Array(text.utf8), name: "config.yaml").s3)
    }

    @Test func timesAreSeconds() throws {
        let section = try section("retrySeconds: 600", "stallSeconds: 30")
        #expect(try section.patience() == .seconds(600) && section.settings().stallTimeout == .seconds(30))
        let none = try self.section("region: eu")
        #expect(try none.patience() == nil && none.settings().stallTimeout == nil)
        #expect(try self.section("retrySeconds: 0").patience() == .zero)
    }

    @Test(arguments: ["retrySeconds: -1", "retrySeconds: 86401", "stallSeconds: 0", "stallSeconds: 86401"])
    func timesThatCanNotBeAreRefused(line: String) throws {
        let section = try section(line)
        let error = #expect(throws: Failure.self) {
            _ = try section.patience()
            _ = try section.settings()
        }
        #expect(error?.code == .usage && error?.message.contains(line.prefix { $0 != ":" }) == true)
    }

    /// A bucket of one name may be on several servers, and what is remembered of one is not of the other.
    @Test func bucketsOfOneNameOnTwoServersAreTwoPlaces() throws {
        func places(_ endpoints: String...) throws -> [String] {
            let text =
                "stores:\n"
                + endpoints.enumerated().map {
                    "- {name: s\($0), location: s3://backups/q, s3: {endpoint: '\($1)', region: r}}\n"
                }.joined()
            let configuration = try Configuration.parse(Array(text.utf8), name: "config.yaml")
            let stores = try configuration.storeSet { section in
                let opening = StoreOpening(
                    s3: try #require(section.s3), variables: [:], isRoot: false, observer: Observer())
                return try opening.open(StoreLocation(section.location))
            }
            return try #require(stores).stores.map { $0.store.place }
        }
        let two = try places("https://127.0.0.1:9000", "https://127.0.0.1:9001")
        #expect(two.count == 2 && two[0] != two[1])
        let error = #expect(throws: Failure.self) { try places("https://127.0.0.1:9000", "https://127.0.0.1:9000") }
        #expect(error?.message.contains("it is where") == true)
    }
}
