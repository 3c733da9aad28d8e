import HostIO
import Testing

@Suite struct FileOwnerTests {
    @Test func namesAndNumbers() throws {
        #expect(try FileOwner(named: "root") == FileOwner(userID: 0, groupID: 0))
        #expect(try FileOwner(named: "12:34") == FileOwner(userID: 12, groupID: 34))
        #expect(try FileOwner(named: "root:34") == FileOwner(userID: 0, groupID: 34))
        #expect(try FileOwner(named: "0:root") == FileOwner(userID: 0, groupID: 0))
        #expect(try FileOwner(named: "0") == FileOwner(userID: 0, groupID: 0))
        #expect(FileOwner(numbers: "997:996") == FileOwner(userID: 997, groupID: 996))
    }

    @Test(arguments: [
        "", ":", "12:", ":12", "no-such-user", "root:no-such-group", "4294967295:1", "3999999999", "-1:2",
    ])
    func othersAreRefused(text: String) {
        let error = #expect(throws: Failure.self) { try FileOwner(named: text) }
        #expect(error?.code == .usage)
    }

    @Test(arguments: ["", "1", "1:2:3", "a:1", "1:-1", ":"]) func recordsOfAnotherForm(text: String) {
        #expect(FileOwner(numbers: text) == nil)
    }
}
