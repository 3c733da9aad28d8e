#!/usr/bin/env python3
"""What scripts/check-static-http does within namespaces of its own.

Usage: static_http.py DIRECTORY NGINX   (http-get is in the directory)
"""

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

BYTE_COUNT = 16 << 20
HOSTS_NAME, DNS_NAME, UNKNOWN_NAME = "hosts.test", "dns.test", "unknown.test"
ADDRESS = "127.0.0.1"


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


class NameServer(threading.Thread):
    """Answers for one name of DNS with one address, and that there is no other."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ADDRESS, 53))

    def run(self):
        while True:
            query, sender = self.socket.recvfrom(512)
            self.socket.sendto(self.answer(query), sender)

    @staticmethod
    def answer(query):
        # RFC 1035, section 4.1: the question is the only thing behind the header.
        labels, offset = [], 12
        while query[offset]:
            labels.append(query[offset + 1:offset + 1 + query[offset]].decode().lower())
            offset += 1 + query[offset]
        question = query[12:offset + 5]
        kind, = struct.unpack("!H", query[offset + 1:offset + 3])
        is_known = ".".join(labels) == DNS_NAME
        record = struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(ADDRESS) if is_known and kind == 1 else b""
        flags = 0x8180 | (0 if is_known else 3)
        return query[:2] + struct.pack("!HHHHH", flags, 1, 1 if record else 0, 0, 0) + question + record


def make_certificates(directory):
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=static-http",
        "-addext", f"subjectAltName=DNS:{HOSTS_NAME},DNS:{DNS_NAME},DNS:{UNKNOWN_NAME}",
        "-keyout", directory / "key.pem", "-out", directory / "cert.pem")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=other",
        "-keyout", directory / "other-key.pem", "-out", directory / "other.pem")


def start_nginx(directory, nginx):
    (directory / "files").mkdir()
    (directory / "files" / "hello").write_text("hello", encoding="utf-8")
    temporary = "\n".join(f"{name}_temp_path {directory}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (directory / "nginx.conf").write_text(f"""
        user root root; daemon off; master_process off; pid {directory}/pid; events {{}}
        http {{
        access_log off; client_max_body_size 0; {temporary}
        server {{
            listen {ADDRESS}:443 ssl; ssl_certificate {directory}/cert.pem; ssl_certificate_key {directory}/key.pem;
            root {directory}/files; location / {{ dav_methods PUT; }}
        }}
        }}""", encoding="utf-8")
    process = subprocess.Popen([nginx, "-e", directory / "error.log", "-c", directory / "nginx.conf"])
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((ADDRESS, 443)) == 0:
                return process
        time.sleep(0.1)
    raise SystemExit("error: nginx does not listen\n" + (directory / "error.log").read_text(encoding="utf-8"))


def shadow(directory, name, text):
    """Puts a file in the place of one of the host's, in this mount namespace."""
    path = directory / name
    path.write_text(text, encoding="utf-8")
    run("mount", "--bind", path, f"/etc/{name}")


def expect(directory, arguments, status, text, environment=None):
    result = subprocess.run([directory / "http-get", *arguments], capture_output=True, text=True, check=False, timeout=60,
                            env=environment or {})
    if result.returncode != status or text not in result.stdout:
        raise SystemExit(f"error: http-get {' '.join(map(str, arguments))}: status {result.returncode} instead of {status}, "
                         f"without {text!r}:\n{result.stdout}{result.stderr}")


def main():
    directory, nginx = Path(sys.argv[1]), sys.argv[2]
    run("ip", "link", "set", "lo", "up")
    make_certificates(directory)
    shadow(directory, "hosts", f"127.0.0.1 localhost\n{ADDRESS} {HOSTS_NAME}\n")
    shadow(directory, "resolv.conf", f"nameserver {ADDRESS}\n")
    # A module of the host's that the program must not look for.
    shadow(directory, "nsswitch.conf", "hosts: mymachines files myhostname dns\n")
    NameServer().start()
    start_nginx(directory, nginx)
    trusted = directory / "cert.pem"
    for name in (HOSTS_NAME, DNS_NAME):
        expect(directory, [trusted, f"https://{name}/hello"], 0, "200 hello\n200 hello")
        expect(directory, [trusted, f"https://{name}/{name}", str(BYTE_COUNT)], 0, "201 \n204 ")
        expect(directory, [directory / "other.pem", f"https://{name}/hello"], 8, "is not signed by a trusted authority")
        if (directory / "files" / name).stat().st_size != BYTE_COUNT:
            raise SystemExit("error: what was uploaded has another size")
    expect(directory, [trusted, f"https://{UNKNOWN_NAME}/hello"], 1, f"the name of {UNKNOWN_NAME}:443 has no address")
    expect(directory, [trusted, "https://localhost/hello"], 8, f'is for other names: "{HOSTS_NAME}", "{DNS_NAME}"')
    # The environment's proxy, at which nothing listens, counts when it is asked for.
    keys = directory / "keys"
    environment = dict(os.environ, https_proxy=f"http://me:sesame@{ADDRESS}:1", SSLKEYLOGFILE=str(keys))
    expect(directory, [trusted, f"https://{DNS_NAME}/hello"], 0, "200 hello", environment)
    expect(directory, ["--environment", trusted, f"https://{DNS_NAME}/hello"], 1,
           f"no connection to the proxy {ADDRESS}:1: Connection refused", environment)
    if keys.exists():
        raise SystemExit("error: the keys of connections were written to a file")
    print(f"check-static-http: GET and PUT of {BYTE_COUNT} bytes over TLS, by the hosts file and by DNS")


main()
