import HostIO
import NodeRewrite
import Testing

@Suite struct FileTests {
    @Test(arguments: [
        (
            "/var/lib/kubelet/kubeadm-flags.env",
            "KUBELET_KUBEADM_ARGS=\"--hostname-override=cp-1 --node-ip=10.0.0.11 --pod-infra=x\"\n",
            "KUBELET_KUBEADM_ARGS=\"--hostname-override=cp-21 --node-ip=10.0.0.21 --pod-infra=x\"\n"
        ),
        (
            "/etc/default/kubelet", "# cp-1\nexport KUBELET_EXTRA_ARGS='--node-ip 10.0.0.11'",
            "# cp-1\nexport KUBELET_EXTRA_ARGS='--node-ip 10.0.0.21'"
        ),
        (
            "/etc/default/kubelet", "A=--node-ip=\\\n10.0.0.11\r\nB=10.0.0.11\r\n",
            "A=--node-ip=\\\n10.0.0.21\r\nB=10.0.0.11\r\n"
        ),
        (
            "/etc/etcd.env",
            "# cp-1\nETCD_NAME=cp-1\nETCD_INITIAL_CLUSTER=cp-0=https://10.0.0.10:2380,cp-1=https://10.0.0.11:2380\n"
                + "ETCD_LISTEN_CLIENT_URLS=\"https://10.0.0.11:2379,https://127.0.0.1:2379\"\n"
                + "ETCD_CERT_FILE=/etc/ssl/etcd/ssl/member-cp-1.pem\nETCDCTL_ENDPOINTS=https://10.0.0.11:2379\nETCD_NAME=cp-1",
            "# cp-1\nETCD_NAME=cp-21\nETCD_INITIAL_CLUSTER=cp-0=https://10.0.0.10:2380,cp-21=https://10.0.0.21:2380\n"
                + "ETCD_LISTEN_CLIENT_URLS=\"https://10.0.0.21:2379,https://127.0.0.1:2379\"\n"
                + "ETCD_CERT_FILE=/etc/ssl/etcd/ssl/member-cp-21.pem\nETCDCTL_ENDPOINTS=https://10.0.0.21:2379\nETCD_NAME=cp-21"
        ),
        (
            "/etc/etcd.env",
            "ETCD_KEY_FILE=/pki/member-cp-1-key.pem\nETCDCTL_KEY=/etc/ssl/etcd/ssl/admin-cp-1-key.pem\n",
            "ETCD_KEY_FILE=/pki/member-cp-1-key.pem\nETCDCTL_KEY=/etc/ssl/etcd/ssl/admin-cp-21-key.pem\n"
        ),
        (
            "/etc/k0s/k0s.yaml",
            "apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\nspec:\n  api:\n    address: 10.0.0.11 # cp-1\n"
                + "    externalAddress: lb.example.internal\n    sans: [10.0.0.11, x.example]\n  network: {podCIDR: 10.0.0.11/8}\n"
                + "  storage:\n    etcd: {peerAddress: 10.0.0.11, extraArgs: {name: cp-1}}\n",
            "apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\nspec:\n  api:\n    address: 10.0.0.21 # cp-1\n"
                + "    externalAddress: api.new.example\n    sans: [10.0.0.21, x.example, api.new.example]\n  network: {podCIDR: 10.0.0.11/8}\n"
                + "  storage:\n    etcd: {peerAddress: 10.0.0.21, extraArgs: {name: cp-21}}\n"
        ),
        (
            "/etc/systemd/system/etcd.service",
            "[Service]\nEnvironment=ETCD_NAME=cp-1 \"A=b c\"\nExecStart=/usr/bin/etcd \\\n  # 10.0.0.11\n"
                + "\t--listen-peer-urls https://10.0.0.11:2380 \\\n  '--name=cp-1'\nDescription=--name=cp-1\n",
            "[Service]\nEnvironment=ETCD_NAME=cp-21 \"A=b c\"\nExecStart=/usr/bin/etcd \\\n  # 10.0.0.11\n"
                + "\t--listen-peer-urls https://10.0.0.21:2380 \\\n  '--name=cp-21'\nDescription=--name=cp-1\n"
        ),
        (
            "/etc/systemd/system/kubelet.service.d/20-ip.conf",
            "[Service]\r\nEnvironment=\"KUBELET_EXTRA_ARGS=--node-ip=10.0.0.11 --hostname-override cp-1\"\r\n",
            "[Service]\r\nEnvironment=\"KUBELET_EXTRA_ARGS=--node-ip=10.0.0.21 --hostname-override cp-21\"\r\n"
        ),
        (
            "/etc/systemd/system/k3s.service",
            "ExecStart=/usr/local/bin/k3s \\\n server \\\n\t'--node-name' \\\n\t'cp-1' \\\n\t'--tls-san=lb.example.internal'\n",
            "ExecStart=/usr/local/bin/k3s \\\n server \\\n\t'--node-name' \\\n\t'cp-21' \\\n\t'--tls-san=api.new.example'\n"
        ),
        (
            "/etc/systemd/system/k3s.service.env", "K3S_URL='https://10.0.0.11:6443'\nK3S_TOKEN=x\n",
            "K3S_URL='https://10.0.0.21:6443'\nK3S_TOKEN=x\n"
        ),
        (
            "/etc/rancher/rke2/config.yaml",
            "token: x::server:y\nserver: https://10.0.0.11:9345\nnode-name: cp-1 # cp-1\nnode-ip: [10.0.0.11]\n"
                + "advertise-address: \"10.0.0.11\"\ntls-san+:\n- 10.0.0.11\n- lb.example.internal\n- other\n"
                + "etcd-arg:\n- name=cp-1\n- quota-backend-bytes=8\nkube-apiserver-arg: advertise-address=10.0.0.11\n",
            "token: x::server:y\nserver: https://10.0.0.21:9345\nnode-name: cp-21 # cp-1\nnode-ip: [10.0.0.21]\n"
                + "advertise-address: \"10.0.0.21\"\ntls-san+:\n- 10.0.0.21\n- api.new.example\n- other\n"
                + "etcd-arg:\n- name=cp-21\n- quota-backend-bytes=8\nkube-apiserver-arg: advertise-address=10.0.0.21\n"
        ),
        (
            "/etc/rancher/k3s/config.yaml.d/10.yaml",
            "server: https://lb.example.internal:6443\nnode-ip: 10.0.0.11,10.0.0.111",
            "server: https://api.new.example:8443\nnode-ip: 10.0.0.21,10.0.0.111"
        ),
        ("/var/lib/rancher/k3s/server/db/etcd/name", "cp-1-1a2b3c4d", "cp-21-1a2b3c4d"),
        ("/var/lib/rancher/k3s/server/db/etcd/name", " cp-1\n", " cp-21\n"),
        (
            "/var/lib/rancher/k3s/server/db/etcd/config",
            "name: cp-1-1a2b3c4d\nlisten-peer-urls: https://127.0.0.1:2380,https://10.0.0.11:2380\n"
                + "initial-cluster: cp-1-1a2b3c4d=https://10.0.0.11:2380\nclient-transport-security: {cert-file: /cp-1}\n",
            "name: cp-21-1a2b3c4d\nlisten-peer-urls: https://127.0.0.1:2380,https://10.0.0.21:2380\n"
                + "initial-cluster: cp-21-1a2b3c4d=https://10.0.0.21:2380\nclient-transport-security: {cert-file: /cp-1}\n"
        ),
        (
            "/var/lib/kubelet/config.yaml",
            "kind: KubeletConfiguration\naddress: 10.0.0.11\nclusterDNS:\n- 10.0.0.11\n",
            "kind: KubeletConfiguration\naddress: 10.0.0.21\nclusterDNS:\n- 10.0.0.11\n"
        ),
        (
            "/etc/kubernetes/kubelet.conf.d/10.conf", "kind: KubeletConfiguration\nhealthzBindAddress: 10.0.0.11",
            "kind: KubeletConfiguration\nhealthzBindAddress: 10.0.0.21"
        ),
        (
            "/root/kubeadm-config.yaml",
            "kind: ClusterConfiguration\ncontrolPlaneEndpoint: 'lb.example.internal:6443'\napiServer:\n  certSANs: [10.0.0.11, cp-1]\n"
                + "  extraArgs: [{name: advertise-address, value: 10.0.0.11}]\netcd: {local: {extraArgs: {listen-metrics-urls: "
                + "\"http://10.0.0.11:2381\"}, serverCertSANs: [cp-1]}}\n---\nkind: InitConfiguration\nnodeRegistration:\n  name: \"cp-1\"\n"
                + "  kubeletExtraArgs: {node-ip: 10.0.0.11}\nlocalAPIEndpoint: {advertiseAddress: 10.0.0.11}\n",
            "kind: ClusterConfiguration\ncontrolPlaneEndpoint: 'api.new.example:8443'\napiServer:\n  certSANs: [10.0.0.11, cp-1]\n"
                + "  extraArgs: [{name: advertise-address, value: 10.0.0.21}]\netcd: {local: {extraArgs: {listen-metrics-urls: "
                + "\"http://10.0.0.21:2381\"}, serverCertSANs: [cp-1]}}\n---\nkind: InitConfiguration\nnodeRegistration:\n  name: \"cp-21\"\n"
                + "  kubeletExtraArgs: {node-ip: 10.0.0.21}\nlocalAPIEndpoint: {advertiseAddress: 10.0.0.21}\n"
        ),
        (
            "/root/join.yaml",
            "kind: JoinConfiguration\ndiscovery: {bootstrapToken: {apiServerEndpoint: \"lb.example.internal:6443\"}}\n"
                + "controlPlane:\n  localAPIEndpoint:\n    advertiseAddress: 10.0.0.11\n",
            "kind: JoinConfiguration\ndiscovery: {bootstrapToken: {apiServerEndpoint: \"api.new.example:8443\"}}\n"
                + "controlPlane:\n  localAPIEndpoint:\n    advertiseAddress: 10.0.0.21\n"
        ),
        (
            "/root/.kube/config",
            "{\"kind\":\"Config\",\"clusters\":[{\"cluster\":{\"server\":\"https:\\/\\/lb.example.internal:6443/k8s\"}}]}",
            "{\"kind\":\"Config\",\"clusters\":[{\"cluster\":{\"server\":\"https://api.new.example:8443/k8s\"}}]}"
        ),
    ])
    func `each kind of file changes by its settings`(_ path: String, _ before: String, _ after: String) throws {
        #expect(try rewritten(before, at: path, try moved()) == after)
        #expect(try rewritten(before, at: path, try change()) == nil)
    }

