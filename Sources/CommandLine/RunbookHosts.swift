import HostIO
import Operations

/// What a new host has to have before anything is placed on it, in the versions that the lost ones had.
struct RunbookHosts {
    private let plan: RebuildPlan
    private let layout: RebuildLayoutKind

    init(_ plan: RebuildPlan) { (self.plan, layout) = (plan, plan.layout ?? .kubeadm) }

    private var software: [RebuildPlan.Software] { plan.software ?? [] }

    /// The version of a program that is known best.
    private func version(_ program: String) -> String? { software.first { $0.program == program }?.version }

    private func plain(_ version: String) -> String { String(version.drop { $0 == "v" }) }

    /// The part of the runbook.
    var text: String {
        """
        ### Programs of each host

        \(table)
        \(install)

        \(units)
        """
    }

    // MARK: Versions

    private var table: String {
        guard !software.isEmpty else {
            return "The backup does not tell which versions the lost nodes ran: \(unknown)\n"
        }
        let rows = software.map { "| \($0.program) | `\($0.version)` | \($0.origin) |\n" }.joined()
        let isKnown = [.kubeadm, .kubespray].contains(layout) || version(layout.rawValue) != nil
        let lack = isKnown ? "" : "\nThe backup does not tell the version of \(layout.rawValue): \(unknown)\n"
        return "| program | version | known from |\n|---|---|---|\n\(rows)\(several)\(lack)"
    }

    /// Programs that lost nodes had in several versions.
    private var several: String {
        var names: [String] = []
        for item in software where item.program != "etcd" && !names.contains(item.program) {
            if software.contains(where: { $0.program == item.program && $0.version != item.version }) {
                names.append(item.program)
            }
        }
        guard !names.isEmpty else { return "" }
        return
            "\nOf \(names.joined(separator: ", ")) there were several versions: take the one of the node whose place a host "
            + "takes, or one for all, no newer than the API server.\n"
    }

    private var unknown: String {
        let program = [.k3s, .rke2, .k0s].contains(layout) ? layout.rawValue : "kubelet"
        return
            "a worker that still runs tells it, `\(program)\(layout == .k0s ? " version" : " --version")\(program == "kubelet" ? "; containerd --version" : "")`."
    }

    // MARK: Installing

    private var install: String {
        switch layout {
        case .kubeadm, .kubespray: kubernetes
        case .k3s:
            """
            Install k3s without starting it; a server that was started has made authorities of its own:

            ```sh
            curl -sfL https://get.k3s.io >install.sh
            INSTALL_K3S_VERSION='\(version("k3s") ?? "VERSION")' INSTALL_K3S_SKIP_ENABLE=true sh install.sh server
            k3s --version                              # \(version("k3s") ?? "that of the cluster: ask an agent")
            ls /var/lib/rancher/k3s/server             # No such file or directory
            ```
            """
        case .rke2:
            """
            Install RKE2 as a server without starting it; one that was started has made authorities of its own:

            ```sh
            curl -sfL https://get.rke2.io >install.sh
            INSTALL_RKE2_VERSION='\(version("rke2") ?? "VERSION")' INSTALL_RKE2_TYPE=server sh install.sh
            rke2 --version                             # \(version("rke2") ?? "that of the cluster: ask an agent")
            ls /var/lib/rancher/rke2/server            # No such file or directory
            ```
            """
        case .k0s:
            """
            Install k0s; its controller is not started:

            ```sh
            curl -sSf https://get.k0s.sh >install.sh
            K0S_VERSION='\(version("k0s") ?? "VERSION")' sh install.sh
            k0s version                                # \(version("k0s") ?? "that of the cluster: ask a worker")
            ls /var/lib/k0s/pki                        # No such file or directory
            ```
            """
        }
    }

