import HostIO
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Questions whose answers are secret: on the terminal itself, whatever standard input and output are.
enum Terminal {
    /// The settings to put back, while a question is open.
    private static let open = Mutex<(descriptor: Int32, settings: termios)?>(nil)
    private static let maximumByteCount = 1024

    /// Asks for the passphrase of something, without showing what is typed; nil if there is no terminal.
    ///
    /// The answer is secret: wipe it after use.
    static func askPassphrase(for subject: String) throws -> [UInt8]? {
        try ask("Enter passphrase for \(quoted(subject)): ")
    }

    /// Asks for a new passphrase, twice.
    ///
    /// - Throws: ``Failure`` with the code `usage` if there is no terminal, the answers differ or are empty.
    static func askNewPassphrase(for subject: String) throws -> [UInt8] {
        guard let first = try ask("Enter a new passphrase for \(quoted(subject)): ") else {
            throw Failure(
                .usage, "there is no terminal to ask for a passphrase on",
                hint: "put it into a file that only you can read, and name that with --passphrase-file")
        }
        guard !first.isEmpty else { throw Failure(.usage, "the passphrase is empty", hint: "nothing was made") }
        var second = try ask("Enter it again: ") ?? []
        defer { second.wipe() }
        guard first == second else {
            var first = first
            first.wipe()
            throw Failure(.usage, "the two passphrases differ", hint: "nothing was made: try again")
        }
        return first
    }

    /// Puts the terminal back, for a process that ends in the middle of a question.
    static func restore() {
        open.withLock { state in
            guard var open = state else { return }
            tcsetattr(open.descriptor, TCSANOW, &open.settings)
            state = nil
        }
    }

    private static func ask(_ question: String) throws -> [UInt8]? {
        let descriptor = Glibc.open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var settings = termios()
        guard tcgetattr(descriptor, &settings) == 0 else { return nil }
        Console.shared.clearProgress()
        open.withLock { $0 = (descriptor, settings) }
        defer { restore() }
        settings.c_lflag &= ~tcflag_t(ECHO)
        settings.c_lflag |= tcflag_t(ECHONL | ICANON | ISIG)
        guard tcsetattr(descriptor, TCSAFLUSH, &settings) == 0 else { return nil }
        write(question, to: descriptor)
        return try readAnswer(descriptor)
    }

    private static func write(_ text: String, to descriptor: Int32) {
        _ = Array(text.utf8).withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
    }

    /// Reads a line; the end of the input ends it too.
    private static func readAnswer(_ descriptor: Int32) throws -> [UInt8] {
        var answer: [UInt8] = []
        // An array that grows leaves copies behind.
        answer.reserveCapacity(maximumByteCount)
        do {
            var byte: UInt8 = 0
            while true {
                var input = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                // A read can't be cancelled, so it is begun only when it will end at once.
                while poll(&input, 1, 100) <= 0 {
                    // Passphrases are asked for before anything is done with what they open.
                    if Task.isCancelled { throw StoppedQuestion(consequence: "nothing was changed") }
                }
                guard read(descriptor, &byte, 1) == 1, byte != UInt8(ascii: "\n") else { return answer }
                guard answer.count < maximumByteCount else {
                    throw Failure(
                        .usage, "the passphrase is longer than \(maximumByteCount) bytes", hint: "take a shorter one")
                }
                answer.append(byte)
            }
        } catch {
            answer.wipe()
            throw error
        }
    }
}
