"""Databases that real etcds write for the lives of restored clusters: each history aims at one shape of the store.

`write` drives a server of one member; `require` says what the snapshot must then be like, so that a history which no longer
makes its shape fails instead of proving nothing.
"""

import random
import re
import shutil
import subprocess
import time
from collections import namedtuple

from etcd_cluster import Cluster, delete, end_of_prefix, known_flags, put
from etcd_lab import LabError, encode, tool
from etcd_store import EtcdStore
from restored_life import Snapshot

OPERATIONS_PER_TXN = 100  # etcd allows 128
PASSWORD = "correct horse"
SLOW_COMPACTION = ("--experimental-compaction-batch-limit=1", "--compaction-batch-limit=1")

History = namedtuple("History", "write require flags", defaults=(None, ()))


class Source:
    """The server a history is written to."""

    def __init__(self, version, directory, address, seed):
        self.cluster = Cluster(directory, address, ["source"])
        self.member = self.cluster.members[0]
        self.version = version
        self.random = random.Random(seed)
        self.snapshot_path = self.cluster.directory / "snapshot.db"

    def transact(self, operations):
        """Runs operations in as many transactions as they need."""
        for start in range(0, len(operations), OPERATIONS_PER_TXN):
            self.cluster.transact(operations[start:start + OPERATIONS_PER_TXN])

    def put_many(self, keys, size):
        """Writes keys with random values of that size."""
        self.transact([put(key, self.random.randbytes(size)) for key in keys])

    def delete_prefix(self, prefix):
        """Deletes each key that begins so, at one revision."""
        self.cluster.transact([delete(prefix, end_of_prefix(prefix))])

    def grant(self, seconds):
        """A new lease."""
        return int(self.cluster.call("/v3/lease/grant", {"TTL": str(seconds)})["ID"])

    def revoke(self, lease):
        """Revokes a lease, which deletes its keys."""
        self.cluster.call("/v3/kv/lease/revoke", {"ID": str(lease)})

    def compact(self, back=0, physical=True):
        """Compacts to a revision that many before the newest."""
        self.cluster.compact(max(1, self.cluster.revision() - back), physical)

    def take_snapshot(self):
        """Saves what the server streams."""
        environment = {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": self.member.client_url}
        if self.cluster.password is not None:
            environment["ETCDCTL_USER"] = f"root:{self.cluster.password}"
        result = subprocess.run([tool(self.version, "etcdctl"), "snapshot", "save", self.snapshot_path], env=environment,
                                capture_output=True, text=True)
        if result.returncode != 0:
            raise LabError(f"etcdctl snapshot save failed: {result.stderr.strip()}")

    def copy_at_rest(self, kill=False):
        """Copies the database of the stopped member."""
        self.member.stop(kill)
        shutil.copyfile(self.member.database, self.snapshot_path)


def make_snapshot(name, version, directory, address):
    """Writes a history with an etcd of that version and returns its snapshot."""
    history = find_history(name)
    directory.mkdir()
    source = Source(version, directory, address, name)
    with source.cluster:
        source.cluster.start(version, known_flags(version, history.flags))
        history.write(source)
        if not source.snapshot_path.exists():
            source.take_snapshot()
    if history.require is not None:
        with EtcdStore(source.snapshot_path) as store:
            failed = history.require(store)
        if failed:
            raise LabError(f"the history {name} made no store as it should: {failed}")
    return Snapshot(source.snapshot_path, source.cluster.password)


def is_history(name):
    """Whether there is one of that name."""
    return name in HISTORIES or re.fullmatch(r"random-\d+", name) is not None


def find_history(name):
    """A history by its name; random-N is that of seed N."""
    return HISTORIES.get(name) or History(write_random)


def write_tombstones(source):
    """Deletes about half of what it writes, in an order that puts tombstones everywhere in leaves."""
    for part in range(12):
        keys = [b"/registry/pods/%d/%04d" % (part, number) for number in range(100)]
        source.put_many(keys, 60)
        deleted = source.random.sample(keys, 70)
        for start in range(0, 70, 7):
            source.transact([delete(key) for key in deleted[start:start + 7]] + [put(deleted[start - 7], b"again" * 20)])


def require_tombstones(store):
    """Leaves begin with one, end with one, and have one between; the last branch's children too."""
    shape = store.shape()
    if 0 in shape.tombstones_in_leaves() or 0 in shape.tombstones_on_the_right():
        return f"{shape.tombstones_in_leaves()} in leaves, {shape.tombstones_on_the_right()} on the right"
    return None


def write_deep(source):
    """Rows of which two fill a leaf, tombstones too by their long keys, until three levels of branches are above the leaves.

    The second page of the topmost of them begins behind some 108 * 108 leaves: by then all rows are tombstones.
    """
    padding = b"x" * 1750
    for part in range(6):
        source.transact([put(b"/deep/%d/%04d/" % (part, number) + padding, b"y" * 60) for number in range(2600)])
    for part in range(5):
        source.delete_prefix(b"/deep/%d/" % part)
    for part in range(20):
        keys = [b"/deep/end/%d/%d/" % (part, number) + padding for number in range(10)]
        source.transact([put(key, b"z") for key in keys])
        source.transact([delete(key) for key in keys[:9]])


def require_deep(store):
    """Three levels of branches; on each a page that a tombstone begins, and one of the rewritten pages has one below."""
    shape = store.shape()
    below, right = shape.tombstones_at_branches(), shape.tombstones_on_the_right()
    if shape.branch_level_count < 3 or 0 in below or 0 in right[1:]:
        return f"{shape.branch_level_count} levels of branches, tombstones first {below}, on the right {right}"
    return None


def write_deletions(source):
    """Whole prefixes, ranges and single keys go, twice, with a compaction between."""
    for number in range(2):
        for prefix in (b"/a/", b"/b/", b"/c/", b"/d/"):
            source.put_many([prefix + b"%04d" % key for key in range(300)], 40)
        source.delete_prefix(b"/a/")
        source.cluster.transact([delete(b"/b/0100", b"/b/0250")])
        source.delete_prefix(b"/c/00")
        if number == 0:
            source.compact(back=2)
    source.delete_prefix(b"/d/")


def write_transactions(source):
    """Puts, deletions and range deletions in one transaction: rows of one revision with many sub-revisions."""
    for number in range(60):
        keys = [b"/txn/%d/%d" % (number % 7, key) for key in source.random.sample(range(200), 60)]
        source.cluster.transact([put(key, b"%d" % number * 9) for key in keys[:35]] + [delete(key) for key in keys[35:]]
                                + [delete(b"/txn/%d/" % (7 + number % 3), b"/txn/%d0" % (7 + number % 3))]
                                + [put(b"/other/%d" % number, b"v" * number)])


def write_leases(source):
    """Leases with many keys and with none, revoked, expired, and moved from one key to another."""
    long, moved, revoked, expiring = source.grant(7200), source.grant(3600), source.grant(3600), source.grant(1)
    source.grant(5000)
    for lease, name in ((long, b"long"), (revoked, b"revoked"), (expiring, b"expiring"), (moved, b"moved")):
        source.transact([put(b"/lease/%s/%03d" % (name, key), b"l" * 50, lease) for key in range(80)])
    source.transact([put(b"/lease/moved/%03d" % key, b"m", long if key % 2 else 0) for key in range(0, 80, 3)])
    source.revoke(revoked)
    deadline = time.monotonic() + 60
    while source.cluster.call("/v3/kv/range", {"key": encode(b"/lease/expiring/000"), "count_only": True}).get("count"):
        if time.monotonic() > deadline:
            raise LabError("a lease of a second has not expired after a minute")
        time.sleep(0.2)
    source.put_many([b"/plain/%d" % key for key in range(50)], 100)


def require_leases(store):
    """The three leases that are left, and keys of two of them."""
    leases, used = store.lease_seconds(), {value.lease for value in store.live().values()}
    return None if len(leases) == 3 and len(used - {0}) == 2 else f"leases {leases}, used {used}"


def write_users(source):
    """Authentication is on, with users and roles."""
    write_deletions(source)
    source.put_many([b"/auth/%d" % key for key in range(200)], 80)
    call = source.cluster.call
    for role in ("root", "reader"):
        call("/v3/auth/role/add", {"name": role})
    call("/v3/auth/role/grant", {"name": "reader", "perm": {
        "permType": "READ", "key": encode(b"/auth/"), "range_end": encode(b"/auth0")}})
    for user, role in (("root", "root"), ("ann", "reader")):
        call("/v3/auth/user/add", {"name": user, "password": PASSWORD})
        call("/v3/auth/user/grant", {"user": user, "role": role})
    call("/v3/auth/enable", {})
    source.cluster.password = PASSWORD


def require_users(store):
    """Authentication is on in the database."""
    return None if store.auth_is_enabled() else "authentication is off"


def write_compacting(source):
    """The snapshot is taken while a compaction is under way."""
    write_tombstones(source)
    source.compact(physical=False)


def require_compacting(store):
    """A compaction is scheduled and not finished."""
    scheduled, finished = store.compaction()
    return None if scheduled > finished else f"scheduled {scheduled}, finished {finished}"


def write_defragmented(source):
    """Much was deleted and compacted before a defragmentation built the tree anew; little was written after it."""
    write_tombstones(source)
    source.compact(back=60)
    source.cluster.defragment(source.member)
    source.transact([put(b"/after", b"1")])


def write_single(source):
    """One key that was written once."""
    source.transact([put(b"/one", b"1")])


def write_big(source):
    """Values of up to 1 MiB, in overflow pages, with deletions between."""
    for number in range(14):
        source.transact([put(b"/big/%d" % number, source.random.randbytes(source.random.choice((1 << 20, 70_000, 4000))))])
        source.transact([delete(b"/big/%d" % (number - 3)), put(b"/small/%d" % number, b"s")])


def write_at_rest(source):
    """The database of a stopped member: no digest behind it, and longer than its pages."""
    write_tombstones(source)
    source.copy_at_rest()


def write_crashed(source):
    """The database of a killed member."""
    write_tombstones(source)
    source.copy_at_rest(kill=True)


def write_large(source, mebibytes=256):
    """Rows of a few KiB until the database has a size, every tenth key deleted."""
    noise = source.random.randbytes(1 << 20)
    for number in range(mebibytes):
        keys = [b"/large/%04d/%03d" % (number, key) for key in range(100)]
        sizes = [source.random.randrange(6_000, 14_000) for _ in keys]
        starts = [source.random.randrange(len(noise) - size) for size in sizes]
        source.transact([put(key, noise[at:at + size]) for key, size, at in zip(keys, sizes, starts)])
        source.transact([delete(key) for key in source.random.sample(keys, 10)])


def write_huge(source):
    """As the large one, of 1 GB."""
    write_large(source, 1000)


class RandomHistory:
    """Puts, deletions, transactions, leases, compactions, defragmentations and restarts as a seed has them."""

    def __init__(self, source):
        self.source = source
        self.random = source.random
        self.key_count = self.random.choice((5, 60, 800))
        self.padding = b"k" * self.random.choice((0, 0, 30, 600))
        self.value_sizes = self.random.choice(((0, 20), (10, 300), (800, 1200), (1, 9000)))
        self.leases = []
        self.compacted = 0

    def write(self):
        """Writes it all, and takes the snapshot in a way that the seed chooses too."""
        steps = [self.puts, self.deletions, self.deletions, self.mixture, self.mixture, self.prefix, self.lease, self.revoke,
                 self.compaction, self.defragmentation, self.restart]
        weights = [self.random.choice((8, 16)), 6, 6, 6, 6, self.random.choice((1, 3)), 1, 1, 1, 0.3, 0.3]
        for step in self.random.choices(steps, weights, k=self.random.choice((10, 60, 150))):
            step()
        self.source.transact([put(b"/end", b"")])
        if self.random.random() < 0.3:
            self.source.copy_at_rest(kill=self.random.random() < 0.5)

    def key(self):
        """Any key."""
        number = self.random.randrange(self.key_count)
        return b"/%d/%d/" % (number % 4, number) + self.padding

    def keys(self, limit):
        """Some distinct keys."""
        return list({self.key() for _ in range(self.random.randint(1, limit))})

    def put(self, key):
        """An operation that writes it, sometimes under a lease."""
        lease = self.random.choice(self.leases) if self.leases and self.random.random() < 0.2 else 0
        return put(key, self.random.randbytes(self.random.randint(*self.value_sizes)), lease)

    def puts(self):
        """Writes keys in a transaction."""
        self.source.transact([self.put(key) for key in self.keys(100)])

    def deletions(self):
        """Deletes keys one by one or together."""
        operations = [delete(key) for key in self.keys(40)]
        for part in [operations] if self.random.random() < 0.7 else [[each] for each in operations[:10]]:
            self.source.transact(part)

    def mixture(self):
        """Writes and deletes in one transaction."""
        self.source.transact([self.put(key) if self.random.random() < 0.5 else delete(key) for key in self.keys(100)])

    def prefix(self):
        """Deletes all keys of a prefix."""
        self.source.delete_prefix(b"/%d/%s" % (self.random.randrange(4), self.random.choice((b"", b"1", b"22"))))

    def lease(self):
        """Grants one."""
        self.leases.append(self.source.grant(self.random.choice((60, 3600, 100_000))))

    def revoke(self):
        """Revokes one, if there is one."""
        if self.leases:
            self.source.revoke(self.leases.pop(self.random.randrange(len(self.leases))))

    def compaction(self):
        """Compacts to any revision behind the last compaction."""
        newest = self.source.cluster.revision()
        if newest > self.compacted + 1:
            self.compacted = self.random.randint(self.compacted + 1, newest)
            self.source.cluster.compact(self.compacted, physical=self.random.random() < 0.7)

    def defragmentation(self):
        """Builds the database's trees anew."""
        self.source.cluster.defragment(self.source.member)

    def restart(self):
        """Ends the server or kills it, and starts it."""
        self.source.cluster.restart(self.source.member, self.source.version, kill=self.random.random() < 0.5)


def write_random(source):
    """What the seed has."""
    RandomHistory(source).write()


HISTORIES = {
    "tombstones": History(write_tombstones, require_tombstones),
    "deep-tree": History(write_deep, require_deep),
    "deletions": History(write_deletions),
    "transactions": History(write_transactions),
    "leases": History(write_leases, require_leases),
    "users": History(write_users, require_users),
    "compacting": History(write_compacting, require_compacting, SLOW_COMPACTION),
    "defragmented": History(write_defragmented),
    "empty": History(lambda source: None),
    "single-key": History(write_single),
    "big-values": History(write_big),
    "at-rest": History(write_at_rest, require_tombstones),
    "crashed": History(write_crashed, require_tombstones),
    "large": History(write_large),
    "huge": History(write_huge),
}
