"""The life of a cluster that `etcd-snap restore etcd` made: what it must survive, and what must be true meanwhile.

A restored database that boots can still die at its first compaction, or make members differ. So three members live through
writes, compactions, defragmentations, restarts, a crash and a new member, and at each stage their HashKV must be equal and
every key of the snapshot must be there as it was.

The snapshot's own contents are read by bbolt_file, which needs no server and no tool, and judges the files' trees as well.
"""

import filecmp
import json
import random
import subprocess
from collections import namedtuple
from contextlib import contextmanager

from etcd_cluster import Cluster, EtcdFailure, delete, end_of_prefix, put
from etcd_lab import LabError
from etcd_store import EtcdStore
from expected_keys import ExpectedKeys, is_compacted_watch, read_keys, read_leases

MEMBER_NAMES = ("m1", "m2", "m3")
EVERY_MEMBER_BYTES = 16 << 20  # of larger databases the keys are read from one member at a time, and at fewer stages
KUBERNETES_PREFIX = b"/registry/"
BUMP = 1_000_000_000
OWN_PREFIX = b"\x01life/"  # no key of a snapshot begins so

# A snapshot: `password` is root's where authentication is on.
Snapshot = namedtuple("Snapshot", "path password", defaults=(None,))


class LifeFailure(Exception):
    """A restore that is not right, and the stage of life at which that showed."""


