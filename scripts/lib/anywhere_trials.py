"""The trials: roots of other systems, system calls that are refused, and limits."""

import errno
import re
from dataclasses import dataclass, field

from anywhere_job import Job

ROOTS = ("empty", "busybox", "bullseye", "trixie")
BUSYBOX_SHELL = ("/bin/sh", "-c", '"$@"; exit $?', "sh")
UNPRIVILEGED_UID = 61_300  # one of nobody's; each trial that counts its processes has the next

# Refused one at a time with ENOSYS, as an older kernel answers, and with EPERM, as a sandbox does.
NEWER_THAN_4_18 = ("clone3", "close_range", "faccessat2", "io_uring_setup", "openat2", "epoll_pwait2", "pidfd_open",
                   "rseq", "futex_waitv")
OFTEN_REFUSED = ("renameat2", "statx", "copy_file_range", "getrandom", "memfd_create", "preadv2", "pwritev2", "membarrier",
                 "mlock", "mlock2", "munlock", "prctl", "sync_file_range", "fallocate", "fadvise64", "splice", "eventfd2",
                 "sched_getaffinity", "sched_getscheduler", "sched_setscheduler", "sched_yield", "setpriority", "madvise",
                 "flock", "syncfs", "fchown", "fchmod", "utimensat", "sysinfo", "uname", "prlimit64", "sigaltstack",
                 "set_robust_list", "get_mempolicy", "getcwd", "statfs", "fstatfs", "readlink", "ioctl", "access")
