"""The keys and leases that a cluster must have, and how they are read from it."""

import base64
import json

from etcd_lab import encode
from etcd_store import KeyValue, fingerprint

PAGE_KEYS = 2000
PAGE_BYTES = 8 << 20
FLEETING_LEASE_SECONDS = 900  # keys of a shorter lease may vanish while a life lasts


class ExpectedKeys:
    """A snapshot's keys, changed as the cluster's are. Of keys written since, only value and lease are known."""

    def __init__(self, store):
        self.leases = {lease for lease, seconds in store.lease_seconds().items() if seconds >= FLEETING_LEASE_SECONDS}
        self.keys = store.live()
        self.fleeting = {key for key, value in self.keys.items() if value.lease and value.lease not in self.leases}

    def __len__(self):
        return len(self.keys)

    def sample(self, source, count):
        """Some keys that will not vanish by themselves, at most a quarter of all."""
        lasting = [key for key in self.keys if key not in self.fleeting]
        return source.sample(lasting, min(count, len(lasting) // 4))

    def put(self, key, value):
        """A key was written without a lease."""
        self.keys[key] = KeyValue(None, None, None, fingerprint(value), 0)

    def delete(self, key):
        """A key was deleted."""
        del self.keys[key]

    def delete_prefix(self, prefix):
        """The keys that begin so were deleted."""
        for key in [key for key in self.keys if key.startswith(prefix)]:
            del self.keys[key]

    def differences(self, found, leases):
        """What differs from the keys and leases found, as sentences."""
        missing = [f"lease {lease} is missing" for lease in self.leases - leases]
        missing += [f"{key!r} is missing" for key in self.keys if key not in found and key not in self.fleeting]
        surplus = [f"{key!r} must not be there" for key in found if key not in self.keys]
        changed = [f"{key!r} is {found[key]}, not {value}" for key, value in self.keys.items()
                   if key in found and not is_as_expected(value, found[key])]
        return missing + surplus + changed


def is_as_expected(expected, found):
    """Whether each field that is known is equal."""
    return all(wanted is None or wanted == got for wanted, got in zip(expected, found))


def read_keys(cluster, member):
    """Every key that a member serves by itself, at one revision: a dictionary of KeyValue."""
    found = {}
    start, revision, limit = b"\0", 0, 1
    while start is not None:
        body = {"key": encode(start), "range_end": encode(b"\0"), "serializable": True, "limit": str(limit)}
        answer = cluster.call("/v3/kv/range", body | ({"revision": str(revision)} if revision else {}), member)
        revision = revision or int(answer["header"]["revision"])
        page = answer.get("kvs", ())
        size = 0
        for each in page:
            value = base64.b64decode(each.get("value", ""))
            size += len(value)
            numbers = (int(each.get(name, 0)) for name in ("create_revision", "mod_revision", "version"))
            found[base64.b64decode(each["key"])] = KeyValue(*numbers, fingerprint(value), int(each.get("lease", 0)))
        start = base64.b64decode(page[-1]["key"]) + b"\0" if answer.get("more") else None
        limit = page_limit(limit, size)
    return found


def read_leases(cluster, member):
    """The leases that a member knows."""
    return {int(each["ID"]) for each in cluster.call("/v3/lease/leases", {}, member).get("leases", ())}


def page_limit(limit, size):
    """How many keys to ask for next, when so many had that many bytes of values."""
    return min(PAGE_KEYS, 4 * limit, max(1, limit * PAGE_BYTES // max(size, 1)))


def is_compacted_watch(cluster, member, start_revision, compact_revision):
    """Whether a watch from an old revision is cancelled, with that compact revision."""
    request = {"create_request": {"key": encode(b"\0"), "range_end": encode(b"\0"), "start_revision": str(start_revision)}}
    cluster.revision(member)  # logs in where that is needed
    connection = member.gateway.connection
    connection.request("POST", "/v3/watch", json.dumps(request).encode(), member.gateway.headers)
    response = connection.getresponse()
    try:
        for line in response:
            result = json.loads(line).get("result", {})
            if result.get("canceled"):
                return int(result.get("compact_revision", 0)) == compact_revision
            if result.get("events"):
                return False
        return False
    finally:
        connection.close()  # the stream has no end of its own
