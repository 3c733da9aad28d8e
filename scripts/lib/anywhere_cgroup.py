"""A control group with limits, by cgroup v2 or, where a controller is bound to v1, by that."""

import itertools
import os
import time
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
EMPTY_SECONDS = 5
numbers = itertools.count(1)


class Unavailable(Exception):
    """A controller that this host does not have."""


def v1_values(name, value):
    """The files of cgroup v1 for a limit as v2 names it."""
    if name == "memory.max":
        return {"memory.limit_in_bytes": value}
    if name == "cpu.max":
        quota, period = value.split()
        return {"cpu.cfs_period_us": period, "cpu.cfs_quota_us": quota}
    if name == "cpuset.cpus":
        return {"cpuset.mems": (MOUNT / "cpuset/cpuset.mems").read_text().strip(), name: value}
    return {name: value}


class Cgroup:
    """Made on entry, removed on exit; `prefix` starts a command in it."""

    def __init__(self, limits):
        self.limits = limits
        self.directories = []

    def __enter__(self):
        try:
            for name, value in self.limits.items():
                self._limit(name, value)
        except OSError as error:
            self.__exit__()
            raise Unavailable(f"{error.filename}: {error.strerror}") from error
        except Unavailable:
            self.__exit__()
            raise
        return self

    def _limit(self, name, value):
        controller = name.partition(".")[0]
        unified = MOUNT / "cgroup.controllers"
        if unified.exists():
            if controller not in unified.read_text().split():
                raise Unavailable(f"cgroup v2 has no controller {controller}")
            subtree = MOUNT / "cgroup.subtree_control"
            if controller not in subtree.read_text().split():
                subtree.write_text(f"+{controller}")
            self._make(MOUNT, {name: value})
        elif (MOUNT / controller).is_dir():
            self._make(MOUNT / controller, v1_values(name, value))
        else:
            raise Unavailable(f"no cgroup controller {controller} is mounted")

    def _make(self, parent, values):
        directory = parent / f"etcd-snap-anywhere-{os.getpid()}-{next(numbers)}"
        directory.mkdir()
        self.directories.append(directory)
        for name, value in values.items():
            (directory / name).write_text(value)

    @property
    def prefix(self):
        """Begins a command line: joins the groups, then becomes the command."""
        joins = " && ".join(f"echo $$ >{directory}/cgroup.procs" for directory in self.directories)
        return ["sh", "-c", f'{joins} && exec "$@"', "join"]

    def __exit__(self, *_):
        deadline = time.monotonic() + EMPTY_SECONDS
        while self.directories:
            try:
                self.directories[-1].rmdir()
                self.directories.pop()
            except OSError:  # processes that were killed are still leaving
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
