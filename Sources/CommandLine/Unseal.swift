import ArgumentParser
import HostIO
import Operations
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// The command `etcd-snap unseal`.
struct Unseal: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Decrypt any age file to standard output.",
        discussion: """
            zstd is decompressed too, so that of a backup the tar comes out. What is written before an error is authentic, \
            but not all: trust the output only after status 0.

            Example: etcd-snap unseal 20261123T030000Z-abcdef.tar.zst.age -i key.txt | tar t
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup(title: "Keys") var keys: IdentityOptions

    @Flag(help: "Only decrypt: leave compressed data as it is.")
    var raw = false

    @Argument(help: "An age file, or - for standard input.", completion: .file())
    var file: String

    func run() throws {
        _ = try common.start()
        try refuseTerminal()
        if file != "-", let opened = try? RandomAccessFile(path: file) {
            try FileKind.check(opened, is: [.age, .armoredAge], whatIsExpected: "an age file")
        }
        try Keys.namingPassphraseFile(keys.identityFiles.isEmpty ? keys.passphraseFile : nil) {
            try UnsealOperation.run(
                path: file == "-" ? nil : file, identities: keys.forAnyFile(file), isRaw: raw,
                to: DescriptorSink(.standardOutput, name: "standard output"), observer: Console.shared.observer)
        }
    }
}

/// Keeps binary data off a terminal.
func refuseTerminal() throws {
    guard isatty(STDOUT_FILENO) == 0 else {
        throw Failure(
            .usage, "standard output is a terminal", hint: "send the data into a file or a pipe: `> file` or `| tar t`")
    }
}
