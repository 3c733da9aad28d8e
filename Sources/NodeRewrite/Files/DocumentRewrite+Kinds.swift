internal import HostIO
internal import YAML

extension DocumentRewrite {
    /// Changes a file by what its documents say they are; nil for all others.
    ///
    /// - Parameter ofCluster: whether it is what kubeadm keeps in the cluster, by which it issues certificates of nodes that
    ///   join later: names that these get are changed too. Those in a file are what its node was made with.
    static func rewrite(
        path: String, bytes: [UInt8], change: NodeChange, ofCluster: Bool = false
    ) throws(Failure) -> FileChange? {
        var rewrite: DocumentRewrite
        do {
            rewrite = try DocumentRewrite(path: path, bytes: bytes, change: change)
        } catch {
            // Much that is called .conf is no YAML.
            guard path.hasSuffix(".conf"), bytes.firstRange(of: "apiVersion".utf8) == nil else { throw error }
            return nil
        }
        let places = rewrite.edit.places
        for place in places {
            switch place["kind"]?.text {
            case "Pod":
                try rewrite.updatePod(place)
                try rewrite.checkOnlyDocument()
            case "Config" where place["clusters"] != nil || place["users"] != nil:
                try rewrite.updateKubeconfig(place)
                try rewrite.checkOnlyDocument()
            case "KubeletConfiguration", "KubeProxyConfiguration":
                for key in ["address", "bindAddress", "healthzBindAddress"] {
                    try rewrite.update(place[key], .addresses)
                }
                try rewrite.update(place["hostnameOverride"], .nodeName)
            case "InitConfiguration", "JoinConfiguration": try rewrite.updateKubeadmNode(place)
            case "ClusterConfiguration": try rewrite.updateKubeadmCluster(place, ofCluster: ofCluster)
            case "ClusterConfig" where place["apiVersion"]?.text?.hasPrefix("k0s.k0sproject.io/") == true:
                try rewrite.updateK0s(place["spec"])
            default: break
            }
        }
        try rewrite.checkKinds(places)
        return try rewrite.fileChange()
    }

    /// Of two documents of one kind kubeadm takes one, and which is not to be guessed.
    private func checkKinds(_ places: [YAMLPlace]) throws(Failure) {
        guard !isEmpty else { return }
        var seen: Set<String> = []
        for place in places {
            guard let kind = place["kind"]?.text, !seen.insert(kind).inserted else { continue }
            throw Failure(
                .failed,
                "\(quoted(path)) has two documents of the kind \(quoted(kind)), and which one counts is not known",
                hint: "leave the one that counts, and try again")
        }
    }

    // MARK: Pods

    /// Sources: kubeadm, `cmd/kubeadm/app/constants/constants.go`.
    private static let annotations: [(name: String, kind: SettingKind)] = [
        ("kubeadm.kubernetes.io/etcd.advertise-client-urls", .urls),
        ("kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint", .serverURL),
    ]

    private mutating func updatePod(_ pod: YAMLPlace) throws(Failure) {
        for (name, kind) in Self.annotations { try update(pod["metadata"]?["annotations"]?[name], kind) }
        let spec = pod["spec"]
        let containers = (spec?["containers"]?.items ?? []) + (spec?["initContainers"]?.items ?? [])
        for container in containers { try updateContainer(container) }
    }

