"""Where a trial runs the executable: in a root of its own, or on this host behind a launcher that takes things away.

Mounts are made in a mount namespace for each command and processes in a PID namespace, so that nothing outlives a command.
"""

import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path

from etcd_lab import LabError, REPOSITORY

COMMAND_SECONDS = 20
LAUNCHER_SOURCE = Path(__file__).with_name("anywhere_launch.c")
WORK = "/w"  # the one directory to write to, in every root
EXECUTABLE = "/etcd-snap"
PLAIN_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LANG": "C.UTF-8"}

# Arguments: layer, lower directories, work directory, executable, features; then the command.
ENTER = """set -e
layer=$1 lower=$2 work=$3 executable=$4 features=$5
shift 5
mount -t tmpfs -o mode=755 tmpfs "$layer"
mkdir "$layer/root" "$layer/upper" "$layer/work"
case $features in
    *read-only*) mount -t overlay -o "lowerdir=$lower" overlay "$layer/root" ;;
    *) mount -t overlay -o "lowerdir=$lower,upperdir=$layer/upper,workdir=$layer/work" overlay "$layer/root" ;;
esac
mount --bind "$executable" "$layer/root/etcd-snap"
mount --bind "$work" "$layer/root/w"
case $features in *proc*) mount -t proc proc "$layer/root/proc" ;; esac
case $features in *hide-dev*) mount -t tmpfs -o ro tmpfs "$layer/root/dev" ;; esac
exec "$@"
"""


class Hang(Exception):
    """A command that had to be ended after its time was up."""


class Processes:
    """Every command that runs, so that all can be ended at once."""

    def __init__(self):
        self._lock = threading.Lock()
        self._running = set()
        self._is_over = False

    def run(self, command, **options):
        """Runs a command in a session of its own and returns it completed; nothing of it lives on."""
        with self._lock:
            if self._is_over:
                raise LabError("interrupted")
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       start_new_session=True, **options)
            self._running.add(process)
        try:
            output, errors = process.communicate(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired as error:
            self._kill(process)
            output, errors = process.communicate()
            raise Hang(f"no end after {COMMAND_SECONDS} s; {errors[-400:].decode(errors='replace')}") from error
        finally:
            self._kill(process)
            with self._lock:
                self._running.discard(process)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    @staticmethod
    def _kill(process):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def end(self):
        """Ends all and lets none begin."""
        with self._lock:
            self._is_over = True
            for process in self._running:
                self._kill(process)


class Launcher:
    """The compiled launcher, and the numbers of system calls by their names."""

    def __init__(self, directory):
        self.path = Path(directory) / "launch"
        self._compile(["-O1", "-static", "-o", self.path, LAUNCHER_SOURCE])
        macros = self._compile(["-dM", "-E", "-include", "sys/syscall.h", "-x", "c", "/dev/null"])
        self.numbers = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", macros)}

    @staticmethod
    def _compile(arguments):
        result = subprocess.run(["gcc", *arguments], capture_output=True, text=True)
        if result.returncode != 0:
            raise LabError(f"gcc failed: {result.stderr.strip()}")
        return result.stdout

    def compile_library(self, source, path):
        """Compiles a shared library and returns its path."""
        self._compile(["-O1", "-shared", "-fPIC", "-o", path, source])
        return path

    def refusal(self, error_number, calls):
        """The launcher's option that refuses calls, each a name, a range of numbers, or NAME:ARGUMENT=VALUE."""
        words = []
        for call in calls:
            name, _, condition = call.partition(":")
            number = name if name[0].isdigit() else str(self.numbers[name])
            words.append(f"{number}:{condition}" if condition else number)
        return ["-f", f"{int(error_number)}={','.join(words)}"]


def tools_directory():
    """Where scripts/setup puts what tests need."""
    return Path(os.environ.get("ETCD_SNAP_TEST_TOOLS", REPOSITORY / ".tools"))


def cached_root(name):
    """A root file system that scripts/setup has made; never written to."""
    path = tools_directory() / "roots" / name
    if not path.is_dir():
        raise LabError(f"{path} does not exist; run scripts/setup")
    return path


class Place:
    """How to start the executable, and the one directory that it writes to as both sides call it."""

    def __init__(self, processes, work, work_inside, prefix, launch, executable):
        self.processes = processes
        self.work = work
        self.work_inside = work_inside
        self._prefix = prefix
        self._launch = launch
        self._executable = executable

    def inside(self, name):
        """A path of the work directory, as the executable is told it."""
        return f"{self.work_inside}/{name}"

    def join(self, prefix):
        """Begins every command line with a prefix that puts it into a control group."""
        self._prefix = [*prefix, *self._prefix]

    def run(self, *arguments, parent=()):
        """Runs the executable to its end, by a parent process if one is given."""
        command = [*self._prefix, *self._launch, "--", *parent, self._executable, *arguments]
        return self.processes.run([str(word) for word in command], cwd=self.work)


def environment_options(variables):
    """The launcher's options for an environment of exactly these variables."""
    return ["-E", *(word for name, value in variables.items() for word in ("-e", f"{name}={value}"))]


def host_place(context, trial, work):
    """This host, with what the trial takes away."""
    launch = [context.launcher.path, *environment_options(PLAIN_ENVIRONMENT | trial.environment), *trial.launch]
    return Place(context.processes, work, str(work), list(trial.prefix), launch, context.executable)


def put_files(directory, files):
    """Writes files by their names below a directory: text, or copies of others."""
    for name, contents in files.items():
        target = directory / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(contents, Path):
            shutil.copy(contents, target)
        else:
            target.write_text(contents)


def root_place(context, trial, directory, work):
    """A root of the trial's own: what it plants above a cached root, in memory, with the work directory mounted in it."""
    planted, layer, nothing = (directory / name for name in ("planted", "layer", "nothing"))
    for path in (planted / "w", layer, nothing):
        path.mkdir(parents=True)
    (planted / "etcd-snap").touch()
    if "proc" in trial.features:
        (planted / "proc").mkdir(exist_ok=True)
    put_files(planted, trial.planted)
    root = nothing if trial.root == "empty" else cached_root(trial.root)
    enter = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--",
             "sh", "-c", ENTER, "enter", layer, f"{planted}:{root}", work, context.executable, ",".join(trial.features)]
    variables = PLAIN_ENVIRONMENT | trial.environment if trial.keeps_environment else trial.environment
    launch = [context.launcher.path, "-r", layer / "root", *environment_options(variables), *trial.launch]
    return Place(context.processes, work, WORK, [*trial.prefix, *enter], launch, EXECUTABLE)
