"""The main job of etcd-snap, command by command, each with what must be true afterwards."""

import filecmp
import io
import os
import re
import shutil
import stat
import tarfile
from collections import namedtuple

from anywhere_places import Hang
from etcd_store import EtcdStore

FINDINGS = 3
DOCUMENTED_FAILURES = range(1, 9)  # docs/exit-codes.md
MUST_DECLINE = "!"  # begins the pattern of a step that can't be done
METADATA = "has another "
ID = re.compile(r"\d{8}T\d{6}Z-[a-z0-9]{6}")
RECIPIENT = re.compile("age1[a-z0-9]+")
NODE = "node-1"
CLUSTER = "prod"
OUTPUT_CHARACTERS = 600

# One command that ran: `problem` is None if all that must be true is, `said` the sentence with which it declined.
Outcome = namedtuple("Outcome", "step arguments code output errors problem said")


class Wrong(Exception):
    """Something that must be true after a command and is not."""


def require(condition, message):
    """Raises Wrong unless the condition holds."""
    if not condition:
        raise Wrong(message)


class Job:
    """One run of the commands in a place.

    The work directory holds `node`, the root of a control-plane node, and `seed`, a key and a store with a backup made
    elsewhere: what was not made here, because a trial's limits forbid it, is taken from there.
    """

    STEPS = ("version", "keygen", "doctor", "backup", "list", "describe", "open", "check", "verify", "status", "certs",
             "node-certs", "restore", "plan", "in-place", "etcd", "completion", "unseal", "download", "adopt", "delete")
    SHORT = ("keygen", "doctor", "backup", "list", "verify", "restore", "etcd")
    BACKUP = ("doctor", "backup", "verify")

    def __init__(self, place, expected, trial):
        self.place = place
        self.expected = expected
        self.trial = trial
        self.outcomes = []
        self.key, self.store, self.id = "seed/key.txt", "seed/store", expected.seed_id
        self.made_key, self.recipient = self.key, expected.recipient

    def run(self, steps):
        """Runs the steps; the outcomes tell what came of each. A command that hangs is the last one: others would too."""
        for step in steps:
            self._run_step(step)
            if self.outcomes[-1].code is None:
                break
        return self.outcomes

    @property
    def problems(self):
        """What was not as it must be."""
        return [f"{outcome.step}: {outcome.problem}" for outcome in self.outcomes if outcome.problem]

    def _run_step(self, step):
        arguments, check = getattr(self, "_" + step.replace("-", "_"))()
        try:
            result = self.place.run(*arguments, parent=self.trial.parent)
        except Hang as hang:
            self.outcomes.append(Outcome(step, arguments, None, "", "", str(hang), None))
            return
        errors = result.stderr.decode(errors="replace")
        problem, said = None, None
        if result.returncode == 0 or result.returncode == FINDINGS and self._may_find(step, errors):
            problem = self._problem(check, result.stdout)
            if problem and step == "doctor" and self._pattern(step):
                words = self._pattern(step).removeprefix(MUST_DECLINE)
                row = re.search(rf"^etcd +error +(.*(?:{words}).*)$", result.stdout.decode(), re.MULTILINE)
                said, problem = (row[1], None) if row else (None, problem)
            if problem and METADATA in problem and self._pattern(step):
                row = re.search(rf"^warning: .*(?:{self._pattern(step)}).*$", errors, re.MULTILINE)
                # The bytes are there, and what is not is said.
                said, problem = (row[0], None) if row else (None, problem)
            if problem is None and said is None and self._pattern(step).startswith(MUST_DECLINE):
                problem = "it was done, and must say that it can't be"
        else:
            said = self._declined(step, result.returncode, errors)
            if said is None:
                problem = f"exit code {result.returncode}: {' '.join(errors.split())[-OUTPUT_CHARACTERS:]}"
            elif step == "backup" and any((self.place.work / "store").rglob("*.json")):
                problem = self._problem(check, None)  # it declined to print; what it made is looked at by the others
        self.outcomes.append(Outcome(step, arguments, result.returncode, result.stdout.decode(errors="replace"), errors,
                                     problem, said))

    def _may_find(self, step, errors):
        pattern = self.trial.findings
        return step == "doctor" or step == "backup" and pattern != "" and re.search(pattern, errors) is not None

    @staticmethod
    def _problem(check, output):
        try:
            check(output)
        except (Wrong, OSError, ValueError, KeyError, tarfile.TarError) as error:
            return str(error) or type(error).__name__
        return None

    def _pattern(self, step):
        return self.trial.declines.get(step, self.trial.declines.get("*", ""))

    def _declined(self, step, code, errors):
        """The one sentence with which a command declined, where a trial expects it to."""
        pattern = self._pattern(step)
        # What was done and can't be reported is said by a warning.
        sentences = re.findall(r"^(?:error: (?=.)|warning: (?=.*report can't be written))(.*)$", errors, re.MULTILINE)
        if not pattern or code not in DOCUMENTED_FAILURES:
            return None
        if self.trial.is_silent:
            return "nothing, as standard error is closed"
        pattern = pattern.removeprefix(MUST_DECLINE)
        # The end of the process may want for the same.
        return sentences[0] if sentences and all(re.search(pattern, sentence) for sentence in sentences) else None

    # Each step: the arguments, and the check of what they did.

    def _from_store(self, *words, key=True):
        words = [*words, "--store", self.place.inside(self.store)]
        return [*words, "-i", self.place.inside(self.key)] if key else words

    def _node(self, command):
        # Discovery finds etcd's URL and certificates below the root; a trial may name others.
        root = [] if self.trial.is_own_node else ["--root", self.place.inside("node"), "--include", "/etc/extra"]
        return [command, *root, "-r", self.recipient, "--store", self.place.inside("store"), "--cluster", CLUSTER,
                "--node", NODE, *self.trial.options]

    def _make_directory(self, name):
        directory = self.place.work / name
        directory.mkdir()
        status = self.place.work.stat()
        os.chown(directory, status.st_uid, status.st_gid)
        return directory

    def _version(self):
        return ["--version"], lambda output: require(output.startswith(b"etcd-snap "), f"printed {output[:80]}")

    def _completion(self):
        return ["completion", "bash"], lambda output: require(
            output == self.expected.completion_script, "the script differs from this host's")

    def _keygen(self):
        path = self.place.work / "key.txt"

        def check(output):
            require(stat.S_IMODE(path.stat().st_mode) == 0o600, "the key is open to others")
            self.made_key, self.recipient = "key.txt", RECIPIENT.search(path.read_text())[0]
        return ["keygen", "-o", self.place.inside("key.txt")], check

    def _passphrase(self):
        (self.place.work / "passphrase").write_text("correct horse battery staple\n")
        path = self.place.work / "protected.txt"
        return (["keygen", "-o", self.place.inside("protected.txt"), "--passphrase-file", self.place.inside("passphrase")],
                lambda output: require(b"AGE ENCRYPTED FILE" in path.read_bytes(), "the key is no age file"))

    def _doctor(self):
        return self._node("doctor"), lambda output: require(
            re.search(rb"^etcd +ok +\S+, 1 members", output, re.MULTILINE), f"etcd is not ok: {output.decode()[-700:]}")

    def _backup(self):
        def check(output):
            directory = self.place.work / "store" / CLUSTER / NODE
            archives = list(directory.glob("*.tar.zst.age"))
            require(len(archives) == 1, f"{len(archives)} archives are in the store")
            self.id, self.store, self.key = ID.match(archives[0].name)[0], "store", self.made_key
            require(output is None or self.id.encode() in output, "the backup's ID was not printed")
            require(archives[0].read_bytes().startswith(b"age-encryption.org/v1\n"), "the archive is no age file")
            require(archives[0].with_name(f"{self.id}.json").is_file(), "there is no sidecar")
        return self._node("backup"), check

    def _list(self):
        return self._from_store("list", key=False), self._prints(self.id)

    def _prints(self, *words):
        return lambda output: [require(word.encode() in output, f"{word} is not in: {output.decode()[-OUTPUT_CHARACTERS:]}")
                               for word in words]

    def _describe(self):
        return self._from_store("describe", self.id, key=False), self._prints(self.id, "the contents are sealed")

    def _open(self):
        return self._from_store("describe", self.id), self._prints("etcd/ca.crt", "/etc/extra/note")

    def _check(self):
        return self._from_store("verify", self.id, key=False), self._prints("intact")

    def _verify(self):
        return self._from_store("verify", self.id), self._prints("intact", "every page of etcd's database")

    def _status(self):
        live = str(len(self.expected.keys))

        def check(output):
            found = re.search(rb"^live keys: +(\d+)", output, re.MULTILINE)
            require(found and found[1].decode() == live, f"live keys are {found and found[1]}, not {live}")
        return self._from_store("inspect", "status", self.id), check

    def _certs(self):
        return self._from_store("certs", self.id), self._prints("CN=kube-etcd-healthcheck-client", "/etcd/server.crt")

    def _node_certs(self):
        return (["certs", "--root", self.place.inside("node")],
                self._prints("CN=kube-etcd-healthcheck-client", "/etcd/server.crt"))

    def _same_tree(self, target):
        source = self.place.work / "node"
        for path in self.expected.captured:
            before, after = source / path, target / path
            require(after.exists() or after.is_symlink(), f"{path} was not restored")
            there, here = before.lstat(), after.lstat()
            require(there.st_mode == here.st_mode, f"{path} has another mode")
            require(int(there.st_mtime) == int(here.st_mtime), f"{path} has another time")
            if self.expected.owners_matter(self.place):
                require((there.st_uid, there.st_gid) == (here.st_uid, here.st_gid), f"{path} has another owner")
            if before.is_symlink():
                require(os.readlink(before) == os.readlink(after), f"{path} points elsewhere")
            elif before.is_file():
                require(filecmp.cmp(before, after, shallow=False), f"{path} has other contents")

    def _restore(self):
        target = self.place.work / "restored"

        def check(output):
            self._same_tree(target / "files")
            self._same_keys(target / "etcd" / "etcd.db")
        return self._from_store("restore", self.id, "--target", self.place.inside("restored")), check

    def _plan(self):
        self._make_directory("host")

        def check(output):
            self._prints("/etc/kubernetes/pki/etcd/ca.key")(output)
            require(not any((self.place.work / "host").iterdir()), "a dry run wrote files")
        return self._in_place_words() + ["--dry-run"], check

    def _in_place_words(self):
        return self._from_store("restore", "files", f"{CLUSTER}/{NODE}/{self.id}", "--in-place",
                                "--root", self.place.inside("host"), "--this-node", NODE)

    def _in_place(self):
        return self._in_place_words() + ["--yes"], lambda output: self._same_tree(self.place.work / "host")

    def _forced(self):
        arguments, check = self._in_place()
        return arguments + ["--force"], check

    def _same_keys(self, database):
        with EtcdStore(database) as store:
            require(store.live() == self.expected.keys, "the keys in the database are not those of etcd")

    def _etcd(self):
        data = self.place.work / "data"

        def check(output):
            self._same_keys(data / "member" / "snap" / "db")
            require(any((data / "member" / "wal").glob("*.wal")), "there is no write-ahead log")
        return self._from_store("restore", "etcd", self.id, "--data-dir", self.place.inside("data"),
                                "--initial-cluster", f"default={self.expected.peer_url}"), check

    def _unseal(self):
        archive = f"{self.store}/{CLUSTER}/{NODE}/{self.id}.tar.zst.age"

        def check(output):
            with tarfile.open(fileobj=io.BytesIO(output)) as tar:
                require("etcd/etcd.db" in tar.getnames(), "the tar has no etcd/etcd.db")
        return ["unseal", self.place.inside(archive), "-i", self.place.inside(self.key)], check

    def _download(self):
        target = self._make_directory("copy")

        def check(output):
            for suffix in (".tar.zst.age", ".json"):
                require(filecmp.cmp(self._in_store(suffix), target / (self.id + suffix), shallow=False), "the copy differs")
        return self._from_store("download", self.id, self.place.inside("copy"), key=False), check

    def _in_store(self, suffix):
        return self.place.work / self.store / CLUSTER / NODE / f"{self.id}{suffix}"

    def _adopt(self):
        self._in_store(".json").rename(self.place.work / "sidecar")

        def check(output):
            require(self._in_store(".json").is_file(), "there is no sidecar")
        return self._from_store("adopt", f"{CLUSTER}/{NODE}/{self.id}"), check

    def _delete(self):
        if not self._in_store(".json").exists():  # adopt declined
            (self.place.work / "sidecar").rename(self._in_store(".json"))

        def check(output):
            require(not self._in_store(".tar.zst.age").exists(), "the archive is still there")
        return self._from_store("delete", self.id, "--yes", key=False), check


class Expected:
    """What is true of the node, of its etcd, and of the backup that was made where nothing is taken away."""

    def __init__(self, directory, peer_url):
        self.directory = directory
        self.peer_url = peer_url
        self.captured = []
        self.keys = {}
        self.completion_script = b""
        self.recipient = self.seed_id = None

    @staticmethod
    def owners_matter(place):
        """Whether the trial runs as root: others can't give files away."""
        return place.work.stat().st_uid == 0

    def copy_to(self, work):
        """Fills a trial's work directory."""
        shutil.copytree(self.directory, work, symlinks=True, dirs_exist_ok=True)
        for source in (self.directory / "node").rglob("*"):  # copytree keeps times, but not owners
            status = source.lstat()
            os.chown(work / source.relative_to(self.directory), status.st_uid, status.st_gid, follow_symlinks=False)
