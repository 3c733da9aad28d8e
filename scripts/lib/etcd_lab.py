"""A real etcd on loopback with mutual TLS: PKI, processes and the JSON gateway, with the standard library alone."""

import base64
import http.client
import json
import os
import random
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 30
DEBIAN_RELEASES = ("trixie", "unstable")  # those whose etcd scripts/setup unpacks


class LabError(Exception):
    """Something the person at the terminal can act on; printed without a traceback."""


def run_main(main):
    """Runs a script's main and turns LabError and a signal into one line and an exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` and `with` clean up
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def tool(version, name):
    """The path of etcd, etcdctl or etcdutl: Debian's for 3.4, the wheel's for 3.5, that of another Debian release by its
    name, or any directory."""
    if version == "3.4":
        return Path("/usr/bin") / name
    tools = Path(os.environ.get("ETCD_SNAP_TEST_TOOLS", REPOSITORY / ".tools"))
    directory = tools / f"etcd-{version}" if version[0].isdigit() or version in DEBIAN_RELEASES else Path(version)
    path = directory / name
    if not path.exists():
        raise LabError(f"{path} does not exist; run scripts/setup")
    return path


class PKI:
    """Certificates with kubeadm's names and layout: etcd/{ca,server,peer,healthcheck-client}.{crt,key}."""

    def __init__(self, directory, server_names=()):
        self.directory = Path(directory) / "etcd"
        self.server_names = server_names
        self.ca = self.directory / "ca.crt"
        self.client_certificate = self.directory / "healthcheck-client.crt"
        self.client_key = self.directory / "healthcheck-client.key"

    def make(self):
        """Makes what is missing. The server also gets clientAuth: etcd's own JSON gateway dials it with that key."""
        self.directory.mkdir(parents=True, exist_ok=True)
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1"
        names += "".join(f",DNS:{name}" for name in self.server_names)
        both = "extendedKeyUsage=serverAuth,clientAuth"
        self._issue("ca", "/CN=etcd-ca", ["basicConstraints=critical,CA:TRUE",
                    "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign"], signed=False)
        self._issue("server", "/CN=localhost", [names, both])
        self._issue("peer", "/CN=localhost", [names, both])
        self._issue("healthcheck-client", "/CN=kube-etcd-healthcheck-client", ["extendedKeyUsage=clientAuth"])

    def _issue(self, name, subject, extensions, signed=True):
        certificate, key = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        if certificate.exists():
            return
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", "-subj", subject,
                   "-keyout", key, "-out", certificate]
        if signed:
            extensions = extensions + ["basicConstraints=critical,CA:FALSE"]
            command += ["-CA", self.ca, "-CAkey", self.directory / "ca.key"]
        for extension in extensions:
            command += ["-addext", extension]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise LabError(f"openssl could not make {certificate}: {result.stderr.strip()}")
        key.chmod(0o600)


class Gateway:
    """One keep-alive connection to etcd's JSON gateway, in the clear without a PKI. Not for two threads at once."""

    def __init__(self, url, pki=None, timeout_seconds=120):
        host, port = url.partition("://")[2].rsplit(":", 1)
        if pki is None:
            self.connection = http.client.HTTPConnection(host, int(port), timeout=timeout_seconds)
        else:
            context = ssl.create_default_context(cafile=str(pki.ca))
            context.load_cert_chain(str(pki.client_certificate), str(pki.client_key))
            self.connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=timeout_seconds)
        self.url = url
        self.headers = {"Content-Type": "application/json"}

    def log_in(self, user, password):
        """Sends the following requests as that user."""
        self.headers.pop("Authorization", None)
        self.headers["Authorization"] = self.call("/v3/auth/authenticate", {"name": user, "password": password})["token"]

    def call(self, path, body):
        """Posts one request and returns the decoded answer."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.connection.request("POST", path, text, self.headers)
            response = self.connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise LabError(f"{self.url}{path}: {error or type(error).__name__}") from error
        if response.status != 200:
            raise LabError(f"{self.url}{path}: status {response.status}: {answer[:300].decode(errors='replace')}")
        return json.loads(answer)

    def status(self):
        """The member's maintenance status; numbers come as strings, absent means 0."""
        return self.call("/v3/maintenance/status", {})

    def revision(self):
        """The store's current revision."""
        return int(self.status()["header"].get("revision", 0))


def encode(data):
    """Base64 text of bytes, as the JSON gateway wants them."""
    return base64.b64encode(data).decode()


def free_ports(count, address="127.0.0.1"):
    """Distinct ports of a loopback address that were free a moment ago, none of which outgoing connections are given."""
    ports = []
    for port in random.sample(range(10_000, 32_000), 1000):
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise LabError(f"{count} free loopback ports were not found between 10000 and 32000")


