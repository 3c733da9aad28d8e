"""Members of a real etcd without TLS on a loopback address of their own: started, killed, restarted on other versions.

Where etcd_lab's Lab is a cluster that outlives the script, this one ends with the process that made it, whatever ends that.
"""

import ctypes
import functools
import http.client
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from etcd_lab import Gateway, LabError, encode, free_ports, last_lines, tool

WAIT_SECONDS = 90
CALL_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 30
HEARTBEAT_MILLISECONDS = 60
QUOTA_BYTES = 8 << 30
ROOT_USER = "root"
PR_SET_PDEATHSIG = 1  # prctl(2)
# etcd's own checks, as far as a version has them: on later versions a flag has another name, or is a feature gate.
CHECK_FLAGS = (
    "--experimental-initial-corrupt-check=true",
    "--experimental-corrupt-check-time=1s", "--corrupt-check-time=1s",
    "--experimental-compact-hash-check-enabled=true",
    "--experimental-compact-hash-check-time=1s", "--compact-hash-check-time=1s",
)
CHECK_FEATURES = ("InitialCorruptCheck", "CompactHashCheck")
# What passes while members restart and elect.
TRANSIENT = re.compile("Connection refused|Connection reset|RemoteDisconnected|leader changed|no leader|timed out"
                       "|too many requests|unhealthy cluster|connection error|is unavailable|transport is closing")
# A member forgets its tokens when it restarts and when it takes over the leader's snapshot.
LOGGED_OUT = re.compile("invalid auth token|user name is empty|auth revision is old")
# What a repeated request is told when the first one was carried out and only its answer was lost.
ALREADY_DONE = re.compile("required revision has been compacted|Peer URLs already exists|requested lease not found")
FATAL = re.compile(r'"level":"(?:panic|fatal|dpanic)"|^panic:|^fatal error:|already freed|data inconsistency'
                   r'|assertion failed|SIGSEGV|corrupt(?:ed|ion) (?:found|detected)|found hash mismatch|hash mismatch')


class EtcdFailure(Exception):
    """What an etcd did that it must not do."""


def die_with_parent(signal_number):
    """Has the kernel signal this process when its parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal_number))


@functools.cache
def version_number(version):
    """The version that an etcd states of itself, such as 3.5.16."""
    text = subprocess.run([tool(version, "etcd"), "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"etcd Version: (\S+)", text).group(1)


@functools.cache
def help_text(version):
    """What an etcd prints about its flags."""
    result = subprocess.run([tool(version, "etcd"), "--help"], capture_output=True, text=True)
    return result.stdout + result.stderr


def known_flags(version, flags):
    """Those of the flags, as --name=value, that a version has."""
    return [flag for flag in flags if re.search(rf"^\s+{flag.partition('=')[0]}\b", help_text(version), re.MULTILINE)]


def check_flags(version):
    """The flags that turn on a version's checks of itself."""
    features = [f"{name}=true" for name in CHECK_FEATURES if name in help_text(version)]
    return known_flags(version, CHECK_FLAGS) + ([f"--feature-gates={','.join(features)}"] if features else [])


class Member:
    """One member: its place, its process, and a connection to it."""

    def __init__(self, name, directory, address):
        client_port, peer_port = free_ports(2, address)
        self.name = name
        self.client_url = f"http://{address}:{client_port}"
        self.peer_url = f"http://{address}:{peer_port}"
        self.data_directory = Path(directory) / name
        self.log = Path(directory) / f"{name}.log"
        self.process = None
        self.version = None
        self.gateway = Gateway(self.client_url, timeout_seconds=CALL_TIMEOUT_SECONDS)

    @property
    def database(self):
        """The file of its key-value store."""
        return self.data_directory / "member" / "snap" / "db"

    def start(self, version, initial_cluster, state="new", flags=()):
        """Starts the process and returns at once."""
        command = [
            str(tool(version, "etcd")), "--name", self.name, "--data-dir", str(self.data_directory),
            "--listen-client-urls", self.client_url, "--advertise-client-urls", self.client_url,
            "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
            "--initial-cluster", initial_cluster, "--initial-cluster-state", state, "--strict-reconfig-check=false",
            "--heartbeat-interval", str(HEARTBEAT_MILLISECONDS), "--election-timeout", str(10 * HEARTBEAT_MILLISECONDS),
            "--quota-backend-bytes", str(QUOTA_BYTES), "--logger", "zap", *check_flags(version), *flags]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, env=environment | {"ETCD_VERIFY": "all"}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.log.parent, preexec_fn=lambda: die_with_parent(signal.SIGKILL))
        self.version = version

    def require_running(self):
        """Raises when the process ended by itself."""
        if self.process is None or self.process.poll() is not None:
            raise EtcdFailure(f"{self.name} ended: {' | '.join(self.fatal_lines()) or last_lines(self.log, 1)}")

    def signal(self, kill=False):
        """Asks the process to end, or kills it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)

    def stop(self, kill=False):
        """Ends the process and waits for that; one that does not end on SIGTERM is killed, and an error."""
        if self.process is None:
            return
        self.signal(kill)
        process, self.process = self.process, None
        self.gateway.connection.close()
        self.gateway.headers.pop("Authorization", None)  # a token's life ends with the member's process
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise EtcdFailure(f"{self.name} did not end within {STOP_TIMEOUT_SECONDS} s of SIGTERM") from error

    def is_healthy(self):
        """Whether it serves linearizable requests and has no alarm."""
        try:
            return get(self.client_url, "/health").get("health") == "true"
        except LabError:
            return False

    def hash_kv(self, revision):
        """HashKV at a revision, and the compact revision it was taken at; as members ask each other for it.

        The JSON gateways of before 3.5.16 have no HashKV.
        """
        answer = get(self.peer_url, "/members/hashkv", {"revision": revision})
        return answer.get("hash", 0), answer.get("compact_revision", 0)

    def serves_peers(self):
        """Whether it answers other members."""
        try:
            return bool(get(self.peer_url, "/version"))
        except LabError:
            return False

    def wait_until_healthy(self):
        """Returns when it is healthy; raises when it ends, or takes too long."""
        self.wait_until(self.is_healthy)

    def wait_until(self, condition):
        """Returns when a condition holds; raises when the process ends, or that takes too long."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            self.require_running()
            if time.monotonic() > deadline:
                raise EtcdFailure(f"{self.name} is not as it should be after {WAIT_SECONDS} s: "
                                  f"{' | '.join(self.fatal_lines()) or last_lines(self.log, 1)}")
            time.sleep(0.03)

    def fatal_lines(self):
        """The lines of its log that no sound member writes, shortened."""
        if not self.log.exists():
            return []
        with open(self.log, errors="replace") as lines:
            return [fatal_part(line) for line in lines if FATAL.search(line)][:3]

    def has_logged(self, *texts):
        """Whether one line of its log holds all these texts."""
        with open(self.log, errors="replace") as lines:
            return any(all(text in line for text in texts) for line in lines)


