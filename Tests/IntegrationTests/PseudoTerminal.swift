import Foundation
import TestSupport

/// A terminal that the program under test has, and somebody who answers its questions.
enum PseudoTerminal {
    /// Runs a shell command on a terminal of its own.
    ///
    /// - Parameters:
    ///   - answers: what is typed after what has been asked, in order, with a new line unless it is Ctrl-C.
    ///   - columnCount: the width of the terminal.
    /// - Returns: the status, and all that was on the terminal.
    static func run(
        _ command: String, answers: [(question: String, answer: String)] = [], columnCount: Int = 80
    ) throws -> CommandResult {
        let pairs = answers.map { [$0.question, $0.answer] }
        let document = try JSONSerialization.data(withJSONObject: pairs)
        let process = try RunningCommand(
            "python3", ["-c", script, command, String(decoding: document, as: UTF8.self), "\(columnCount)"])
        return try process.wait(seconds: 120)
    }

    private static let script = """
        import fcntl, json, os, pty, struct, sys, termios
        command, answers, columns = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
        child, terminal = pty.fork()
        if child == 0:
            os.environ.pop("COLUMNS", None)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            os.execv("/bin/sh", ["sh", "-c", command])
        output, seen = b"", 0
        while True:
            try:
                piece = os.read(terminal, 65536)
            except OSError:
                break
            if not piece:
                break
            output += piece
            while answers and answers[0][0].encode() in output[seen:]:
                seen = output.index(answers[0][0].encode(), seen) + len(answers[0][0].encode())
                answer = answers.pop(0)[1].encode()
                os.write(terminal, answer if answer == b"\\x03" else answer + b"\\n")
        sys.stdout.buffer.write(output)
        sys.stdout.flush()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.exit(status if not answers else 99)
        """
}
