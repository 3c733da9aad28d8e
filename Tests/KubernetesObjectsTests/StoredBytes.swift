/// Writes values as an apiserver stores them, field by field.
///
/// An encoder of its own, so that the tests don't share a mistake with the decoder. Numbers are given by the tests, from
/// k8s.io/api 1.36 `core/v1/generated.proto` and `storage/v1/generated.proto`.
struct Pb {
    private(set) var bytes: [UInt8] = []

    init(_ build: (inout Pb) -> Void = { _ in }) { build(&self) }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        repeat {
            let low = UInt8(rest & 0x7F)
            rest >>= 7
            bytes.append(rest == 0 ? low : low | 0x80)
        } while rest != 0
    }

    mutating func raw(_ number: UInt64, _ payload: [UInt8]) {
        varint(number << 3 | 2)
        varint(UInt64(payload.count))
        bytes += payload
    }

    mutating func text(_ number: UInt64, _ text: String) { raw(number, Array(text.utf8)) }

    mutating func number(_ number: UInt64, _ value: UInt64) {
        varint(number << 3)
        varint(value)
    }

    mutating func message(_ number: UInt64, _ build: (inout Pb) -> Void) { raw(number, Pb(build).bytes) }

    mutating func entry(_ number: UInt64, _ key: String, _ value: String) {
        message(number) {
            $0.text(1, key)
            $0.text(2, value)
        }
    }

    mutating func quantity(_ number: UInt64, _ key: String, _ value: String) {
        message(number) {
            $0.text(1, key)
            $0.message(2) { $0.text(1, value) }
        }
    }

    /// ObjectMeta with everything that an apiserver writes beside the name, managed fields included.
    mutating func metadata(_ name: String, namespace: String = "", _ more: (inout Pb) -> Void = { _ in }) {
        message(1) {
            $0.text(1, name)
            $0.text(2, "")
            $0.text(3, namespace)
            $0.text(4, "")
            $0.text(5, "6f5f3b1c-0000-4000-8000-000000000000")
            $0.text(6, "")
            $0.number(7, 0)
            $0.message(8) { $0.number(1, 1_795_402_800) }
            more(&$0)
            $0.message(17) {
                $0.text(1, "kube-controller-manager")
                $0.text(2, "Update")
                $0.message(7) { $0.text(1, String(repeating: "{\"f:metadata\":{}}", count: 40)) }
            }
        }
    }

    /// The envelope of the apiserver's protobuf serializer.
    static func stored(_ apiVersion: String, _ kind: String, _ build: (inout Pb) -> Void) -> [UInt8] {
        let unknown = Pb {
            $0.message(1) {
                $0.text(1, apiVersion)
                $0.text(2, kind)
            }
            $0.message(2, build)
            $0.text(3, "")
            $0.text(4, "")
        }
        return Array("k8s\0".utf8) + unknown.bytes
    }
}

/// Objects of each kind.
enum Stored {
    static let csiVolume = Pb.stored("v1", "PersistentVolume") {
        $0.metadata("pvc-1") { $0.entry(12, "pv.kubernetes.io/provisioned-by", "ebs.csi.aws.com") }
        $0.message(2) {
            $0.quantity(1, "storage", "10Gi")
            $0.message(2) {
                $0.message(22) {
                    $0.text(1, "ebs.csi.aws.com")
                    $0.text(2, "vol-0123456789abcdef0")
                    $0.number(3, 0)
                    $0.text(4, "ext4")
                    $0.entry(5, "storage.kubernetes.io/csiProvisionerIdentity", "1-2-ebs.csi.aws.com")
                    $0.message(7) {
                        $0.text(1, "stage-secret")
                        $0.text(2, "kube-system")
                    }
                }
            }
            $0.text(3, "ReadWriteOnce")
            $0.text(3, "ReadOnlyMany")
            $0.message(4) {
                $0.text(1, "PersistentVolumeClaim")
                $0.text(2, "shop")
                $0.text(3, "data-db-0")
                $0.text(4, "uid")
                $0.text(5, "v1")
            }
            $0.text(5, "Delete")
            $0.text(6, "gp3")
            $0.text(8, "Filesystem")
            $0.message(9) {
                $0.message(1) {
                    $0.message(1) {
                        $0.message(1) {
                            $0.text(1, "topology.ebs.csi.aws.com/zone")
                            $0.text(2, "In")
                            $0.text(3, "eu-1a")
                            $0.text(3, "eu-1b")
                        }
                        $0.message(1) {
                            $0.text(1, "gpu")
                            $0.text(2, "DoesNotExist")
                        }
                    }
                    $0.message(1) {
                        $0.message(2) {
                            $0.text(1, "metadata.name")
                            $0.text(2, "In")
                            $0.text(3, "node-7")
                        }
                    }
                }
            }
        }
        $0.message(3) {
            $0.text(1, "Bound")
            $0.text(2, "")
        }
    }

