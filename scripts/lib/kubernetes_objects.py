"""Kubernetes-shaped etcd contents: keys and values an API server could have written, the same for the same seed.

Built-in kinds are protobuf behind the magic `k8s\\0` (runtime.Unknown of k8s.io/apimachinery), custom resources are
JSON. Only what varies in a live cluster varies here: an update keeps an object's spec and moves its status, so that
the revisions of a key resemble each other as real ones do.
"""

import base64
import hashlib
import json
import random

NAMESPACE_COUNT = 40
DEPLOYMENTS_PER_NAMESPACE = 8
NODE_COUNT = 120
WORDS = ("api gateway ledger invoice search index cache queue worker mailer report audit payment profile session "
         "catalog pricing shipping tracking metrics proxy ingress broker scheduler importer exporter").split()


def varint(number):
    """A protobuf base-128 varint."""
    output = bytearray()
    while number > 0x7F:
        output.append(number & 0x7F | 0x80)
        number >>= 7
    output.append(number)
    return bytes(output)


def field(number, value):
    """One protobuf field: varint for an int, length-delimited for text and bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def pair(number, key, value):
    """One entry of a protobuf map<string, string>."""
    return field(number, field(1, key) + field(2, value))


def unknown(api_version, kind, raw):
    """runtime.Unknown with the API server's storage magic."""
    return b"k8s\0" + field(1, field(1, api_version) + field(2, kind)) + field(2, raw) + field(3, "") + field(4, "")