    private var kubernetes: String {
        let server = version("kube-apiserver")
        let kubelet = version("kubelet")
        let wanted = kubelet ?? server
        let number = wanted.map(plain) ?? "VERSION"
        let why: String
        if kubelet != nil {
            why = "The kubelet is of the version that the lost node had"
        } else if let server {
            why =
                "The backup does not tell the kubelet's version: \(unknown) Else take that of the API server's image, `\(server)`. The "
                + "kubelet may be older by up to three minor versions"
        } else {
            why =
                "The kubelet is of the cluster's version: " + unknown
                + " It may be older than the API server by up to three minor versions"
        }
        let runtime = ["containerd", "crio"].lazy.compactMap { name in version(name).map { "\(name) \($0)" } }.first
        let etcd =
            layout == .kubespray
            ? " etcd \(version("etcd").map { "`\($0)` " } ?? "")with its user `etcd` and its unit is there too, and is not started."
            : ""
        return """
            \(why); never newer than the API server\(server.map { ", which is `\($0)`" } ?? ""). kubeadm and kubectl are of the same version. As \
            container runtime take \(runtime.map { "`\($0)` or a later one of its line" } ?? "what the workers have (`crictl version` there), with `SystemdCgroup = true` where they have it").\(etcd)

            ```sh
            # from https://pkgs.k8s.io/core:/stable:/v\(minor(number))/, in /etc/apt/sources.list.d or /etc/yum.repos.d
            apt-get install -y 'kubelet=\(number)-*' 'kubeadm=\(number)-*' 'kubectl=\(number)-*' && apt-mark hold kubelet kubeadm kubectl
            # or: dnf install -y kubelet-\(number) kubeadm-\(number) kubectl-\(number) --disableexcludes=kubernetes
            systemctl stop kubelet                     # the package may have started it
            kubelet --version                          # Kubernetes \(wanted ?? "of the workers' version")
            crictl info | grep -B3 -A1 RuntimeReady    # "status": true; else: systemctl enable --now containerd (or crio)
            swapon --show                              # nothing; else: swapoff -a, and out of /etc/fstab
            printf 'br_netfilter\\noverlay\\n' >/etc/modules-load.d/kubernetes.conf && modprobe -a br_netfilter overlay
            echo 'net.ipv4.ip_forward = 1' >/etc/sysctl.d/90-kubernetes.conf && sysctl net.ipv4.ip_forward=1
            ```
            \(images)
            """
    }

    private func minor(_ version: String) -> String {
        let parts = version.split(separator: ".")
        return parts.count > 2 ? parts.prefix(2).joined(separator: ".") : "MINOR"
    }

    /// The images, so that a registry which can't be reached is found before the start.
    private var images: String {
        var images: [String] = []
        for image in software.compactMap(\.image) where !images.contains(image) { images.append(image) }
        guard !images.isEmpty else { return "" }
        let lines = images.map { "crictl pull \($0)" }.joined(separator: "\n")
        return """

            Pull what the static pods run now, for without a registry nothing starts later:

            ```sh
            \(lines)
            ```
            """
    }

    // MARK: Units

    /// What of the unit that starts everything comes from the backup.
    private var units: String {
        let unit =
            switch layout {
            case .kubeadm, .kubespray: "kubelet"
            case .k3s: "k3s"
            case .rke2: "rke2-server"
            case .k0s: "k0scontroller"
            }
        let paths = Set(plan.nodes.flatMap { $0.files.filter { $0.byteCount > 0 }.map(\.path) })
        let found = paths.filter { path in
            lastName(path) == "\(unit).service" || path.contains("/\(unit).service.d/")
                || path.hasSuffix("/\(unit).service.env")
                || ["/etc/default/\(unit)", "/etc/sysconfig/\(unit)"].contains(path)
        }.sorted()
        let list = found.isEmpty ? "" : " From the backup come \(found.map { "`\($0)`" }.joined(separator: ", "))."
        let hasDropIn = found.contains { lastName($0) == "10-kubeadm.conf" }
        guard !found.contains(where: { lastName($0) == "\(unit).service" }) else {
            return "The unit `\(unit)` is placed from the backup.\(list)"
        }
        let maker =
            switch layout {
            case .kubeadm, .kubespray:
                hasDropIn
                    ? "The unit `kubelet` is not in the backup: the package brings it"
                    : "The unit `kubelet` and its drop-in `10-kubeadm.conf` are not in the backup: the packages kubelet and "
                        + "kubeadm bring them"
            case .k3s, .rke2: "The unit `\(unit)` is not in the backup: the installation above makes it"
            case .k0s:
                "The unit is not in the backup: `k0s install controller` makes it before the start; a controller that also ran "
                    + "pods needs `--enable-worker` there"
            }
        return "\(maker) (`systemctl cat \(unit)` shows it).\(list)"
    }
}
