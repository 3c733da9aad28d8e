"""Runs a command on a pseudo-terminal and types one passphrase at each prompt.

Usage: type-passphrases.py PASSPHRASES COMMAND...; the passphrases are separated by byte 0x1F.
"""
import os, pty, sys
def main():
    lines = [l.encode() + b"\n" for l in sys.argv[1].split("\x1f")]
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(sys.argv[2], sys.argv[2:])
    seen = b""
    while True:
        try:
            data = os.read(fd, 4096)
        except OSError:
            break
        if not data:
            break
        seen += data
        if lines and seen.rstrip().endswith(b":"):
            seen = b""
            os.write(fd, lines.pop(0))
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
main()
