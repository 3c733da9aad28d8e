import Certificates
import FoundationEssentials
import HostIO
import KubernetesAPI
import SealedArchive

#if canImport(Glibc)
    import Glibc
#endif

/// A kube-apiserver on a restored database: that it becomes ready, that every type can be listed, and that tokens count.
struct APIDrill {
    let program: APIServerProgram
    let settings: APIServerSettings
    /// Where the drill's etcd runs.
    let directory: OpenDirectory
    /// The name of that etcd.
    let name: String
    let counts: ObjectCounts
    let run: DrillRun

    static let bootStage = "kube-apiserver"
    private static let listStage = "api lists"
    private static let tokenStage = "api token"
    private static let readySeconds = 120

    func drill() async throws {
        guard counts.hasNamespaces else {
            return run.note(Self.bootStage, name, .notMade, "this etcd has no namespaces: no API server begins with it")
        }
        if let obstacle = settings.obstacle { return run.note(Self.bootStage, name, .notMade, obstacle) }
        let identities: APIServerIdentities
        do {
            identities = try APIServerIdentities(settings, in: directory, now: Date())
        } catch let failure as Failure where failure.code == .notFound {
            return run.note(Self.bootStage, name, .notMade, failure.message)
        }
        let server = try await run.stage(Self.bootStage, name) {
            let server = try DrilledAPIServer(program, settings, identities, in: directory)
            let user = try await withBlockingThread("etcd-snap.drill.api") {
                try server.waitUntilReady(seconds: Self.readySeconds)
                return try? server.client.whoAmI()
            }
            let who = user.map { ", and takes that for \(printable($0))" } ?? ""
            return (server, .passed, "\(program.record.version) is ready; \(identities.origin)\(who)")
        }.result
        defer { server.kill() }
        try await run.stage(Self.listStage, name) {
            try await withBlockingThread("etcd-snap.drill.api") { [counts] in
                let (outcome, detail) = try ListedTypes(server, counts).compare()
                return ((), outcome, detail)
            }
        }
        try await run.stage(Self.tokenStage, name) {
            try await withBlockingThread("etcd-snap.drill.api") { [settings] in
                let (outcome, detail) = try TokenDrill(server, settings).run()
                return ((), outcome, detail)
            }
        }
    }
}

/// All types of an API server, each listed to its end, so that every object is read, decrypted and decoded.
private struct ListedTypes {
    private let server: DrilledAPIServer
    private let counts: ObjectCounts

    private static let definitions = ResourcePath(
        group: "apiextensions.k8s.io", resource: "customresourcedefinitions")
    private static let services = ResourcePath(group: "apiregistration.k8s.io", resource: "apiservices")
    /// Computed, and not kept: Kubernetes 1.36, `pkg/registry/core/componentstatus`.
    private static let computed: Set = ["componentstatuses"]
    /// What the server removes by itself when it starts, being expired or of no more use to it: Kubernetes 1.36,
    /// `pkg/controlplane/controller`, `pkg/registry/flowcontrol/ensurer`, `kube-aggregator/pkg/controllers/autoregister`; and
    /// what etcd does.
    private static let tended: Set = [
        "apiservices.apiregistration.k8s.io", "events", "flowschemas.flowcontrol.apiserver.k8s.io",
        "ipaddresses.networking.k8s.io", "leasecandidates.coordination.k8s.io", "leases.coordination.k8s.io",
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", "storageversions.internal.apiserver.k8s.io",
    ]
    private static let patience = Duration.seconds(20)

    init(_ server: DrilledAPIServer, _ counts: ObjectCounts) {
        self.server = server
        self.counts = counts
    }

