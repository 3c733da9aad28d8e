"""Runs commands and says what they cost: wall time, CPU time, peak memory, and bytes read from one file."""

import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

DONE_WITH_FINDINGS = 3


class BenchmarkError(Exception):
    """A command failed or a tool is missing: a measurement of it would mean nothing."""


@dataclass
class Cost:
    """One run of a command with everything it started."""

    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int  # of the largest single process


@dataclass
class Series:
    """The runs of one command."""

    name: str
    costs: list[Cost] = field(default_factory=list)

    def median(self, attribute):
        return statistics.median(getattr(cost, attribute) for cost in self.costs)

    def span(self, attribute):
        values = [getattr(cost, attribute) for cost in self.costs]
        return min(values), max(values)


def note(text):
    """Progress, on standard error: standard output is the report."""
    print(text, file=sys.stderr, flush=True)


def run(command, environment=None, directory=None):
    """Runs an argument list to its end and returns its Cost; a failure raises with its last words.

    wait4 counts every descendant that was waited for, so a pipeline under bash is counted whole. The memory it reports
    is at least this interpreter's own (some 20 MB): a process begins as a copy of its parent.
    """
    os.sync()  # what the run before wrote is not this one's to pay
    start = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | (environment or {}), cwd=directory, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall_seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode not in (0, DONE_WITH_FINDINGS):
        raise BenchmarkError(f"exit code {process.returncode} of {' '.join(command)}\n{output.decode()[-2000:]}")
    return Cost(wall_seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10)


def pipeline(text):
    """The argument list of a shell pipeline that fails when any part fails."""
    return ["bash", "-c", f"set -euo pipefail; {text}"]


READ_CALL = re.compile(r"(?:p?read(?:64|v|v2)?|sendfile|copy_file_range)\(\d+<(?P<path>[^>]*)>.*= (?P<count>\d+)$")
MAP_CALL = re.compile(r"mmap\(\w+, (?P<count>\d+), .*, \d+<(?P<path>[^>]*)>, ")


def bytes_read(command, path, trace_path):
    """How many bytes of a file a command reads, by strace; a mapping counts as read whole."""
    calls = "read,pread64,readv,preadv,preadv2,sendfile,copy_file_range,mmap"
    # -ff: one file a thread, so that no call is torn into an unfinished and a resumed half.
    run(["strace", "-ff", "-qq", "-y", "-s", "0", "-e", f"trace={calls}", "-o", str(trace_path), *command])
    total = 0
    for trace in trace_path.parent.glob(trace_path.name + ".*"):
        for line in trace.read_text(errors="replace").splitlines():
            match = READ_CALL.search(line) or MAP_CALL.search(line)
            if match and match["path"] == str(path):
                total += int(match["count"])
        trace.unlink()
    return total