def process_start_ticks(pid):
    """When the process started, in clock ticks after boot, or None when it is gone: tells a reused pid apart."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


class Lab:
    """The members of one etcd cluster, described by lab.json in the lab's directory."""

    def __init__(self, directory, server_names=()):
        self.directory = Path(directory).resolve()
        self.pki = PKI(self.directory / "pki", server_names)
        self.state_path = self.directory / "lab.json"
        self.state = json.loads(self.state_path.read_text()) if self.state_path.exists() else None

    @property
    def members(self):
        """The member records, or an error that says how to make them."""
        if self.state is None:
            raise LabError(f"{self.directory} holds no lab; make one with `etcd-lab start {self.directory}`")
        return self.state["members"]

    @property
    def endpoints(self):
        """The client URLs of all members."""
        return [member["clientURL"] for member in self.members]

    def gateway(self, index=0):
        """A connection to one member's JSON gateway."""
        return Gateway(self.endpoints[index], self.pki)

    def start(self, version="3.5", member_count=None, data_directory=None, extra_arguments=()):
        """Starts every member that does not run; ports, PKI and data of an earlier start are kept."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.pki.make()
        if self.state is None:
            self.state = {"members": self._plan(member_count or 1)}
        if member_count not in (None, len(self.members)):
            raise LabError(f"{self.directory} holds a lab of {len(self.members)} members, not {member_count}")
        if data_directory is not None:
            if len(self.members) != 1:
                raise LabError("--data-dir needs a lab of one member")
            self.members[0]["dataDirectory"] = str(Path(data_directory).resolve())
        self.state["version"] = version
        for member in self.members:
            if not self.is_running(member):
                self._spawn(member, tool(version, "etcd"), extra_arguments)
        self._save()
        try:
            self._wait_until_healthy()
        except BaseException:
            self.stop(kill=True)
            raise

    def _plan(self, count):
        ports = free_ports(2 * count)
        return [
            {
                "name": "default" if count == 1 else f"member{index}",
                "clientURL": f"https://127.0.0.1:{ports[2 * index]}",
                "peerURL": f"https://127.0.0.1:{ports[2 * index + 1]}",
                "dataDirectory": str(self.directory / f"data{index}"),
                "log": str(self.directory / f"etcd{index}.log"),
                "pid": 0, "startTicks": 0,
            }
            for index in range(count)
        ]

    def initial_cluster(self):
        """The value of --initial-cluster."""
        return ",".join(f"{member['name']}={member['peerURL']}" for member in self.members)

    def command(self, member, etcd):
        """The argument list that starts one member."""
        pki = self.pki.directory
        return [
            str(etcd), "--name", member["name"], "--data-dir", member["dataDirectory"],
            "--listen-client-urls", member["clientURL"], "--advertise-client-urls", member["clientURL"],
            "--listen-peer-urls", member["peerURL"], "--initial-advertise-peer-urls", member["peerURL"],
            "--initial-cluster", self.initial_cluster(), "--initial-cluster-state", "new",
            "--client-cert-auth", "--trusted-ca-file", str(self.pki.ca),
            "--cert-file", str(pki / "server.crt"), "--key-file", str(pki / "server.key"),
            "--peer-client-cert-auth", "--peer-trusted-ca-file", str(self.pki.ca),
            "--peer-cert-file", str(pki / "peer.crt"), "--peer-key-file", str(pki / "peer.key"),
            "--quota-backend-bytes", str(8 << 30), "--logger", "zap", "--log-level", "warn",
        ]

    def _spawn(self, member, etcd, extra_arguments):
        Path(member["dataDirectory"]).mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD_")}
        with open(member["log"], "ab") as log:
            process = subprocess.Popen(
                self.command(member, etcd) + list(extra_arguments), env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, cwd=self.directory)
        member["pid"] = process.pid
        member["startTicks"] = process_start_ticks(process.pid) or 0

    def _save(self):
        temporary = self.state_path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.state, indent=2) + "\n")
        temporary.replace(self.state_path)

    def is_running(self, member):
        """Whether the very process this lab started for the member still lives."""
        return member["pid"] > 0 and process_start_ticks(member["pid"]) == member["startTicks"]

    def _wait_until_healthy(self):
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        for index, member in enumerate(self.members):
            while True:
                try:
                    if int(self.gateway(index).status().get("leader", 0)) != 0:
                        break
                except LabError as error:
                    if time.monotonic() > deadline:
                        raise LabError(f"{member['name']} is not healthy: {error}; see {member['log']}") from error
                if not self.is_running(member):
                    raise LabError(f"{member['name']} ended: {last_lines(member['log'])}")
                time.sleep(0.1)

    def stop(self, kill=False, name=None):
        """Ends the members (or the one named) and waits until they are gone."""
        for member in self.members:
            if name in (None, member["name"]) and self.is_running(member):
                os.kill(member["pid"], signal.SIGCONT)
                os.kill(member["pid"], signal.SIGKILL if kill else signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        for member in self.members:
            while name in (None, member["name"]) and self.is_running(member):
                if time.monotonic() > deadline:
                    os.kill(member["pid"], signal.SIGKILL)
                time.sleep(0.05)

    def client_environment(self):
        """What etcdctl reads from its environment."""
        return {
            "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": ",".join(self.endpoints), "ETCDCTL_CACERT": str(self.pki.ca),
            "ETCDCTL_CERT": str(self.pki.client_certificate), "ETCDCTL_KEY": str(self.pki.client_key),
        }

    def shell_environment(self):
        """client_environment as lines for a shell's eval."""
        return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in self.client_environment().items())


def last_lines(path, count=5):
    """The end of a log file, for an error message."""
    return "\n".join(Path(path).read_text(errors="replace").splitlines()[-count:])