class Life:
    """One restore and what follows; `versions` are those of the first and the second half."""

    def __init__(self, name, etcd_snap, snapshot, versions, directory, address):
        self.etcd_snap = etcd_snap
        self.snapshot = snapshot
        self.first_version, self.second_version = versions
        self.cluster = Cluster(directory, address, MEMBER_NAMES, snapshot.password)
        self.random = random.Random(name)
        self.findings = []
        self.write_count = 0
        with EtcdStore(snapshot.path) as store:
            self.expected = ExpectedKeys(store)
            self.row_count = sum(1 for _ in store.rows())
            self.compacted_at = max(store.compaction())
        self.bump_flags = self._choose_bump()
        self.is_large = snapshot.path.stat().st_size > EVERY_MEMBER_BYTES

    def _choose_bump(self):
        """The default raises the revision for Kubernetes only; most others are to be raised too."""
        if any(key.startswith(KUBERNETES_PREFIX) for key in self.expected.keys) or self.random.random() < 0.2:
            return []
        return ["--bump-revision", str(BUMP)]

    @contextmanager
    def stage(self, name):
        """Says at which stage what is inside failed."""
        try:
            yield
            self._require_sound_members()
        except (EtcdFailure, LabError) as error:
            raise LifeFailure("; ".join([*self.findings, f"{name}: {self._cause(error)}"])) from error

    def _require_sound_members(self):
        for member in self.cluster.members:
            if member.fatal_lines():
                raise EtcdFailure(f"{member.name} logged {' | '.join(member.fatal_lines())}")

    def _cause(self, error):
        """The error, behind what a member logged: that explains how it showed at another one."""
        try:
            self._require_sound_members()
        except EtcdFailure as cause:
            return f"{cause}; {error}"
        return error

    def run(self):
        """Lives it all; raises LifeFailure. A finding in the files at rest does not keep the members from living on."""
        with self.cluster:
            self._be_restored()
            self._boot()
            self._work()
            self._be_restarted()
            self._grow()
            self._end()
        if self.findings:
            raise LifeFailure("; ".join(self.findings))

    def _be_restored(self):
        members = self.cluster.members
        with self.stage("restore"):
            restored = self._restore()
            self.revision, self.is_bumped = restored["revision"], restored["revisionBump"] > 0
            for member in members[1:]:
                if not filecmp.cmp(members[0].database, member.database, shallow=False):
                    raise EtcdFailure(f"the databases of {members[0].name} and {member.name} differ")
            self._examine(members[0], "restored")
            self._compare_rows(members[0])

    def _restore(self):
        """Runs the restore and returns what it prints."""
        command = [self.etcd_snap, "restore", "etcd", self.snapshot.path, "--all-members", "--skip-hash-check",
                   "--data-dir", self.cluster.directory, "--initial-cluster", self.cluster.initial_cluster(),
                   "--output", "json", "--quiet", *self.bump_flags]
        result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if result.returncode != 0:
            raise EtcdFailure(f"exit code {result.returncode}: {' '.join(result.stderr.split())}")
        return json.loads(result.stdout)

    def _examine(self, member, state):
        """Notes what is wrong in a database at rest."""
        with EtcdStore(member.database) as store:
            problems = store.file.problems()
        if problems:
            self.findings.append(f"{member.name} as {state} has {len(problems)} faults in its tree, first: {problems[0]}")

    def _compare_rows(self, member):
        """Every row of the snapshot, and behind them only the marker of a raised revision."""
        with EtcdStore(self.snapshot.path) as before, EtcdStore(member.database) as after:
            rows = after.rows()
            for row in before.rows():
                if next(rows, None) != row:
                    raise EtcdFailure(f"the restored rows differ from the snapshot's at {row[0].hex()}")
            marker = (self.revision.to_bytes(8, "big") + b"_" + bytes(8), b"")
            if list(rows) != [marker] * self.is_bumped:
                raise EtcdFailure(f"behind the snapshot's rows is not what revision {self.revision} needs")

    def _boot(self):
        with self.stage("boot"):
            self.cluster.start(self.first_version)
        with self.stage("the first compaction"):
            if self.is_bumped:
                self.compacted_at = self.revision
            elif self.compacted_at == 0:
                self.compacted_at = -1  # what HashKV says of a store that was never compacted
            for member in self.cluster.members:
                if self.is_bumped:
                    member.wait_until(lambda m=member: m.has_logged("finished scheduled compaction", str(self.revision)))
            self._agree()
            self._check_keys(self.cluster.members)
            for member in self.cluster.members:
                self._old_watch_is_compacted(member)

    def _work(self):
        members = self.cluster.members
        with self.stage("writes"):
            self._write()
        with self.stage("a compaction"):
            self._compact(self.cluster.revision() - 1)
        for member in members:
            with self.stage(f"defragmentation of {member.name}"):
                self.cluster.defragment(member)
                self._agree()
        with self.stage("a physical compaction"):
            self._write()
            self._compact(self.cluster.revision(), physical=True)
            if not self.is_large:
                self._check_keys(members)

    def _be_restarted(self):
        crashing = self.random.randrange(len(self.cluster.members))
        for index, member in enumerate(self.cluster.members):
            how = "crash" if index == crashing else "restart"
            with self.stage(f"{how} of {member.name}, then {self.second_version}"):
                self.cluster.restart(member, self.second_version, kill=index == crashing)
                self._agree()
        with self.stage("a physical compaction after the restarts"):
            self._write()
            self._compact(self.cluster.revision(), physical=True)

    def _grow(self):
        with self.stage("a new member"):
            member = self.cluster.add_member("m4", self.second_version)
            self._agree()
            if self.snapshot.password is not None:
                # Some etcds accept no token after they took over a snapshot, until they are restarted.
                self.cluster.restart(member, self.second_version)
            self._check_keys([member])
            self._write()
            self._compact(self.cluster.revision() - 1)

    def _end(self):
        with self.stage("the end"):
            self._check_keys(self.cluster.members[:1] if self.is_large else self.cluster.members)
            alarms = self.cluster.call("/v3/maintenance/alarm", {"action": "GET"}).get("alarms")
            if alarms:
                raise EtcdFailure(f"alarms are raised: {alarms}")
            self.cluster.stop(kill=True)
            for member in self.cluster.members:
                self._examine(member, "lived")

    def _write(self):
        """Writes new keys, overwrites and deletes older ones, and deletes a range, each in a transaction of several."""
        self.write_count += 1
        prefix = OWN_PREFIX + b"%d/" % self.write_count
        for part in range(3):
            new = {prefix + b"%d/%d" % (part, number): self.random.randbytes(self.random.choice((5, 100, 900, 2000)))
                   for number in range(30)}
            old = self.expected.sample(self.random, 12)
            changed = {key: b"changed" for key in old[:6]}
            self._apply(new | changed, old[6:])
        doomed = prefix + b"1/"
        self.cluster.transact([delete(doomed, end_of_prefix(doomed)), put(prefix + b"last", b"")])
        self.expected.delete_prefix(doomed)
        self.expected.put(prefix + b"last", b"")

    def _apply(self, puts, deletions):
        self.cluster.transact([put(key, value) for key, value in puts.items()] + [delete(key) for key in deletions])
        for key, value in puts.items():
            self.expected.put(key, value)
        for key in deletions:
            self.expected.delete(key)

    def _compact(self, revision, physical=False):
        self.cluster.compact(revision, physical, self.random.choice(self.cluster.members))
        self.compacted_at = revision
        self._agree()

    def _agree(self):
        """All members must have the same HashKV at one revision.

        A write comes first: of a revision that was compacted at, etcd may return a hash that it remembers.
        """
        revision = self.cluster.transact([put(OWN_PREFIX + b"tick", b"")])
        self.expected.put(OWN_PREFIX + b"tick", b"")
        hashes = {}
        for member in self.cluster.members:
            member.wait_until(lambda m=member: self.cluster.revision(m) >= revision)
            hashes[member.name] = member.hash_kv(revision)
        if len(set(hashes.values())) != 1:
            raise EtcdFailure(f"HashKV and compact revision differ at revision {revision}: {hashes}")
        if set(hashes.values()).pop()[1] != self.compacted_at:
            raise EtcdFailure(f"the compact revision is not {self.compacted_at}: {hashes}")

    def _check_keys(self, members):
        for member in members:
            differences = self.expected.differences(read_keys(self.cluster, member), read_leases(self.cluster, member))
            if differences:
                raise EtcdFailure(f"{member.name}: {len(differences)} keys and leases differ, first: {differences[0]}")

    def _old_watch_is_compacted(self, member):
        if self.is_bumped and not is_compacted_watch(self.cluster, member, self.revision - 1, self.revision):
            raise EtcdFailure(f"{member.name} let a watch begin at a revision of before the restore")
