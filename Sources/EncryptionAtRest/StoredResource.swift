/// Where resources lie in etcd below the API server's prefix, such as `secrets` or `example.org/widgets`.
///
/// Source: Kubernetes 1.36 `pkg/kubeapiserver/default_storage_factory_builder.go` (`SpecialDefaultResourcePrefixes`),
/// `apiserver/pkg/server/storage/storage_factory.go` (`DefaultStorageFactory.ResourcePrefix`); for what has its group in its
/// path `apiextensions-apiserver/pkg/apiserver/customresource_handler.go` (`CRDRESTOptionsGetter`).
public enum StoredResource {
    /// The groups of what Kubernetes itself stores without the group in the path, `""` for the core group.
    ///
    /// What etcd holds under other names than the API's is here by etcd's; see ``specialPaths``.
    static let groups: [String: [String]] = [
        "": [
            "configmaps", "controllers", "events", "limitranges", "minions", "namespaces", "persistentvolumeclaims",
            "persistentvolumes", "pods", "podtemplates", "resourcequotas", "secrets", "serviceaccounts",
            "services/endpoints", "services/specs",
        ],
        "admissionregistration.k8s.io": [
            "mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "mutatingwebhookconfigurations",
            "validatingadmissionpolicies", "validatingadmissionpolicybindings", "validatingwebhookconfigurations",
        ],
        "apps": ["controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"],
        "autoscaling": ["horizontalpodautoscalers"],
        "batch": ["cronjobs", "jobs"],
        "certificates.k8s.io": ["certificatesigningrequests", "clustertrustbundles", "podcertificaterequests"],
        "coordination.k8s.io": ["leasecandidates", "leases"],
        "discovery.k8s.io": ["endpointslices"],
        "flowcontrol.apiserver.k8s.io": ["flowschemas", "prioritylevelconfigurations"],
        "internal.apiserver.k8s.io": ["storageversions"],
        "networking.k8s.io": ["ingress", "ingressclasses", "ipaddresses", "networkpolicies", "servicecidrs"],
        "node.k8s.io": ["runtimeclasses"],
        "policy": ["poddisruptionbudgets", "podsecuritypolicy"],
        "rbac.authorization.k8s.io": ["clusterrolebindings", "clusterroles", "rolebindings", "roles"],
        "resource.k8s.io": [
            "deviceclasses", "devicetaintrules", "resourceclaims", "resourceclaimtemplates", "resourceslices",
        ],
        "scheduling.k8s.io": ["priorityclasses", "workloads"],
        "storage.k8s.io": [
            "csidrivers", "csinodes", "csistoragecapacities", "storageclasses", "volumeattachments",
            "volumeattributesclasses",
        ],
        "storagemigration.k8s.io": ["storageversionmigrations"],
    ]

    /// Where what has another name in etcd than in the API lies, by name and group.
    private static let specialPaths: [String: String] = [
        "replicationcontrollers": "controllers", "endpoints": "services/endpoints", "nodes": "minions",
        "services": "services/specs", "ingresses.networking.k8s.io": "ingress",
        "podsecuritypolicies.policy": "podsecuritypolicy",
    ]

    /// Where a resource that a configuration names lies: `deployments.apps` at `deployments`, `widgets.example.org` at
    /// `example.org/widgets`.
    public static func path(of name: String) -> String {
        if let path = specialPaths[name] { return path }
        guard let dot = name.firstIndex(of: ".") else { return name }
        let resource = String(name[..<dot])
        let group = String(name[name.index(after: dot)...])
        // The core group has an empty name: `secrets.` is `secrets`.
        if group.isEmpty { return specialPaths[resource] ?? resource }
        return groups[group]?.contains(resource) == true ? resource : "\(group)/\(resource)"
    }

    /// The part of a key below the prefix that says the resource; nil for what is no object's.
    ///
    /// A first component with a dot is a group's, for no resource has one in its name.
    public static func path(in rest: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        let slash: UInt8 = 0x2F
        guard let end = rest.firstIndex(of: slash), end > 0 else { return nil }
        let first = UnsafeRawBufferPointer(rebasing: rest[..<end])
        guard first.contains(0x2E) || first.elementsEqual("services".utf8) else { return first }
        guard let next = rest[(end + 1)...].firstIndex(of: slash), next > end + 1 else { return nil }
        return UnsafeRawBufferPointer(rebasing: rest[..<next])
    }
}
