"""Trials of what surrounds the executable: names, trust, and files and variables that mislead; and a name server for them."""

import errno
import random
import socket
import struct
import subprocess
import threading
from pathlib import Path

from anywhere_job import Job
from anywhere_node import MANIFEST
from anywhere_trials import ROOTS, UNPRIVILEGED_UID, WITHOUT_PROC, Trial

HOSTS_NAME = "etcd-hosts.anywhere.test"
DNS_NAME = "etcd-dns.anywhere.test"
SHORT_NAME = "etcd-short"  # found by a search domain
DOMAIN = "anywhere.test"
SERVER_NAMES = (HOSTS_NAME, DNS_NAME, SHORT_NAME)  # in etcd's certificate
DNS_NAMES = (DNS_NAME, f"{SHORT_NAME}.{DOMAIN}")
CERTIFICATES = "/w/node/etc/kubernetes/pki/etcd"
HOSTILE_SOURCE = Path(__file__).with_name("anywhere_hostile.c")
LOADED = "LOADED"  # what the hostile library makes in the work directory

BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
           "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem")
MODULES = "hosts: mymachines resolve [!UNAVAIL=return] mdns4_minimal [NOTFOUND=return] sss files dns myhostname\n"
NSSWITCH = MODULES + "passwd: sss systemd files\ngroup: sss systemd files\nservices: sss db files\nprotocols: db files\n"
DEAD_ADDRESS = "127.255.255.254"  # no server is there
A_RECORD, IPV4_BYTES, NAME_ERROR, SECONDS_TO_LIVE = 1, 4, 3, 5


class NameServer:
    """A DNS server on a loopback address of its own, at the port that resolvers take for granted."""

    def __init__(self, addresses):
        self.addresses = {name.lower(): address for name, address in addresses.items()}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __enter__(self):
        while True:
            self.address = f"127.{random.randrange(64, 200)}.{random.randrange(256)}.53"
            try:
                self.socket.bind((self.address, 53))
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(4096)
                self.socket.sendto(self._answer(query), client)
            except (struct.error, IndexError):
                continue
            except OSError:
                return

    def _answer(self, query):
        identifier, flags = struct.unpack_from(">HH", query)
        end, labels = 12, []
        while query[end]:
            labels.append(query[end + 1:end + 1 + query[end]].decode("latin-1"))
            end += 1 + query[end]
        kind, = struct.unpack_from(">H", query, end + 1)
        question = query[12:end + 5]
        name = ".".join(labels).lower()
        address = self.addresses.get(name)
        answers = b""
        if address and kind == A_RECORD:
            answers = struct.pack(">HHHIH", 0xC00C, A_RECORD, 1, SECONDS_TO_LIVE, IPV4_BYTES) + socket.inet_aton(address)
        header = struct.pack(">HHHHHH", identifier, 0x8180 | flags & 0x0100 | (0 if address else NAME_ERROR), 1,
                             bool(answers), 0, 0)
        return header + question + answers


def certificates(*, ca=True):
    """The options for mutual TLS with the node's own files."""
    options = ("--cert", f"{CERTIFICATES}/healthcheck-client.crt", "--key", f"{CERTIFICATES}/healthcheck-client.key")
    return options + (("--cacert", f"{CERTIFICATES}/ca.crt") if ca else ())


def surroundings_trials(context, server):
    """All trials of names, trust, and misleading surroundings."""
    port = context.lab.endpoints[0].rpartition(":")[2]
    hostile = context.launcher.compile_library(HOSTILE_SOURCE, context.scratch / "hostile.so")
    yield from own_node_trials(context.lab)
    yield from name_trials(port, server, hostile)
    yield from trust_trials(port, context.lab.pki.ca)
    yield from misleading_trials(hostile)


def own_node_trials(lab):
    """The host itself is the node: everything is found without a flag."""
    planted = {f"/etc/kubernetes/pki/etcd/{path.name}": path for path in lab.pki.directory.iterdir()}
    planted["/etc/kubernetes/manifests/etcd.yaml"] = MANIFEST.format(url=lab.endpoints[0])
    for root in ROOTS:
        for features in ((), ("proc",)):
            yield Trial(f"node: {root} {'with' if features else 'without'} /proc", root, features, planted=planted,
                        is_own_node=True, steps=Job.BACKUP, findings="" if features else "processes-unseen")


