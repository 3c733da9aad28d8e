/// Something to be seen: the command, what it shows if all is well, and what to do where it shows something else.
struct RunbookCheck {
    var title: String
    /// The lines of the command.
    var command: String
    /// What it shows if all is well.
    var expected: String
    /// What else it may show, and what to do then.
    var others: [(shown: String, action: String)] = []

    /// As a part of a runbook.
    var text: String {
        let cases = others.map { "- \($0.shown): \($0.action)\n" }.joined()
        return """
            **\(title)**

            ```sh
            \(command)
            ```

            Expected: \(expected)
            \(cases.isEmpty ? "" : "\nElse:\n\n\(cases)")
            """
    }
}
