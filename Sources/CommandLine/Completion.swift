import ArgumentParser

/// The command `etcd-snap completion`.
struct Completion: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the completion script of a shell.",
        discussion: "Example: etcd-snap completion bash > /etc/bash_completion.d/etcd-snap")

    enum Shell: String, ExpressibleByArgument, CaseIterable {
        case bash, zsh, fish
    }

    @Argument(help: "bash, zsh or fish.")
    var shell: Shell

    func run() throws {
        let shells: [Shell: CompletionShell] = [.bash: .bash, .zsh: .zsh, .fish: .fish]
        try printOutput(RootCommand.completionScript(for: shells[shell] ?? .bash))
    }
}
