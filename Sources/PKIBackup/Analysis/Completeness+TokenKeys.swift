import Certificates
import HostIO
import NodeFiles
import SealedArchive

/// The keys by which tokens of service accounts are signed and verified.
extension Examination {
    /// Tokens that are signed here are accepted here.
    mutating func checkServiceAccountKeys() {
        let signers =
            paths("kube-apiserver", "service-account-signing-key-file")
            + paths("kube-controller-manager", "service-account-private-key-file")
        let verifiers = components("kube-apiserver").flatMap { paths($0, "service-account-key-file") }
        for path in verifiers { checkVerifyingKey(path) }
        for path in signers { checkSigningKey(path) }
        if !verifiers.isEmpty {
            for signer in signers { checkSigner(signer, verifiers) }
        }
        for file in sortedFiles where file.captureClass == .serviceAccountKey && file.path.hasSuffix(".key") {
            let sibling = file.path.dropLast(4) + ".pub"
            // Distributions start with them without any flag to be seen.
            if !isSpare(file) {
                checkVerifyingKey(String(sibling))
                checkSigningKey(file.path)
            }
            // One that does not fit what it is used with is told of by that.
            guard files[String(sibling)] != nil, !isFound("service-account-key-mismatch", file.path) else { continue }
            checkSigner(file.path, verifiers + [String(sibling)])
        }
    }

    private mutating func checkSigner(_ signer: String, _ verifiers: [String]) {
        guard let keys = files[signer]?.pem, let key = keys.tokenKeys.signer ?? keys.privateKeys.first else { return }
        var digests: Set<String> = []
        for verifier in verifiers {
            guard let file = files[verifier], file.isSound, let contents = file.pem,
                !isFound("service-account-key-refused", verifier), !contents.tokenKeys.verifiers.isEmpty
            else { return }
            digests.formUnion(contents.tokenKeys.verifiers.map(\.digest))
        }
        guard !digests.contains(key.digest), !isFound("service-account-key-refused", signer) else { return }
        find(
            .error, "service-account-key-mismatch", signer,
            "the signing key \(quoted(signer)) belongs to none of the keys that verify tokens "
                + "(\(verifiers.map(quoted).joined(separator: ", ")))",
            "restore both from another control-plane node: tokens signed with this key are refused")
    }

    // MARK: What is refused

    private mutating func checkVerifyingKey(_ path: String) {
        guard let file = files[path], file.isSound, let contents = file.pem, contents.tokenKeys.verifiers.isEmpty else {
            return
        }
        let keys = contents.publicKeys + contents.privateKeys + contents.certificates.map(\.record.publicKey)
        guard let key = keys.first else { return }
        let isRSA = key.algorithm == "RSA"
        let isPKCS8 = key.algorithm == "ECDSA" && contents.publicKeys.isEmpty && contents.certificates.isEmpty
        let form = isRSA ? " public key in PKCS#1" : isPKCS8 ? " private key in PKCS#8" : " key"
        refuse(
            path,
            "the API server reads no key in \(quoted(path)), which has an \(Self.name(key))\(form): it does not start with it",
            isRSA ? "write it as PUBLIC KEY: openssl rsa -RSAPublicKey_in -in FILE -pubout" : Self.advice)
    }

    private mutating func checkSigningKey(_ path: String) {
        guard let file = files[path], file.isSound, let contents = file.pem, let first = contents.privateKeys.first,
            !contents.tokenKeys.canSign
        else { return }
        guard let key = contents.tokenKeys.signer else {
            return refuse(
                path,
                "\(quoted(path)) has a private key under a label that is not its form's, by which no token is signed",
                "write it again: openssl pkey -in FILE")
        }
        let isSame = key.digest == first.digest ? "" : "first "
        refuse(
            path,
            "the \(isSame)key of \(quoted(path)) is \(Self.name(key)), and tokens are signed with RSA or ECDSA only",
            Self.advice)
    }

    private mutating func refuse(_ path: String, _ message: String, _ advice: String) {
        find(.error, "service-account-key-refused", path, message, advice)
    }

    private static let advice = "use RSA, or ECDSA on P-256, P-384 or P-521: the public key as PUBLIC KEY"

    private static func name(_ key: PublicKey) -> String {
        key.curve.map { "\(key.algorithm) on \($0)" } ?? key.algorithm
    }
}