FAMILIES = {
    "fchmodat2": ("452",),  # its name is newer than the headers
    "reading xattr": ("getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr"),
    "writing xattr": ("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
    "OFD locks": ("fcntl:1=36", "fcntl:1=37", "fcntl:1=38"),
}
NO_THREADS = "thread|process"
# What can't be had then, and the words of the sentence that says so. Whatever is not here must work.
REFUSAL_DECLINES = {
    "clone3": NO_THREADS, "eventfd2": "eventfd", "uname": "no connection",
    "flock": "cannot lock", "syncfs": "cannot sync", "fstatfs": "free space",
    "fchown": "cannot change the owner", "fchmod": "cannot change the mode", "utimensat": "cannot change the time",
}
REFUSAL_FINDINGS = {("reading xattr", "EPERM"): "attributes"}
FIRST_NEWER_NUMBER = 424  # pidfd_send_signal, Linux 5.1; numbers are common to all architectures from there

# Whether a control plane runs is read there; a person who knows can say --force.
AFTER_IN_PLACE = Job.STEPS.index("in-place") + 1
WITHOUT_PROC = {"steps": Job.STEPS[:AFTER_IN_PLACE] + ("forced",) + Job.STEPS[AFTER_IN_PLACE:],
                "declines": {"plan": "!/proc is not mounted", "in-place": "!/proc is not mounted"}}


@dataclass(frozen=True)
class Trial:
    """One run of the job. Without a root it runs on this host, behind a launcher or a tracer."""

    name: str
    root: str = None
    features: tuple = ()  # of proc, hide-dev, read-only
    planted: dict = field(default_factory=dict)  # path in the root: text, or a file to copy
    environment: dict = field(default_factory=dict)
    keeps_environment: bool = True
    prefix: tuple = ()
    launch: tuple = ()
    refuses: tuple = ()  # names of system calls
    cgroup: dict = field(default_factory=dict)
    parent: tuple = ()
    steps: tuple = Job.STEPS
    options: tuple = ()  # that say where etcd is
    declines: dict = field(default_factory=dict)  # step or *: a pattern of the sentence; with ! the step must decline
    is_own_node: bool = False  # the root is that of the node itself, not below the work directory
    findings: str = ""  # a pattern of the findings that a backup may end with
    is_silent: bool = False  # standard error is closed: who declines can't say why
    forbidden: tuple = ()  # files in the work directory that must not appear
    extra_files: dict = field(default_factory=dict)  # in the work directory: text, or a file to copy
    owner: int = None  # of the files that the configuration names
    uid: int = 0  # whom the work directory belongs to
    boots: bool = False
    is_shown: bool = False  # in the transcripts


def root_trials():
    """Every root with and without /proc; the first of each boots what it restored."""
    for root in ROOTS:
        parent = BUSYBOX_SHELL if root == "busybox" else ()
        shown = root == "empty"
        yield Trial(f"root {root} without /proc", root, parent=parent, boots=shown, is_shown=shown, **WITHOUT_PROC)
        yield Trial(f"root {root} with /proc", root, ("proc",), parent=parent, boots=not shown, is_shown=not shown)
    yield Trial("root trixie without /dev", "trixie", ("proc", "hide-dev"))
    yield Trial("root trixie without /proc and /dev", "trixie", ("hide-dev",), **WITHOUT_PROC)
    yield Trial("root trixie read-only", "trixie", ("proc", "read-only"))
    yield Trial("root empty read-only", "empty", ("read-only",), **WITHOUT_PROC)


def refusal_trials(launcher):
    """Refused system calls, by a seccomp filter and, as far as they are new, by a tracer."""
    groups = {call: (call,) for call in NEWER_THAN_4_18 + OFTEN_REFUSED} | FAMILIES
    for name, calls in groups.items():
        for error in ("ENOSYS", "EPERM"):
            yield Trial(f"{error} for {name}", launch=tuple(launcher.refusal(getattr(errno, error), calls)),
                        refuses=names(calls), declines=declining(REFUSAL_DECLINES.get(name)),
                        findings=REFUSAL_FINDINGS.get((name, error), ""))
    newer = (f"{FIRST_NEWER_NUMBER}-999", "rseq")
    yield Trial("ENOSYS for all newer than 4.18", launch=tuple(launcher.refusal(errno.ENOSYS, newer)))
    for name in NEWER_THAN_4_18:
        for error in ("ENOSYS", "EPERM"):
            yield Trial(f"{error} for {name} by a tracer", prefix=tracer(name, error), steps=Job.SHORT,
                        refuses=(name,), declines=declining(REFUSAL_DECLINES.get(name)))


def trace_trial(path):
    """The whole job under a tracer that notes every system call."""
    return Trial("trace of all commands", prefix=("strace", "-f", "-A", "-qq", "-o", path))


def traced_calls(path):
    """The names of the system calls in what the tracer wrote."""
    return set(re.findall(r"^\d+ +(\w+)\(", path.read_text(errors="replace"), re.MULTILINE))


def names(calls):
    """Calls without the conditions on their arguments."""
    return tuple(dict.fromkeys(call.partition(":")[0] for call in calls))


def declining(words):
    """Lets every command decline in those words."""
    return {"*": words} if words else {}


def tracer(call, error):
    """Begins a command line that has strace answer an error to one system call."""
    return ("strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", f"trace={call}",
            "-e", f"inject={call}:error={error}")


TOO_FEW_FILES = "files may be open"
LIMITS = (  # prlimit's options, and the words of the sentence that says what can't be had
    ("64 descriptors", ["--nofile=64"], None),
    ("20 descriptors", ["--nofile=20"], TOO_FEW_FILES),
    ("10 descriptors", ["--nofile=10"], TOO_FEW_FILES),
    ("files of 100 kB", ["--fsize=100000"], "File too large"),
    ("1 GiB of address space", ["--as=1073741824"], None),
    ("512 MiB of address space", ["--as=536870912"], None),
    ("256 MiB of address space", ["--as=268435456"], "memory|thread"),
    ("256 MiB of data", ["--data=268435456"], None),
    ("nothing locked in memory", ["--memlock=0"], None),
    ("256 KiB of stack", ["--stack=262144"], None),
    ("unlimited stack", ["--stack=unlimited"], None),
    ("unlimited core", ["--core=unlimited"], None),
)
GROUPS = (
    ("128 MiB", {"memory.max": str(128 << 20)}, None),
    ("64 MiB", {"memory.max": str(64 << 20)}, None),
    ("24 processes", {"pids.max": "24"}, None),
    ("16 processes", {"pids.max": "16"}, NO_THREADS),
    ("8 processes", {"pids.max": "8"}, NO_THREADS),
    ("3 processes", {"pids.max": "3"}, NO_THREADS),
    ("a twentieth of a processor", {"cpu.max": "5000 100000"}, None),
    ("one processor", {"cpuset.cpus": "0"}, None),
)


def steps_for(words):
    """Few commands where they may decline for want of threads: each tries for some time."""
    return Job.STEPS if words in (None, TOO_FEW_FILES, "File too large") else ("keygen", "backup", "restore")


def limit_trials():
    """ulimit, control groups, and closed standard streams."""
    for streams in ("0", "1", "2", "01", "12", "012"):
        launch = tuple(word for stream in streams for word in ("-x", stream))
        yield Trial(f"closed at start: {', '.join(streams)}", launch=launch, is_silent="2" in streams,
                    declines=declining("standard output" if "1" in streams else None))
    for name, options, words in LIMITS:
        yield Trial(f"limit: {name}", prefix=("prlimit", *options), declines=declining(words), steps=steps_for(words))
    # Root's processes are not counted.
    for offset, (count, words) in enumerate(((64, None), (24, None), (16, NO_THREADS), (8, NO_THREADS), (3, NO_THREADS))):
        uid = UNPRIVILEGED_UID + offset
        prefix = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "prlimit", f"--nproc={count}")
        yield Trial(f"limit: {count} processes", prefix=prefix, uid=uid, declines=declining(words),
                    steps=steps_for(words))
    for name, limits, words in GROUPS:
        steps = Job.SHORT if "cpu.max" in limits else steps_for(words)
        yield Trial(f"cgroup: {name}", cgroup=limits, steps=steps, declines=declining(words))
        if "memory.max" in limits:  # less than a passphrase takes
            yield Trial(f"cgroup: {name}, a passphrase", cgroup=limits, steps=("passphrase",), declines=declining("memory"))
    yield Trial("limit: 256 MiB of data, a passphrase", prefix=("prlimit", "--data=268435456"), steps=("passphrase",),
                declines=declining("memory"))
    yield Trial("limit: 512 MiB of address space, a passphrase", prefix=("prlimit", "--as=536870912"), steps=("passphrase",))