    func compare() throws -> (DrillRecord.Outcome, String) {
        let external = try externalGroups()
        let discovery = try discoverAll(external)
        let types = discovery.types.filter { type in
            type.verbs.contains("list") && !Self.computed.contains(type.path.name)
                && !external.contains("\(type.path.group)/\(type.path.version)")
        }
        var objectCount = 0
        var secretCount = 0
        var lost: [String] = []
        var refused: [String] = []
        var webhooks: [String] = []
        for type in types {
            do {
                let count = try server.asking { try server.client.count(type.path) }
                objectCount += count
                if type.path.name == "secrets" { secretCount = count }
                // The server itself makes some at its start, such as roles; none may be missing.
                let known = Self.tended.contains(type.path.name) ? 0 : counts.count(of: type.path)
                if count < known { lost.append("\(type.path.name) (\(count) of \(known))") }
            } catch let status as APIStatus {
                let isWebhook = status.message.contains("conversion webhook")
                if isWebhook {
                    webhooks.append(type.path.name)
                } else {
                    refused.append("\(type.path.name): \(status.message)")
                }
            }
        }
        let unasked = discovery.refusals.filter { !external.contains("\($0.group)/\($0.version)") }
        refused += unasked.map { "\($0.group)/\($0.version): \($0.status.message)" }
        guard lost.isEmpty, refused.isEmpty else { throw Self.failure(lost, refused) }
        var detail = "\(objectCount) objects of \(types.count) types were listed, none of them fewer than etcd has"
        if secretCount > 0 { detail += ", \(secretCount) Secrets among them" }
        let besides = counts.countBeside(types.map(\.path))
        if besides > 0 { detail += "; \(besides) keys are of no type that it lists" }
        if !external.isEmpty { detail += "; \(external.count) versions of groups are of servers elsewhere" }
        guard webhooks.isEmpty else {
            return (.notMade, "\(detail); only a webhook elsewhere could convert \(Self.joined(webhooks))")
        }
        return (.passed, detail)
    }

    private static func failure(_ lost: [String], _ refused: [String]) -> Failure {
        let parts =
            (lost.isEmpty ? [] : ["lists fewer objects than etcd has of \(joined(lost))"])
            + (refused.isEmpty ? [] : ["can't list \(joined(refused))"])
        return Failure(
            .integrity, "the API server that was booted from the archive \(parts.joined(separator: ", and "))",
            hint:
                "look at the encryption configuration and the version of kube-apiserver first; then use another backup")
    }

    private static func joined(_ names: [String]) -> String {
        let shown = names.prefix(5).map { withoutSecrets(printable(String($0.prefix(300)))) }.joined(separator: ", ")
        return names.count > 5 ? "\(shown) and \(names.count - 5) more" : shown
    }

    /// `GROUP/VERSION` of what other servers answer for, which are not there.
    private func externalGroups() throws -> Set<String> {
        let services = try server.asking { try server.client.list(Self.services) }
        return Set(
            services.filter { $0.value["spec"]?["service"]?["name"]?.text != nil }.map {
                "\($0.value["spec"]?["group"]?.text ?? "")/\($0.value["spec"]?["version"]?.text ?? "")"
            })
    }

    /// All types, once those of the custom resources are there, which come a moment after the server is ready.
    private func discoverAll(_ external: Set<String>) throws -> Discovery {
        let definitions = try server.asking { try server.client.list(Self.definitions) }
        let expected = Set(
            definitions.filter(Self.isEstablished).compactMap { definition -> String? in
                let spec = definition.value["spec"]
                guard let group = spec?["group"]?.text, let plural = spec?["names"]?["plural"]?.text else { return nil }
                return "\(plural).\(group)"
            })
        let deadline = ContinuousClock.now + Self.patience
        while true {
            let discovery = try server.asking { try server.client.discover() }
            let missing = expected.subtracting(discovery.types.map(\.path.name))
            let isWaiting = discovery.refusals.contains { !external.contains("\($0.group)/\($0.version)") }
            if missing.isEmpty, !isWaiting || ContinuousClock.now > deadline { return discovery }
            guard ContinuousClock.now < deadline else {
                throw Failure(
                    .integrity,
                    "the API server that was booted from the archive does not offer \(missing.count) custom resources: "
                        + Self.joined(missing.sorted()))
            }
            try Task.checkCancellation()
            usleep(200_000)
        }
    }

    private static func isEstablished(_ definition: KubernetesObject) -> Bool {
        definition.value["status"]?["conditions"]?.elements.contains {
            $0["type"]?.text == "Established" && $0["status"]?.text == "True"
        } == true
    }
}