def name_trials(port, server, hostile):
    """The endpoint by its name, which only the root's own files and its own server know."""
    def trial(name, root, host, planted, **more):
        options = ("--endpoints", f"https://{host}:{port}", *certificates())
        return Trial(f"names: {name} in {root}", root, ("proc",), planted=planted, options=options, steps=Job.BACKUP, **more)
    dns = {"/etc/resolv.conf": f"nameserver {server.address}\noptions timeout:2 attempts:2\n"}
    hosts = dns | {"/etc/hosts": f"# a comment\n127.0.0.1\tother {HOSTS_NAME} # and one\n"}
    is_down = {"/etc/resolv.conf": f"nameserver {DEAD_ADDRESS}\n"}
    libraries = {f"/usr/lib/x86_64-linux-gnu/libnss_{name}.so.2": hostile
                 for name in ("resolve", "mymachines", "mdns4_minimal", "sss", "myhostname", "systemd", "db")}
    for root in ROOTS:
        yield trial("hosts file", root, HOSTS_NAME, hosts)
        yield trial("DNS", root, DNS_NAME, dns)
    for root in ("empty", "bullseye", "trixie"):
        misleading = {"/etc/nsswitch.conf": NSSWITCH} | libraries
        yield trial("hosts file behind other modules", root, HOSTS_NAME, hosts | misleading, forbidden=(LOADED,))
        yield trial("hosts file behind other modules, DNS is down", root, HOSTS_NAME, hosts | misleading | is_down,
                    forbidden=(LOADED,))
        yield trial("DNS behind other modules", root, DNS_NAME, dns | misleading, forbidden=(LOADED,))
    yield trial("hosts file, DNS is down", "empty", HOSTS_NAME, hosts | is_down)
    search = {"/etc/resolv.conf": f"nameserver {DEAD_ADDRESS}\nnameserver {server.address}\nsearch none.test {DOMAIN}\n"
                                  "options timeout:1 ndots:1\n"}
    yield trial("second server and search domain", "empty", SHORT_NAME, search)
    yield trial("localhost without a hosts file", "empty", "localhost", {}, declines={"*": "localhost"})
    unknown = {"*": "!resol|not found|no address|DNS", "verify": ""}
    yield trial("unknown to DNS", "empty", f"missing.{DOMAIN}", dns, declines=unknown)
    yield trial("nothing that knows names", "empty", DNS_NAME, {}, declines=unknown)


def trust_trials(port, ca):
    """No CA is named: it is in the system's bundle, wherever a distribution keeps it."""
    options = ("--no-discover", "--endpoints", f"https://127.0.0.1:{port}", *certificates(ca=False))
    for bundle in BUNDLES:
        yield Trial(f"trust: {bundle}", "empty", ("proc",), planted={bundle: ca}, options=options, steps=Job.BACKUP)
    yield Trial("trust: hashed /etc/ssl/certs", "empty", ("proc",), planted={f"/etc/ssl/certs/{subject_hash(ca)}.0": ca},
                options=options, steps=Job.BACKUP)
    yield Trial("trust: none anywhere", "empty", ("proc",), options=options, steps=Job.BACKUP,
                declines={"*": "!certificate|trust|authorit", "verify": ""})


