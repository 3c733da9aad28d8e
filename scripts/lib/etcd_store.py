"""What an etcd database at rest holds: keys, leases, revisions, and where its tombstones lie in the tree."""

import hashlib
import struct
from collections import namedtuple

from bbolt_file import BRANCH, BboltFile
from protobuf import fields

KEY, LEASE, META, AUTH = b"key", b"lease", b"meta", b"auth"
TOMBSTONE_KEY_SIZE = 18  # u64 main, '_', u64 sub; a tombstone has a 't' behind it

# `value` is a fingerprint of it: the values of a large store must not be held in memory.
KeyValue = namedtuple("KeyValue", "create_revision mod_revision version value lease")


def fingerprint(value):
    """What two values are compared by."""
    return hashlib.blake2b(value, digest_size=16).digest()


def is_tombstone(row_key):
    """Whether a row of bucket `key` is a deletion."""
    return len(row_key) == TOMBSTONE_KEY_SIZE


def main_revision(row_key):
    """The transaction's revision of a row's key, or of a compaction's row in bucket `meta`."""
    return struct.unpack_from(">Q", row_key)[0]


def decode(message):
    """Key and KeyValue of a message of mvccpb; absent fields are zero or empty."""
    found = dict(fields(memoryview(message)))
    numbers = (found.get(number, 0) for number in (2, 3, 4))
    return bytes(found.get(1, b"")), KeyValue(*numbers, fingerprint(found.get(5, b"")), found.get(6, 0))


class EtcdStore:
    """A snapshot's or a member's db."""

    def __init__(self, path):
        self.file = BboltFile(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def rows(self):
        """Key and value of every row of bucket `key`, oldest revision first."""
        return self.file.rows(KEY)

    def live(self):
        """The keys that exist at the newest revision: a dictionary of KeyValue."""
        newest = {}
        for row_key, message in self.rows():
            key, key_value = decode(message)
            if is_tombstone(row_key):
                newest.pop(key, None)
            else:
                newest[key] = key_value
        newest.pop(b"", None)  # the marker of a raised revision, which etcd never shows
        return newest

    def lease_seconds(self):
        """Each lease's time to live after a restart: what remained, where that was kept, otherwise what was granted."""
        leases = {}
        for _, message in self.file.rows(LEASE):
            found = dict(fields(message))
            leases[found[1]] = found.get(3) or found.get(2, 0)
        return leases

    def auth_is_enabled(self):
        """Whether requests need a user."""
        return dict(self.file.rows(AUTH)).get(b"authEnabled") == b"\1"

    def compaction(self):
        """The revisions of the last compaction that was scheduled and of the last one that was finished; 0 for none."""
        meta = dict(self.file.rows(META))
        return tuple(main_revision(meta.get(name, bytes(8))) for name in (b"scheduledCompactRev", b"finishedCompactRev"))

    def shape(self):
        """The bucket `key`'s tree."""
        return TreeShape(list(self.file.levels(KEY)))


class TreeShape:
    """Where tombstones lie in the tree of bucket `key`."""

    def __init__(self, levels):
        self.levels = levels

    @property
    def branch_level_count(self):
        """How many levels of branches are above the leaves."""
        return sum(level[0].flags == BRANCH for level in self.levels)

    def tombstones_in_leaves(self):
        """How many leaves begin with a tombstone, end with one, and have one between."""
        leaves = [page.keys for page in self.levels[-1] if page.keys]
        return (sum(is_tombstone(keys[0]) for keys in leaves), sum(is_tombstone(keys[-1]) for keys in leaves),
                sum(any(map(is_tombstone, keys[1:-1])) for keys in leaves))

    def tombstones_at_branches(self):
        """For each level of branches below the root, how many pages have a tombstone as their very first key."""
        return [sum(is_tombstone(page.keys[0]) for page in level) for level in self.levels[1:self.branch_level_count]]

    def tombstones_on_the_right(self):
        """For each level of branches, how many children of its last page begin with a tombstone.

        A restore that appends a row writes these pages anew.
        """
        return [sum(map(is_tombstone, level[-1].keys)) for level in self.levels[:self.branch_level_count]]