    static func volume(_ name: String, source: UInt64, _ build: (inout Pb) -> Void) -> [UInt8] {
        Pb.stored("v1", "PersistentVolume") {
            $0.metadata(name)
            $0.message(2) { $0.message(2) { $0.message(source, build) } }
        }
    }

    static let claim = Pb.stored("v1", "PersistentVolumeClaim") {
        $0.metadata("data-db-0", namespace: "shop")
        $0.message(2) {
            $0.text(1, "ReadWriteOnce")
            $0.message(2) { $0.quantity(2, "storage", "8Gi") }
            $0.text(3, "pvc-1")
            $0.text(5, "gp3")
            $0.text(6, "Filesystem")
        }
        $0.message(3) {
            $0.text(1, "Bound")
            $0.text(2, "ReadWriteOnce")
            $0.quantity(3, "storage", "10Gi")
        }
    }

    static let storageClass = Pb.stored("storage.k8s.io/v1", "StorageClass") {
        $0.metadata("gp3") { $0.entry(12, "storageclass.kubernetes.io/is-default-class", "true") }
        $0.text(2, "ebs.csi.aws.com")
        $0.entry(3, "type", "gp3")
        $0.entry(3, "encrypted", "true")
        $0.text(4, "Delete")
        $0.text(5, "noatime")
        $0.number(6, 1)
        $0.text(7, "WaitForFirstConsumer")
    }

    static let attachment = Pb.stored("storage.k8s.io/v1", "VolumeAttachment") {
        $0.metadata("csi-1")
        $0.message(2) {
            $0.text(1, "ebs.csi.aws.com")
            $0.message(2) { $0.text(1, "pvc-1") }
            $0.text(3, "node-7")
        }
        $0.message(3) { $0.number(1, 1) }
    }

    static let driver = Pb.stored("storage.k8s.io/v1", "CSIDriver") {
        $0.metadata("ebs.csi.aws.com")
        $0.message(2) {
            $0.number(1, 0)
            $0.text(3, "Persistent")
        }
    }

    static let csiNode = Pb.stored("storage.k8s.io/v1", "CSINode") {
        $0.metadata("node-7")
        $0.message(2) {
            $0.message(1) {
                $0.text(1, "ebs.csi.aws.com")
                $0.text(2, "i-0abc")
                $0.text(3, "topology.ebs.csi.aws.com/zone")
                $0.message(4) { $0.number(1, 25) }
            }
        }
    }

    static let node = Pb.stored("v1", "Node") {
        $0.metadata("node-7") {
            $0.entry(11, "kubernetes.io/hostname", "node-7")
            $0.entry(11, "topology.kubernetes.io/zone", "eu-1a")
            $0.entry(11, "team", "shop")
        }
        $0.message(2) {
            $0.text(1, "10.0.0.0/24")
            $0.text(3, "aws:///eu-1a/i-0abc")
        }
        $0.message(3) { $0.text(9, String(repeating: "image", count: 400)) }
    }

    static let all: [(key: String, value: [UInt8])] = [
        ("/registry/persistentvolumes/pvc-1", csiVolume), ("/registry/persistentvolumeclaims/shop/data-db-0", claim),
        ("/registry/storageclasses/gp3", storageClass), ("/registry/volumeattachments/csi-1", attachment),
        ("/registry/csidrivers/ebs.csi.aws.com", driver), ("/registry/csinodes/node-7", csiNode),
        ("/registry/minions/node-7", node),
    ]
}
