"""A bucket on a server of S3 (SeaweedFS, of .tools), with TLS or without, and a proxy that counts requests and bytes."""

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from measure import BenchmarkError

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(os.environ.get("ETCD_SNAP_TEST_TOOLS", ROOT / ".tools"))


def free_ports(count):
    """Ports below those that the system gives to clients; SeaweedFS takes another ten thousand above one of its own."""
    ports, candidate = [], 14000 + secrets.randbelow(4000)
    while len(ports) < count:
        candidate += 1
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
        ports.append(candidate)
    return ports


class Bucket:
    """The server with one bucket and one pair of keys; it ends with the `with` block."""

    name = "bench"

    def __init__(self, directory, encrypted=True, anonymous=False):
        self.directory = Path(directory)
        self.encrypted = encrypted
        self.anonymous = anonymous  # whether who signs nothing may do everything, too: to fill it fast
        self.key, self.secret = "AKIDBENCH", secrets.token_hex(20)
        self.process = None

    def __enter__(self):
        packages = next(TOOLS.glob("s3-*"), None)
        if packages is None:
            raise BenchmarkError(f"SeaweedFS is not in {TOOLS}; run scripts/setup")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._write_identities()
        self._make_certificate()
        ports = free_ports(8)
        self.port = ports[0]
        flags = [f"-logdir={self.directory}", "server", f"-dir={self.directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                 f"-master.port={ports[1]}", f"-master.port.grpc={ports[2]}", "-master.volumeSizeLimitMB=1024",
                 f"-volume.port={ports[3]}", f"-volume.port.grpc={ports[4]}", "-volume.max=100", "-filer",
                 f"-filer.port={ports[5]}", f"-filer.port.grpc={ports[6]}", "-s3", f"-s3.port={self.port}",
                 f"-s3.port.grpc={ports[7]}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false",
                 f"-s3.config={self.directory}/identities.json"]
        if self.encrypted:
            flags += [f"-s3.cert.file={self.directory}/server.pem", f"-s3.key.file={self.directory}/server.key"]
        self.process = subprocess.Popen([packages / "bin" / "weed", *flags], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        self.packages = packages
        self._make_bucket()
        return self

    def __exit__(self, *_):
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def endpoint(self):
        return f"{'https' if self.encrypted else 'http'}://127.0.0.1:{self.port}"

    def flags(self, endpoint=None):
        """What tells etcd-snap of the bucket."""
        flags = ["--store", f"s3://{self.name}/etcd", "--s3-endpoint", endpoint or self.endpoint, "--s3-credentials",
                 str(self.directory / "keys")]
        return flags if endpoint or not self.encrypted else [*flags, "--s3-ca", str(self.directory / "server.pem")]

    def rclone_flags(self):
        """What tells rclone of it."""
        return ["--config", "/dev/null", "--s3-provider", "Other", "--s3-endpoint", self.endpoint, "--s3-access-key-id",
                self.key, "--s3-secret-access-key", self.secret, "--s3-force-path-style", "--ca-cert",
                str(self.directory / "server.pem")]

    def client(self):
        """A client of botocore's."""
        sys.path.insert(0, str(self.packages))
        import botocore.session  # noqa: PLC0415 # it is where scripts/setup has put it
        return botocore.session.get_session().create_client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=self.key, aws_secret_access_key=self.secret,
            region_name="us-east-1", verify=str(self.directory / "server.pem"))

    def _write_identities(self):
        actions = ["Admin", "Read", "Write", "List"]
        identities = [{"name": "bench", "actions": actions,
                       "credentials": [{"accessKey": self.key, "secretKey": self.secret}]}]
        if self.anonymous:
            identities.append({"name": "anonymous", "actions": actions})
        (self.directory / "identities.json").write_text(json.dumps({"identities": identities}))
        keys = self.directory / "keys"
        keys.touch(mode=0o600)
        keys.write_text(f"aws_access_key_id = {self.key}\naws_secret_access_key = {self.secret}\n")

    def _make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=bench",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.directory / "server.key", "-out",
                        self.directory / "server.pem"], check=True, capture_output=True)

    def _make_bucket(self):
        client, last = self.client(), None
        for _ in range(100):
            try:
                client.create_bucket(Bucket=self.name)
                return
            except Exception as error:  # noqa: BLE001 # whatever a server says that is not ready
                last = error
                time.sleep(0.3)
        raise BenchmarkError(f"the bucket could not be made: {last}")


class CountingProxy:
    """Passes HTTP on to a bucket's server without TLS, and counts requests and the bytes of bodies."""

    def __init__(self, bucket):
        self.bucket = bucket
        self.requests, self.received_bytes, self.sent_bytes = [], 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        server = socket.create_connection(("127.0.0.1", self.bucket.port))
        back = threading.Thread(target=self._pass_back, args=(server, client), daemon=True)
        back.start()
        try:
            while data := client.recv(1 << 16):
                for line in data.split(b"\r\n"):
                    if line.endswith(b" HTTP/1.1"):
                        self.requests.append(line.decode(errors="replace"))
                self.sent_bytes += len(data)
                server.sendall(data)
        except OSError:
            pass
        finally:
            server.close()

    def _pass_back(self, server, client):
        try:
            while data := server.recv(1 << 16):
                self.received_bytes += len(data)
                client.sendall(data)
        except OSError:
            pass
        finally:
            client.close()
