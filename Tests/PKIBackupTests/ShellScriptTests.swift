import Foundation
import TestSupport
import Testing

@testable import PKIBackup

@Suite struct ShellScriptTests {
    /// What a real shell makes of a text is what is read.
    @Test(arguments: [
        "p a 'b c' \"d $X e\" f\\ g", "X=1; p $X ${X} \"${X}y\" '$X'", "p a \\\n  b # c",
        "p ${X:-d} ${X-e} ${Y:=f} \"${E:-g}\" ${E-h}",
        "p $W \"$W\"", "export X=2 Y='a b'; p \"$Y\" $X", "p a >/dev/null; p b 2>&1", "p \"\\$X \\\\ \\q\"",
        "p a;p b&&p c||p d",
        "if true; then p a; fi", "p ''", "X=a\\ b; p \"$X\"; p $X", "p a#b '#c'", "X=$W; p \"$X\"", "p \"a\\\nb\"",
    ])
    func wordsAreThoseOfAShell(_ text: String) throws {
        let environment = ["X": "x", "W": "u  v", "E": ""]
        let real = try run(
            "sh",
            [
                "-c",
                "p() { printf '%s|' \"$@\"; printf ';'; }; exec 3>&1 >/dev/null; p() { printf '%s|' \"$@\" >&3; printf ';' >&3; }; \(text)",
            ],
            environment: environment
        ).text
        let script = ShellScript(text, variables: environment)
        let read = script.commands.filter { $0.first == "p" }.map { command in
            command.dropFirst().map { $0 + "|" }.joined() + ";"
        }
        // A real shell leaves out what comes after `||`.
        #expect(text.contains("||") ? read.joined().hasPrefix(real) : read.joined() == real, "\(text)")
    }

    @Test func whatOnlyARunTellsIsUnknown() {
        let script = ShellScript("A=$(x \"y)\" 'z)'); B=`u`; c $A \"$B\" --d=$(e) ${F%g} h")
        let unknown = String(ShellWords.unknown)
        #expect(script.commands == [["c", unknown, unknown, "--d=" + unknown, unknown, "h"]])
    }

    @Test func filesAreReadIn() {
        let files = ["/a": "A=1\n. /b\n", "/b": "B=\"$A\"2", "/loop": ". /loop"]
        let script = ShellScript("set -o allexport\nif [ -f /a ]; then . /a; fi\n. /loop\n. /none") {
            files[$0].map { Array($0.utf8) }
        }
        #expect(script.variables == ["A": "1", "B": "12"])
        #expect(script.sourcedPaths.contains("/b") && script.sourcedPaths.contains("/none"))
    }

    @Test func hostileScriptsEnd() {
        var bomb = "A=aaaaaaaaaa\n"
        for _ in 0..<40 { bomb += "A=$A$A$A$A$A$A$A$A\n" }
        #expect(ShellScript(bomb + "x $A").variables["A"].map { $0.utf8.count < 64 << 20 } == true)
        _ = ShellScript(String(repeating: "$(", count: 100_000))
        _ = ShellScript(String(repeating: "${", count: 100_000) + "\"")
    }

    private func flags(_ script: String, _ variables: [String: String] = [:]) -> CommandLineFlags {
        CommandLineFlags(["/bin/bash", "-euc", script], name: "c", variables: variables)
    }

    @Test func theCommandThatStartsTheProgramCounts() {
        let line = flags(
            """
            test -x /usr/bin/etcd || exit 1
            etcdctl member list || true
            INITIAL=$(discover --data-dir=/wrong --name=$NAME)
            export ETCD_NAME=${NODE_cp0_ETCD_NAME}
            exec nice -n -19 ionice -c2 -n0 etcd \\
              --data-dir=/var/lib/etcd --initial-cluster=$INITIAL --advertise-client-urls=https://${IP}:2379 \\
              --listen-client-urls="https://0.0.0.0:2379,unixs://${IP}:0" || mv /a /b
            """, ["NODE_cp0_ETCD_NAME": "cp0", "IP": "10.0.0.1"])
        #expect(line.program == "etcd" && line.environment["ETCD_NAME"] == "cp0")
        #expect(
            line.flags == [
                "data-dir": ["/var/lib/etcd"], "advertise-client-urls": ["https://10.0.0.1:2379"],
                "listen-client-urls": ["https://0.0.0.0:2379,unixs://10.0.0.1:0"],
            ])
        #expect(flags("exec nice etcd grpc-proxy start --key=x").program == "etcd-grpc-proxy")
        #expect(flags("trap TERM INT; sleep infinity & wait").program == "c")
        #expect(flags("exec watch-termination --x=y -- hyperkube kube-apiserver --a").flags == ["a": ["true"]])
    }
}