def fatal_part(line):
    """A log line's message and what belongs to it, without the fields before and the stack behind."""
    found = re.search(r'"msg":"(.*?)"?(?:,"stacktrace"|}?$)', line)
    return (found.group(1) if found else line.strip())[:200]


class Cluster:
    """Members that know each other; ends them all on leaving its context."""

    def __init__(self, directory, address, names, password=None):
        self.directory = Path(directory)
        self.address = address
        self.members = [Member(name, directory, address) for name in names]
        self.password = password

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop(kill=True)

    def stop(self, kill=False):
        """Ends all members; each is signalled before the first is waited for, since one alone waits for a quorum."""
        for member in self.members:
            member.signal(kill)
        for member in self.members:
            member.stop(kill)

    def initial_cluster(self):
        """The value of --initial-cluster."""
        return ",".join(f"{member.name}={member.peer_url}" for member in self.members)

    def start(self, version, flags=()):
        """Starts all members on one version and waits until each is healthy.

        One after the other: before a member serves its peers it asks each of them for its hash, and for one that listens
        but does not serve yet it waits seven seconds.
        """
        for member in self.members:
            member.start(version, self.initial_cluster(), flags=flags)
            member.wait_until(member.serves_peers)
        for member in self.members:
            member.wait_until_healthy()

    def restart(self, member, version, kill=False):
        """Ends a member and starts it on a version."""
        member.stop(kill)
        member.start(version, self.initial_cluster())
        member.wait_until_healthy()

    def add_member(self, name, version):
        """Adds an empty member and waits until it is healthy."""
        member = Member(name, self.directory, self.address)
        self.call("/v3/cluster/member/add", {"peerURLs": [member.peer_url]})
        self.members.append(member)
        member.start(version, self.initial_cluster(), state="existing")
        member.wait_until_healthy()
        return member

    def call(self, path, body, member=None):
        """One request to a member, the first without one; repeated while members elect a leader."""
        member = member or self.members[0]
        deadline = time.monotonic() + CALL_TIMEOUT_SECONDS
        is_repeated = False
        while True:
            try:
                return self._call_once(member, path, body)
            except LabError as error:
                text = str(error)
                member.require_running()
                if is_repeated and ALREADY_DONE.search(text):
                    return {}
                if not (TRANSIENT.search(text) or LOGGED_OUT.search(text)) or time.monotonic() > deadline:
                    raise EtcdFailure(f"{member.name} {path}: {text}") from error
            is_repeated = True
            time.sleep(0.1)

    def _call_once(self, member, path, body):
        headers = member.gateway.headers
        if self.password is not None and "Authorization" not in headers:
            member.gateway.log_in(ROOT_USER, self.password)
        try:
            return member.gateway.call(path, body)
        except LabError as error:
            if LOGGED_OUT.search(str(error)):
                headers.pop("Authorization", None)
            raise

    def transact(self, operations):
        """Runs puts and deletions as one transaction; returns its revision."""
        answer = self.call("/v3/kv/txn", {"success": operations})
        return int(answer["header"]["revision"])

    def revision(self, member=None):
        """A member's current revision."""
        return int(self.call("/v3/maintenance/status", {}, member)["header"].get("revision", 0))

    def compact(self, revision, physical=False, member=None):
        """Compacts to a revision; `physical` waits until the rows are gone from the member asked."""
        body = {"revision": str(revision), "physical": physical}
        self.call("/v3/kv/compaction", body, member)

    def defragment(self, member):
        """Rewrites a member's database."""
        self.call("/v3/maintenance/defragment", {}, member)


def get(url, path, body=None):
    """One GET request on a connection of its own, and its decoded answer."""
    connection = http.client.HTTPConnection(url.partition("://")[2], timeout=CALL_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, json.dumps(body))
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise LabError(f"{url}{path}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if response.status not in (200, 503):  # /health answers 503 with its reason
        raise LabError(f"{url}{path}: status {response.status}: {answer[:300].decode(errors='replace')}")
    try:
        return json.loads(answer)
    except ValueError as error:
        raise LabError(f"{url}{path}: {answer[:300].decode(errors='replace')}") from error


def put(key, value, lease=0):
    """A transaction's operation that writes a key."""
    return {"requestPut": {"key": encode(key), "value": encode(value), "lease": str(lease)}}


def delete(key, end=b""):
    """A transaction's operation that deletes a key, or each key from it up to an end."""
    return {"requestDeleteRange": {"key": encode(key), "range_end": encode(end)}}


def end_of_prefix(prefix):
    """The end of the range of all keys that begin so."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