    private mutating func updateContainer(_ container: YAMLPlace) throws(Failure) {
        let items = (container["command"]?.items ?? []) + (container["args"]?.items ?? [])
        let program = Self.program(items.compactMap(\.text)) ?? container["name"]?.text ?? ""
        guard SettingTable.programs.contains(program) else { return }
        try updateCommand(items)
        for variable in container["env"]?.items ?? [] {
            guard let name = variable["name"]?.text else { continue }
            try update(variable["value"], SettingTable.variable(name))
        }
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].compactMap { container[$0]?["httpGet"] }
        for probe in probes { try update(probe["host"], .addresses) }
        guard program == "kube-apiserver" else { return }
        for probe in probes { try update(probe["port"], .port) }
        for port in container["ports"]?.items ?? [] {
            for key in ["containerPort", "hostPort"] { try update(port[key], .port) }
        }
    }

    /// The first word that is a program of the control plane, also behind a shell.
    private static func program(_ words: [String]) -> String? {
        for word in words.prefix(16) {
            for part in word.split(whereSeparator: \.isWhitespace).prefix(64) {
                let name = lastName(part)
                if SettingTable.programs.contains(name) { return name }
            }
        }
        return nil
    }

    // MARK: Kubeconfigs

    private mutating func updateKubeconfig(_ root: YAMLPlace) throws(Failure) {
        // Those of the node itself go to its own API server where endpoint and address are the same.
        let isOwn = ["controller-manager.conf", "scheduler.conf", "kubelet.conf"].contains(lastName(path))
        for item in root["clusters"]?.items ?? [] {
            try update(item["cluster"]?["server"], isOwn ? .serverURL : .endpointURL)
            try update(item["cluster"]?["tls-server-name"], .hosts)
        }
        for item in root["users"]?.items ?? [] { try update(item["name"], .userName) }
        for item in root["contexts"]?.items ?? [] {
            try update(item["name"], .userName)
            try update(item["context"]?["user"], .userName)
        }
        try update(root["current-context"], .userName)
    }

    // MARK: kubeadm

    private mutating func updateKubeadmNode(_ root: YAMLPlace) throws(Failure) {
        let node = root["nodeRegistration"]
        try update(node?["name"], .nodeName)
        try updateArguments(node?["kubeletExtraArgs"])
        for place in [root["localAPIEndpoint"], root["controlPlane"]?["localAPIEndpoint"]] {
            try update(place?["advertiseAddress"], .addresses)
            try update(place?["bindPort"], .port)
        }
        try update(root["discovery"]?["bootstrapToken"]?["apiServerEndpoint"], .endpointURL)
    }

    private mutating func updateKubeadmCluster(_ root: YAMLPlace, ofCluster: Bool) throws(Failure) {
        try updateEndpoint(root)
        try update(root["etcd"]?["external"]?["endpoints"], .urls)
        try updateArguments(root["etcd"]?["local"]?["extraArgs"])
        if ofCluster {
            for key in ["serverCertSANs", "peerCertSANs"] { try update(root["etcd"]?["local"]?[key], .hosts) }
            try update(root["apiServer"]?["certSANs"], .hosts)
        }
        for component in ["apiServer", "controllerManager", "scheduler"] {
            try updateArguments(root[component]?["extraArgs"])
        }
    }

    /// Source: k0s, `pkg/apis/k0s/v1beta1`: `api.go`, `storage.go`.
    private mutating func updateK0s(_ spec: YAMLPlace?) throws(Failure) {
        let api = spec?["api"]
        try update(api?["address"], .addresses)
        try update(api?["externalAddress"], .hosts)
        try update(api?["sans"], .hosts)
        try update(api?["port"], .port)
        try updateArguments(api?["extraArgs"])
        let etcd = spec?["storage"]?["etcd"]
        try update(etcd?["peerAddress"], .addresses)
        try update(etcd?["externalCluster"]?["endpoints"], .urls)
        try updateArguments(etcd?["extraArgs"])
        addK0sEndpoint(spec)
    }

    /// Gives k0s an endpoint that it did not have: it puts `externalAddress` into its certificates and kubeconfigs.
    private mutating func addK0sEndpoint(_ spec: YAMLPlace?) {
        guard let host = change.addedHost else { return }
        guard let api = spec?["api"] else {
            return addKey("api", "{externalAddress: \(Self.source(host))}", to: spec, host)
        }
        if api["externalAddress"]?.text == nil {
            addKey("externalAddress", Self.source(host), to: api, host)
        }
        guard let names = api["sans"], !names.items.isEmpty,
            !names.items.contains(where: { $0.text.map { change.lists($0, host) } ?? false })
        else { return }
        addItem(host, to: names)
    }

    private mutating func updateEndpoint(_ root: YAMLPlace) throws(Failure) {
        guard let place = root["controlPlaneEndpoint"], let old = place.text, !old.isEmpty else {
            guard let endpoint = change.newEndpoint, change.oldEndpoint != endpoint else { return }
            remarks.append(
                "\(quoted(path)) has no controlPlaneEndpoint: add \(quoted(endpoint.text)) to its ClusterConfiguration")
            return
        }
        if change.newEndpoint == nil, let endpoint = change.oldEndpoint, Endpoint(old) == endpoint {
            return try set(place, .endpointURL, old, "")
        }
        try update(place, .endpointURL)
    }

    private typealias Endpoint = NodeChange.Endpoint

    /// A mapping up to v1beta3, a list of `name` and `value` from v1beta4 on.
    private mutating func updateArguments(_ place: YAMLPlace?) throws(Failure) {
        guard let place else { return }
        for key in place.keys { try update(place[key], SettingTable.flags[key]) }
        for item in place.items {
            guard let name = item["name"]?.text else { continue }
            try update(item["value"], SettingTable.flags[name])
        }
    }
}