    @Test(arguments: [
        ("/etc/hosts", "127.0.0.1 localhost\n10.0.0.11 cp-1 cp-1.example\n", 3),
        ("/etc/keepalived/keepalived.conf", "unicast_src_ip 10.0.0.11\nunicast_peer {\n 10.0.0.12\n}\n", 1),
        ("/etc/haproxy/haproxy.cfg", "server cp-1 10.0.0.11:6443 check\nserver cp-11 10.0.0.111:6443\n", 2),
    ])
    func `files of others are told of and not edited`(_ path: String, _ text: String, _ count: Int) throws {
        let result = try #require(try NodeRewriter.rewrite(path: path, bytes: Array(text.utf8), change: try moved()))
        #expect(result.newBytes == Array(text.utf8) && result.edits.isEmpty && result.unifiedDiff.isEmpty)
        #expect(result.remarks.count == count, "\(result.remarks)")
        #expect(result.remarks.allSatisfy { $0.contains("change it by hand") })
    }

    @Test func `an endpoint that a cluster did not have is asked for`() throws {
        let text = "kind: ClusterConfiguration\nclusterName: x\n"
        let result = try #require(
            try NodeRewriter.rewrite(
                path: "/k.yaml", bytes: Array(text.utf8), change: try change(from: nil, to: "lb:6443")))
        #expect(result.newBytes == result.oldBytes && result.remarks.first?.contains("add \"lb:6443\"") == true)
        let admin = "kind: Config\nclusters:\n- cluster:\n    server: https://10.0.0.11:6443\n"
        let there = try change(from: nil, to: "lb:6443")
        #expect(
            try rewritten(admin, at: "/etc/kubernetes/admin.conf", there)?.contains("server: https://lb:6443") == true)
        #expect(try rewritten(admin, at: "/etc/kubernetes/kubelet.conf", there) == nil)
        let withoutPort = "kind: ClusterConfiguration\ncontrolPlaneEndpoint: lb.example.internal\n"
        #expect(
            try rewritten(withoutPort, at: "/k.yaml", try moved())?.contains("Endpoint: api.new.example:8443\n") == true
        )
    }

    @Test func `an address of the endpoint is none of the node`() throws {
        let change = try change(from: "10.0.0.100:6443", to: "api.new.example:6443")
        #expect(
            try rewritten(pod("kube-apiserver", ["--advertise-address=10.0.0.100"]), at: "/etc/x.yaml", change) == nil)
        #expect(
            try rewritten("tls-san: 10.0.0.100\nnode-ip: 10.0.0.100\n", at: "/etc/rancher/k3s/config.yaml", change)
                == "tls-san: api.new.example\nnode-ip: 10.0.0.100\n")
    }

    /// kubelet.conf goes to the endpoint where kubeadm before 1.36 made it, and to the node where both are one.
    @Test func `the kubelet keeps to whom it speaks`() throws {
        func server(_ host: String) -> String { "kind: Config\nclusters:\n- cluster:\n    server: https://\(host)\n" }
        let kubelet = "/etc/kubernetes/kubelet.conf"
        #expect(
            try rewritten(server("lb.example.internal:6443"), at: kubelet, try moved())
                == server("api.new.example:8443"))
        let same = try change(address: "10.0.0.21", from: "10.0.0.11:6443", to: "lb:6443")
        #expect(try rewritten(server("10.0.0.11:6443"), at: kubelet, same) == server("10.0.0.21:6443"))
        #expect(try rewritten(server("10.0.0.11:6443"), at: "/etc/kubernetes/admin.conf", same) == server("lb:6443"))
    }

    @Test func `what is ambiguous or broken is refused by name`() throws {
        let etcd = pod("etcd", ["--name=cp-1"])
        let path = "\(manifests)/etcd.yaml"
        #expect(refusal(etcd + "---\n" + etcd, at: path, try moved())?.contains("has 2 documents") == true)
        #expect(try rewritten("---\n" + etcd + "---\n# end\n", at: path, try moved())?.contains("cp-21") == true)
        #expect(refusal(etcd + "spec: x\n", at: path, try moved())?.contains("a key stands twice") == true)
        #expect(
            refusal("\tkind: Pod\n", at: path, try moved())?.contains("\"\(path)\" is not valid YAML: line 1") == true)
        let node = "kind: InitConfiguration\nnodeRegistration: {name: cp-1}\n"
        #expect(
            refusal(node + "---\n" + node, at: "/k.yaml", try moved())?.contains("two documents of the kind") == true)
        #expect(try rewritten("10.0.0.11 cp-1: [", at: "/etc/sysctl.d/x.conf", try moved()) == nil)
        let flags = "KUBELET_KUBEADM_ARGS=--node-ip=10.0.\"0.11\"\n"
        #expect(try rewritten("A=\"--node-ip=10.0.\\\n0.11\"\n", at: "/etc/default/kubelet", try change()) == nil)
        #expect(
            refusal("A=\"--node-ip=10.0.\\\n0.11\"\n", at: "/etc/default/kubelet", try moved())?.contains(
                "--node-ip on line 1") == true)
        #expect(try rewritten(flags, at: "/etc/default/kubelet", try change()) == nil)
    }
}