/// A token of a ServiceAccount that was signed before the backup, or where the database has none, one that the restored key
/// signs for a ServiceAccount of the database.
private struct TokenDrill {
    private let server: DrilledAPIServer
    private let settings: APIServerSettings

    private static let secrets = ResourcePath(resource: "secrets")
    private static let accounts = ResourcePath(resource: "serviceaccounts")
    private static let secretType = "kubernetes.io/service-account-token"
    /// Kubernetes 1.36, `pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go`: such a token counts no more.
    private static let invalidLabel = "kubernetes.io/legacy-token-invalid-since"
    private static let lifetimeSeconds: Int64 = 600
    /// How many old tokens are tried: one may be of a key that the cluster itself takes no more.
    private static let maxTokenCount = 5

    init(_ server: DrilledAPIServer, _ settings: APIServerSettings) {
        self.server = server
        self.settings = settings
    }

    func run() throws -> (DrillRecord.Outcome, String) {
        var refusal: (any Error)?
        for (token, user) in try signedBefore() {
            do {
                return try check(token, of: user, "a token that was signed before the backup")
            } catch {
                refusal = error
            }
        }
        if let refusal { throw refusal }
        guard let (token, user) = try minted() else { return (.notMade, "the database has no ServiceAccount") }
        return try check(
            token, of: user, "a token that the restored key has signed now, for the database has none")
    }

    private func check(
        _ token: SecretBytes, of user: String, _ origin: String
    ) throws -> (DrillRecord.Outcome, String) {
        let client = try KubernetesClient(server.client.access.with(.token(token), origin: origin))
        let name: String
        do {
            name = try server.asking { try client.whoAmI() }
        } catch let status as APIStatus where status.isNotFound {
            return (.notMade, "this version of kube-apiserver does not tell whom it takes a client for")
        } catch let status as APIStatus where status.code == 403 && status.message.contains("\"\(user)\"") {
            // The cluster's roles forbid the question, and the refusal answers it.
            name = user
        }
        guard name == user else {
            throw Failure(
                .integrity, "the API server takes \(origin) for \(quoted(name)), and it is of \(quoted(user))")
        }
        return (.passed, "\(origin) is that of \(printable(name))")
    }

    /// Tokens of the database with whose they are.
    private func signedBefore() throws -> [(SecretBytes, String)] {
        let secrets = try server.asking {
            try server.client.list(Self.secrets, fieldSelector: "type=\(Self.secretType)")
        }
        let tokens = secrets.lazy.filter { $0.value["type"]?.text == Self.secretType }
            .compactMap { secret -> (SecretBytes, String)? in
                guard secret.value["metadata"]?["labels"]?[Self.invalidLabel] == nil,
                    let account = secret.annotations["kubernetes.io/service-account.name"],
                    let text = secret.value["data"]?["token"]?.text, var bytes = Base64.decode(text.utf8)
                else { return nil }
                defer { bytes.wipe() }
                let token = bytes.withUnsafeBytes { SecretBytes(copying: $0) }
                return (token, "system:serviceaccount:\(secret.namespace):\(account)")
            }
        return Array(tokens.prefix(Self.maxTokenCount))
    }

    /// Claims as Kubernetes 1.36 has them, `pkg/serviceaccount/claims.go`.
    private func minted() throws -> (SecretBytes, String)? {
        guard
            let account = try server.asking({ try server.client.list(Self.accounts) }).first(where: {
                !$0.isBeingDeleted
            })
        else { return nil }
        let user = "system:serviceaccount:\(account.namespace):\(account.name)"
        let now = Int64(Date().timeIntervalSince1970)
        let claims: JSONValue = [
            "iss": .string(settings.issuer), "sub": .string(user), "aud": .list([.string(settings.audience)]),
            "iat": .integer(now), "nbf": .integer(now), "exp": .integer(now + Self.lifetimeSeconds),
            "kubernetes.io": [
                "namespace": .string(account.namespace),
                "serviceaccount": ["name": .string(account.name), "uid": .string(account.uid)],
            ],
        ]
        return (try settings.tokenSigner().token(claims: try claims.bytes), user)
    }
}