def digest(*parts):
    """64 hexadecimal digits that look random and are the same on every run."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=32).hexdigest()


def uid(text):
    """A UUID made from a digest."""
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:32]}"


def timestamp(seconds):
    """metav1.Time."""
    return field(1, 1_790_000_000 + seconds)


class Deployment:
    """What all pods of one deployment share, encoded once."""

    def __init__(self, seed, namespace, index):
        source = random.Random(f"{seed}/{namespace}/{index}")
        self.name = f"{source.choice(WORDS)}-{source.choice(WORDS)}-{index}"
        self.namespace = namespace
        self.hash = digest(seed, namespace, index)[:10]
        self.image = f"registry.example.com/{namespace}/{self.name}:v{source.randrange(9)}.{source.randrange(40)}.0"
        self.image_digest = digest(self.image)
        self.labels = b"".join(pair(11, key, value) for key, value in (
            ("app.kubernetes.io/name", self.name), ("app.kubernetes.io/part-of", namespace),
            ("app.kubernetes.io/managed-by", "Helm"), ("pod-template-hash", self.hash)))
        self.owner = field(13, field(1, "ReplicaSet") + field(3, f"{self.name}-{self.hash}")
                           + field(4, uid(digest(self.name, self.hash))) + field(5, "apps/v1") + field(6, 1))
        self.managed = [self._managed(manager) for manager in ("kube-controller-manager", "kubelet")]
        self.spec = self._spec(source)

    def _managed(self, manager):
        keys = ["f:metadata", "f:labels", "f:ownerReferences", "f:spec", "f:containers", "f:env", "f:resources",
                "f:terminationMessagePath", "f:dnsPolicy", "f:schedulerName", "f:status", "f:conditions", "f:podIPs"]
        tree = {key: {".": {}, f'k:{{"name":"{self.name}"}}': {"f:image": {}, "f:name": {}}} for key in keys}
        return field(1, manager) + field(2, "Update") + field(3, "v1"), field(7, field(1, json.dumps(tree)))

    def _spec(self, source):
        variables = b"".join(
            field(7, field(1, f"{source.choice(WORDS).upper()}_{source.choice(('URL', 'HOST', 'TOKEN_FILE', 'LEVEL'))}")
                  + field(2, f"https://{source.choice(WORDS)}.{self.namespace}.svc:{source.randrange(8000, 9000)}"))
            for _ in range(12))
        mounts = field(9, field(1, "kube-api-access") + field(2, 1)
                       + field(3, "/var/run/secrets/kubernetes.io/serviceaccount"))
        container = field(1, self.name) + field(2, self.image) + variables + mounts \
            + field(13, "/dev/termination-log") + field(14, "IfNotPresent") + field(20, "File")
        tolerations = b"".join(field(22, field(1, f"node.kubernetes.io/{key}") + field(2, "Exists")
                               + field(4, "NoExecute") + field(5, 300)) for key in ("not-ready", "unreachable"))
        return field(2, container) + field(3, "Always") + field(4, 30) + field(6, "ClusterFirst") \
            + field(8, self.name) + tolerations + field(19, "default-scheduler")

    def pod(self, index, version, clock):
        """Key and value of one pod at one version of its status."""
        identity = digest(self.namespace, self.name, index)
        name = f"{self.name}-{self.hash}-{identity[-5:]}{index}"
        node = f"node-{int(identity[:6], 16) % NODE_COUNT:03}.example.com"
        managed = b"".join(field(17, head + field(4, timestamp(clock)) + tree) for head, tree in self.managed)
        metadata = field(1, name) + field(2, f"{self.name}-{self.hash}-") + field(3, self.namespace) \
            + field(5, uid(identity)) + field(8, timestamp(clock - version)) + self.labels + self.owner + managed
        conditions = b"".join(
            field(2, field(1, kind) + field(2, "True" if version else "False") + field(4, timestamp(clock + offset)))
            for offset, kind in enumerate(("Initialized", "Ready", "ContainersReady", "PodScheduled")))
        address = f"10.{int(identity[6:8], 16)}.{int(identity[8:10], 16)}.{int(identity[10:12], 16)}"
        container = field(1, self.name) + field(4, 1 if version else 0) + field(5, version // 8) \
            + field(6, self.image) + field(7, f"{self.image}@sha256:{self.image_digest}") \
            + field(8, f"containerd://{digest(identity, version // 8)}")
        status = field(1, "Running") + conditions + field(5, f"192.0.2.{index % 250}") + field(6, address) \
            + field(7, timestamp(clock - version)) + field(8, container) + field(9, "Burstable")
        raw = field(1, metadata) + field(2, self.spec + field(10, node)) + field(3, status)
        return f"/registry/pods/{self.namespace}/{name}".encode(), unknown("v1", "Pod", raw)


class Workload:
    """An endless, seeded series of writes: one instance a thread, each with namespaces of its own."""

    def __init__(self, seed, part):
        self.random = random.Random(f"{seed}/{part}")
        self.part = part
        self.namespaces = [f"team-{part}-{index:02}" for index in range(NAMESPACE_COUNT)]
        self.deployments = [Deployment(seed, namespace, index)
                            for namespace in self.namespaces for index in range(DEPLOYMENTS_PER_NAMESPACE)]
        self.pods = []
        self.events = []
        self.clock = 0
        self.made = 0
        self.kinds = [(30, self._lease), (24, self._pod_update), (14, self._pod_new), (22, self._event),
                      (4, self._config_map), (4, self._secret), (1, self._release), (4, self._custom_resource)]
        self.weights = [weight for weight, _ in self.kinds]

    def writes(self, count):
        """The next writes for one transaction: a map of key to value, None to delete; no key twice."""
        result = {}
        for _, kind in self.random.choices(self.kinds, self.weights, k=count):
            self.clock += 1
            key, value = kind()
            result[key] = value
        while len(self.events) > 4000 and len(result) < count + 16:
            result[self.events.pop(0)] = None
        return result

    def _namespace(self):
        self.made += 1
        return self.random.choice(self.namespaces)

    def _metadata(self, namespace, name):
        return field(1, name) + field(3, namespace) + field(5, uid(digest(namespace, name))) \
            + field(8, timestamp(self.clock))

    def _lease(self):
        node = f"node-{self.part}-{self.random.randrange(NODE_COUNT):03}.example.com"
        raw = field(1, self._metadata("kube-node-lease", node)) \
            + field(2, field(1, node) + field(2, 40) + field(4, timestamp(self.clock) + field(2, self.clock * 1009)))
        return f"/registry/leases/kube-node-lease/{node}".encode(), unknown("coordination.k8s.io/v1", "Lease", raw)

    def _pod_new(self):
        self.pods.append([self.random.choice(self.deployments), len(self.pods), 0])
        return self._pod(self.pods[-1])

    def _pod_update(self):
        if not self.pods:
            return self._pod_new()
        # Recent pods change most, as during a rollout.
        pod = self.pods[-1 - min(int(self.random.expovariate(1 / 400)), len(self.pods) - 1)]
        pod[2] += 1
        return self._pod(pod)

    def _pod(self, pod):
        deployment, index, version = pod
        return deployment.pod(index, version, self.clock)

    def _event(self):
        deployment = self.random.choice(self.deployments)
        name = f"{deployment.name}-{deployment.hash}.{digest(self.part, self.clock)[:16]}"
        raw = field(1, self._metadata(deployment.namespace, name)) \
            + field(2, field(1, "Pod") + field(2, deployment.namespace) + field(3, deployment.name)) \
            + field(3, "BackOff") + field(4, f"Back-off restarting failed container {deployment.name} in pod "
                                             f"{deployment.name}-{deployment.hash} with image {deployment.image}") \
            + field(6, timestamp(self.clock)) + field(7, timestamp(self.clock + 5)) + field(8, self.clock % 40 + 1)
        key = f"/registry/events/{deployment.namespace}/{name}".encode()
        self.events.append(key)
        return key, unknown("v1", "Event", raw)

    def _config_map(self):
        namespace = self._namespace()
        name = f"{self.random.choice(WORDS)}-config-{self.made}"
        lines = "\n".join(f"{self.random.choice(WORDS)}.{self.random.choice(WORDS)} = {self.random.randrange(10000)}"
                          for _ in range(self.random.randrange(20, 300)))
        raw = field(1, self._metadata(namespace, name)) + pair(2, "application.properties", lines)
        return f"/registry/configmaps/{namespace}/{name}".encode(), unknown("v1", "ConfigMap", raw)

    def _secret(self):
        namespace = self._namespace()
        name = f"{self.random.choice(WORDS)}-tls-{self.made}"
        pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(self.random.randbytes(1100)) \
            + b"-----END CERTIFICATE-----\n"
        raw = field(1, self._metadata(namespace, name)) + field(2, field(1, "tls.crt") + field(2, pem)) \
            + field(2, field(1, "tls.key") + field(2, base64.encodebytes(self.random.randbytes(1200)))) \
            + field(3, "kubernetes.io/tls")
        return f"/registry/secrets/{namespace}/{name}".encode(), unknown("v1", "Secret", raw)

    def _release(self):
        namespace = self._namespace()
        name = f"sh.helm.release.v1.{self.random.choice(WORDS)}.v{self.made}"
        # A Helm release is gzip within base64: dense, the same few bits lost to the text.
        body = base64.b64encode(self.random.randbytes(self.random.randrange(8_000, 40_000)))
        raw = field(1, self._metadata(namespace, name)) + field(2, field(1, "release") + field(2, body)) \
            + field(3, "helm.sh/release.v1")
        return f"/registry/secrets/{namespace}/{name}".encode(), unknown("v1", "Secret", raw)

    def _custom_resource(self):
        namespace = self._namespace()
        name = f"{self.random.choice(WORDS)}-{self.made % 500}"
        value = json.dumps({
            "apiVersion": "monitoring.example.com/v1", "kind": "Probe",
            "metadata": {"name": name, "namespace": namespace, "uid": uid(digest(namespace, name)),
                         "generation": self.made, "labels": {"release": "observability", "team": namespace}},
            "spec": {"interval": "30s", "targets": [f"https://{self.random.choice(WORDS)}.{namespace}.svc/healthz"
                                                    for _ in range(8)]},
            "status": {"observedGeneration": self.made, "lastProbe": self.clock},
        }, separators=(",", ":"))
        return f"/registry/monitoring.example.com/probes/{namespace}/{name}".encode(), value.encode()
