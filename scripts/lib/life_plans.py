"""Which lives there are: snapshots of real etcds, and the versions that live on them."""

import random
from collections import namedtuple
from pathlib import Path

from etcd_histories import HISTORIES, make_snapshot
from etcd_lab import REPOSITORY, LabError
from restored_life import Snapshot

FIXTURES = REPOSITORY / "Tests" / "Fixtures" / "etcd"
VERSIONS = ("3.4", "3.5", "trixie", "unstable")  # oldest first
PATHS_PER_FIXTURE = 2
RANDOM_COUNT = 24
# Histories that take long, so of few versions; what takes longest begins first.
SLOW = {"large": 1, "deep-tree": 2}
ON_REQUEST = {"huge"}

# `source` is the version that writes a history, or the file of a snapshot that is there already.
Plan = namedtuple("Plan", "name source versions")


def identity(plan):
    """What names a life for a person and for --only."""
    source = "file" if isinstance(plan.source, Path) else plan.source
    return f"{plan.name}/{source}/{'-'.join(dict.fromkeys(plan.versions))}"


def snapshot_of(plan, directory, address):
    """The plan's snapshot, made when it is none of a file."""
    if isinstance(plan.source, Path):
        return Snapshot(plan.source)
    return make_snapshot(plan.name, plan.source, directory, address)


def version_paths(versions):
    """The versions of the first and the second half of a life: to stay on one, to step up, to go from first to last."""
    steps = list(zip(versions, versions[1:]))
    return [(version, version) for version in versions] + steps + [(versions[0], versions[-1])] * (len(versions) > 2)


def default_plans(versions, with_huge=False):
    """The corpus: made histories by every version, files of the repository, and histories of the first seeds."""
    paths = version_paths(versions)
    names = list(SLOW) + [name for name in HISTORIES if name not in SLOW and name not in ON_REQUEST]
    if with_huge:
        names.insert(0, "huge")
    plans = []
    for name in names:
        count = 1 if name in ON_REQUEST else SLOW.get(name, len(versions))
        for source in versions[-count:]:
            plans.append(Plan(name, source, paths[len(plans) % len(paths)]))
    files = sorted(FIXTURES.glob("*.db"))
    if not files:
        raise LabError(f"{FIXTURES} holds no snapshot")
    for file in files:
        for _ in range(min(PATHS_PER_FIXTURE, len(paths))):
            plans.append(Plan(file.stem, file, paths[len(plans) % len(paths)]))
    return plans + [random_plan(seed, versions) for seed in range(1, RANDOM_COUNT + 1)]


def random_plan(seed, versions):
    """The life of a seed's history."""
    source = random.Random(seed)
    return Plan(f"random-{seed}", source.choice(versions), source.choice(version_paths(versions)))


def file_plans(file, versions):
    """Every life of one snapshot file."""
    return [Plan(file.stem, file, path) for path in version_paths(versions)]


def selected_plans(only, versions):
    """The plans whose identity is, or begins with, a given one; also those that the corpus leaves out."""
    name, *rest = only.split("/")
    if name.startswith("random-") and name[7:].isdecimal():
        return [random_plan(int(name[7:]), versions)]
    plans = [plan for plan in default_plans(versions, with_huge=True) if f"{identity(plan)}/".startswith(f"{only}/")]
    if not plans and name in HISTORIES and len(rest) == 2:
        first, _, second = rest[1].partition("-")
        plans = [Plan(name, rest[0], (first, second or first))]
    if not plans:
        raise LabError(f"there is no life {only}; its names are {', '.join(HISTORIES)}, random-N and the fixtures'")
    return plans
