"""Which lives there are: snapshots of real etcds, and the versions that live on them."""

import random
import re
from collections import namedtuple
from pathlib import Path

from etcd_histories import HISTORIES, PASSWORD, is_history, make_snapshot
from etcd_lab import REPOSITORY, LabError
from etcd_store import EtcdStore
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
        with EtcdStore(plan.source) as store:
            return Snapshot(plan.source, PASSWORD if store.auth_is_enabled() else None)  # a kept one of a history
    return make_snapshot(plan.name, plan.source, directory, address)


def version_paths(versions):
    """The versions of the first and the second half of a life: to stay on one, to step up, to go from first to last."""
    steps = list(zip(versions, versions[1:]))
    return [(version, version) for version in versions] + steps + [(versions[0], versions[-1])] * (len(versions) > 2)


def default_plans(versions):
    """The corpus: made histories by every version, files of the repository, and histories of the first seeds."""
    paths = version_paths(versions)
    plans = []
    for name in list(SLOW) + [name for name in HISTORIES if name not in SLOW and name not in ON_REQUEST]:
        for source in versions[-SLOW.get(name, len(versions)):]:
            plans.append(Plan(name, source, paths[len(plans) % len(paths)]))
    for file in fixtures():
        for _ in range(min(PATHS_PER_FIXTURE, len(paths))):
            plans.append(Plan(file.stem, file, paths[len(plans) % len(paths)]))
    return plans + [random_plan(seed, versions) for seed in range(1, RANDOM_COUNT + 1)]


def requested_plans(versions):
    """What the corpus leaves out for its size."""
    return [Plan(name, versions[-1], (versions[0], versions[-1])) for name in sorted(ON_REQUEST)]


def fixtures():
    """The repository's snapshots."""
    files = sorted(FIXTURES.glob("*.db"))
    if not files:
        raise LabError(f"{FIXTURES} holds no snapshot")
    return files


def random_plan(seed, versions):
    """The life of a seed's history."""
    source = random.Random(seed)
    return Plan(f"random-{seed}", source.choice(versions), source.choice(version_paths(versions)))


def file_plans(file, versions):
    """Every life of one snapshot file."""
    return [Plan(file.stem, file, path) for path in version_paths(versions)]


def selected_plans(only, versions):
    """The life of that identity, or those of the corpus whose identity begins so."""
    name, *rest = only.split("/")
    if re.fullmatch(r"random-\d+", name) and not rest:
        return [random_plan(int(name.removeprefix("random-")), versions)]
    if len(rest) == 2:
        return [named_plan(name, *rest)]
    corpus = requested_plans(versions) + default_plans(versions)
    plans = [plan for plan in corpus if f"{identity(plan)}/".startswith(f"{only}/")]
    if not plans:
        raise LabError(f"there is no life {only}; its names are {', '.join(HISTORIES)}, random-N and the fixtures'")
    return plans


def named_plan(name, source, path):
    """The one life of a full identity."""
    first, _, second = path.partition("-")
    if source == "file":
        source = FIXTURES / f"{name}.db"
    known = source.exists() if isinstance(source, Path) else source in VERSIONS and is_history(name)
    if not known or not {first, second or first} <= set(VERSIONS):
        raise LabError(f"there is no life {name} of {source} on {path}")
    return Plan(name, source, (first, second or first))