def subject_hash(ca):
    """The name by which OpenSSL looks for a CA in a directory."""
    command = ["openssl", "x509", "-hash", "-noout", "-in", ca]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def misleading_trials(hostile):
    """Variables and files that a dynamic program would obey or need."""
    junk = "this is [not a configuration\n.include /nowhere\nopenssl_conf = junk\n[junk]\nproviders = none\nengines = bad\n"
    openssl = {path: junk for path in ("/usr/lib/ssl/openssl.cnf", "/etc/ssl/openssl.cnf", "/etc/pki/tls/openssl.cnf",
                                       "/usr/local/ssl/openssl.cnf")}
    yield Trial("misled: broken openssl.cnf", "trixie", ("proc",), planted=openssl, steps=Job.SHORT)
    variables = {
        "OPENSSL_CONF": {"OPENSSL_CONF": "/w/junk.cnf", "OPENSSL_MODULES": "/w", "OPENSSL_ENGINES": "/w"},
        "SSL_CERT_FILE": {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": "/nowhere"},
        "LD_PRELOAD to nowhere": {"LD_PRELOAD": "/nowhere.so", "LD_LIBRARY_PATH": "/nowhere", "LD_AUDIT": "/nowhere.so"},
        "LD_PRELOAD": {"LD_PRELOAD": "/w/hostile.so", "LD_LIBRARY_PATH": "/w", "LD_AUDIT": "/w/hostile.so"},
        "GLIBC_TUNABLES junk": {"GLIBC_TUNABLES": "glibc.malloc.check=junk:::=:glibc.nothing=1:" + 500 * "x"},
        "GLIBC_TUNABLES strict": {"GLIBC_TUNABLES": "glibc.malloc.check=3:glibc.malloc.perturb=85:glibc.malloc.tcache_count=0:"
                                  "glibc.malloc.arena_max=1:glibc.pthread.rseq=0:glibc.cpu.hwcaps=-AVX2,-AVX,-SSE4_2,-ERMS,"
                                  "-AVX2_Usable:glibc.malloc.hugetlb=2:glibc.elision.enable=1:"
                                  "glibc.rtld.optional_static_tls=0:glibc.pthread.stack_cache_size=0"},
        "locale": {"LC_ALL": "xx_YY.JUNK-9", "LANG": "tr_TR.UTF-8", "LANGUAGE": "tr", "LOCPATH": "/w", "NLSPATH": "/w/%N",
                   "CHARSET": "junk", "GCONV_PATH": "/w"},
        "TZ": {"TZ": "Junk/Nowhere", "TZDIR": "/w"},
        "TZ of a file": {"TZ": ":/w/node/etc/extra/note"},
        "MALLOC_": {"MALLOC_ARENA_MAX": "1", "MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "85", "MALLOC_MMAP_THRESHOLD_": "junk",
                    "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_TOP_PAD_": "-1"},
        "proxies": {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy",
                                                            "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")},
        "resolver": {"RES_OPTIONS": "junk:9 inet6 attempts:0", "LOCALDOMAIN": "junk", "HOSTALIASES": "/w/node/etc/extra/note",
                     "RESOLV_HOST_CONF": "/nowhere", "RESOLV_MULTI": "off"},
        "gRPC": {"GRPC_DNS_RESOLVER": "native", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "/nowhere", "GRPC_POLL_STRATEGY": "poll",
                 "GRPC_EXPERIMENTS": "junk", "GRPC_SSL_CIPHER_SUITES": "junk", "GRPC_ENABLE_FORK_SUPPORT": "1"},
        "Swift": {"SWIFT_BACKTRACE": "enable=yes,junk", "SWIFT_DEBUG_ENABLE_MALLOC_SCRIBBLE": "1", "SWIFT_ROOT": "/nowhere",
                  "LIBDISPATCH_LOG": "stderr", "LIBDISPATCH_STRICT": "1"},
        "temporary directory": {"TMPDIR": "/nowhere", "TMP": "/nowhere", "PWD": "/nowhere", "HOME": "/nowhere"},
    }
    for name, environment in variables.items():
        for root in ("trixie", "empty") if "LD_" in name or "GLIBC" in name else ("trixie",):
            yield Trial(f"misled: {name} in {root}", root, ("proc",), environment=environment, steps=Job.SHORT,
                        extra_files={"hostile.so": hostile, "junk.cnf": junk}, forbidden=(LOADED,))
    yield Trial("misled: no home", "trixie", ("proc",), environment={"PATH": "/bin"}, keeps_environment=False, steps=Job.SHORT)
    yield Trial("misled: empty environment in trixie", "trixie", ("proc",), keeps_environment=False)
    yield Trial("misled: empty environment in empty", "empty", keeps_environment=False, **WITHOUT_PROC)
    nothing = {name: "" for name in ("/etc/localtime", "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf",
                                     "/etc/nsswitch.conf", "/etc/services", "/etc/protocols", "/etc/host.conf", "/etc/gai.conf")}
    yield Trial("misled: empty files in /etc", "trixie", ("proc",), planted=nothing, steps=Job.SHORT)
    damaged = {name: "\x01junk:junk:\n:::::\n" * 50 for name in nothing}
    yield Trial("misled: damaged files in /etc", "trixie", ("proc",), planted=damaged, steps=Job.SHORT)
    for root in (None, "empty", "trixie"):
        yield Trial(f"misled: files of unknown users {'on this host' if root is None else 'in ' + root}", root,
                    () if root is None else ("proc",), owner=UNPRIVILEGED_UID)
    yield Trial("misled: unknown users behind other modules", "trixie", ("proc",), owner=UNPRIVILEGED_UID,
                planted={"/etc/nsswitch.conf": NSSWITCH, **{f"/usr/lib/x86_64-linux-gnu/libnss_{name}.so.2": hostile
                                                            for name in ("sss", "systemd", "db")}}, forbidden=(LOADED,))
