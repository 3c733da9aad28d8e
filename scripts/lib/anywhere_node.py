"""The control-plane node that every trial backs up, the backup made of it where nothing is taken away, and a real etcd that
boots what was restored."""

import base64
import io
import os
import shutil
import subprocess
import tarfile
import time

from anywhere_job import CLUSTER, ID, NODE, RECIPIENT, Expected
from anywhere_places import PLAIN_ENVIRONMENT
from etcd_cluster import EtcdFailure, Member
from etcd_lab import LabError, encode
from etcd_store import EtcdStore, KeyValue, fingerprint

BOOT_SECONDS = 30
CERTIFICATES = "etc/kubernetes/pki/etcd"
MANIFEST = """apiVersion: v1
kind: Pod
metadata:
  name: etcd
  namespace: kube-system
spec:
  containers:
  - name: etcd
    command:
    - etcd
    - --name=default
    - --data-dir=/var/lib/etcd
    - --listen-client-urls={url}
    - --advertise-client-urls={url}
    - --client-cert-auth=true
    - --cert-file=/etc/kubernetes/pki/etcd/server.crt
    - --key-file=/etc/kubernetes/pki/etcd/server.key
    - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
    - --peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt
    - --peer-key-file=/etc/kubernetes/pki/etcd/peer.key
    - --peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
    volumeMounts:
    - mountPath: /etc/kubernetes/pki/etcd
      name: certificates
  volumes:
  - name: certificates
    hostPath:
      path: /etc/kubernetes/pki/etcd
"""


def prepare(context):
    """Makes what each trial gets a copy of, and notes in the context what must come out."""
    directory = context.scratch / "template"
    _make_node(directory / "node", context.lab)
    context.boot_member = Member("default", context.scratch, "127.0.0.1")
    expected = context.expected = Expected(directory, context.boot_member.peer_url)
    seed = directory / "seed"
    seed.mkdir()
    _run(context, "keygen", "-o", seed / "key.txt")
    recipient = (seed / "key.txt").exists() and RECIPIENT.search((seed / "key.txt").read_text())
    if not recipient:
        raise LabError("etcd-snap keygen made no key")
    expected.recipient = recipient[0]
    _run(context, "backup", "--root", directory / "node", "-r", expected.recipient, "--include", "/etc/extra",
         "--store", seed / "store", "--cluster", CLUSTER, "--node", NODE)
    archive, = (seed / "store" / CLUSTER / NODE).glob("*.tar.zst.age")
    expected.seed_id = ID.match(archive.name)[0]
    tar = tarfile.open(fileobj=io.BytesIO(_run(context, "unseal", archive, "-i", seed / "key.txt")))
    expected.captured = [name.removeprefix("files/") for name in tar.getnames() if name.startswith("files/etc/")]
    expected.completion_script = _run(context, "completion", "bash")
    tar.extract("etcd/etcd.db", context.scratch)
    with EtcdStore(context.scratch / "etcd/etcd.db") as store:
        expected.keys = store.live()
    if f"{CERTIFICATES}/ca.key" not in expected.captured or len(expected.keys) < 100:
        raise LabError("the backup made on this host, where nothing is taken away, is not complete")


def _run(context, *arguments):
    result = subprocess.run([context.executable, *arguments], capture_output=True, stdin=subprocess.DEVNULL,
                            env=PLAIN_ENVIRONMENT)
    if result.returncode != 0:
        raise LabError(f"etcd-snap {arguments[0]} fails where nothing is taken away, with exit code {result.returncode}: "
                       f"{result.stderr.decode(errors='replace').strip()}")
    return result.stdout


def _make_node(node, lab):
    manifests = node / "etc/kubernetes/manifests"
    manifests.mkdir(parents=True)
    (manifests / "etcd.yaml").write_text(MANIFEST.format(url=lab.endpoints[0]))
    shutil.copytree(lab.pki.directory, node / CERTIFICATES)
    extra = node / "etc/extra"
    extra.mkdir()
    (extra / "note").write_text("a file that the configuration names\n")
    (extra / "link").symlink_to("note")
    (extra / "empty").touch(mode=0o640)
    try:
        os.setxattr(extra / "note", "user.origin", b"check-anywhere")
    except OSError:  # not every file system has attributes
        pass


def boot_problem(context, work):
    """Boots a real etcd on the data directory that a trial restored, and says what is wrong with its keys."""
    member = context.boot_member
    member.data_directory = work / "data"
    try:
        member.start("3.5", f"default={member.peer_url}")
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            member.require_running()
            try:
                answer = member.gateway.call("/v3/kv/range", {"key": encode(b"\0"), "range_end": encode(b"\0")})
                break
            except LabError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
    except (EtcdFailure, LabError) as error:
        return f"the restored data directory does not boot: {error}"
    finally:
        member.stop(kill=True)
    keys = {base64.b64decode(item["key"]): _key_value(item) for item in answer["kvs"]}
    return None if keys == context.expected.keys else "the keys of the etcd that was booted differ"


def _key_value(item):
    numbers = (int(item.get(name, 0)) for name in ("create_revision", "mod_revision", "version"))
    return KeyValue(*numbers, fingerprint(base64.b64decode(item.get("value", ""))), int(item.get("lease", 0)))
