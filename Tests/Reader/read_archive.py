#!/usr/bin/env python3
"""Reads an archive of etcd-snap and checks all of it, by docs/archive-format.md alone.

Usage: read_archive.py ARCHIVE --sidecar FILE (--identity KEY | --payload FILE) [--previous FILE] [--recipient age1...]...

age and zstd are called for what they do, the rest is Python's standard library. --payload names what `age -d` made of the
archive, where age was given a passphrase. Prints a summary as JSON; exits with 1 and a sentence for the first thing
that does not hold, with 2 for a format that this reader does not know.
"""
import argparse
import base64
import decimal
import hashlib
import io
import json
import re
import struct
import subprocess
import sys
import tarfile

KNOWN_VERSION = 1
KNOWN_FEATURES = set()
LOCATOR_MAGIC, TABLE_MAGIC, FOOTER_MAGIC = 0x184D2A5D, 0x184D2A5E, 0x8F92EAB1
FRAME_LIMIT, FRAME_COUNT_LIMIT, LOCATOR_LIMIT = 32 << 20, 1 << 20, 4096
MANIFEST_LIMIT, SIDECAR_LIMIT, SIZE_LIMIT, DATABASE_LIMIT = 128 << 20, 16 << 20, 1 << 56, 1 << 50
KINDS = {tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "directory",
         tarfile.SYMTYPE: "symbolicLink", tarfile.LNKTYPE: "hardLink"}
LEVELS = ["streamed", "structural", "consistent", "stored", "drilled"]


class Damage(Exception):
    pass


class Unknown(Exception):
    pass


def require(condition, message):
    if not condition:
        raise Damage(message)


def equal(left, right, what):
    require(left == right, f"{what}: {left!r} is not {right!r}")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def check_rules(document, what):
    version = document.get("formatVersion", 1)
    require(isinstance(version, int) and version > 0, f"{what} has format version {version}")
    if version > KNOWN_VERSION:
        raise Unknown(f"{what} has format version {version}, this reader knows {KNOWN_VERSION}")
    for feature in document.get("requires", []):
        if feature not in KNOWN_FEATURES:
            raise Unknown(f"{what} requires the feature {feature!r}")


def load(data, what):
    document = json.loads(data.decode("utf-8"))
    require(isinstance(document, dict), f"{what} is no object")
    check_rules(document, what)
    if isinstance(document.get("archive"), dict):
        check_rules(document["archive"], what)
    return document


def name(entry, field):
    """The bytes of a name: its text, unless there is a field with bytes."""
    if field + "Bytes" in entry:
        data = base64.b64decode(entry[field + "Bytes"], validate=True)
        equal(entry[field], data.decode("utf-8", "replace"), f"the text of {field}")
        return data
    return entry[field].encode("utf-8") if field in entry else None


# --- age ---

def age_header(sealed):
    """The size of the header and the types of its stanzas."""
    require(sealed.startswith(b"age-encryption.org/v1\n"), "the archive is no age file")
    types, position = [], 0
    while True:
        end = sealed.index(b"\n", position)
        line, position = sealed[position:end], end + 1
        if line.startswith(b"-> "):
            types.append(line.split(b" ")[1].decode())
        if line.startswith(b"---"):
            return position, types


def bech32_bytes(text):
    alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    bits = count = 0
    out = bytearray()
    for character in text.lower().rpartition("1")[2][:-6]:
        bits, count = bits << 5 | alphabet.index(character), count + 5
        if count >= 8:
            count -= 8
            out.append(bits >> count & 0xFF)
    return bytes(out)


def fingerprint(recipient):
    digest = hashlib.sha256(bech32_bytes(recipient)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def check_sealed(sealed, sidecar, recipients):
    stored = sidecar["object"]
    header_size, types = age_header(sealed)
    equal(len(sealed), stored["size"], "object.size")
    equal(header_size, stored["headerSize"], "object.headerSize")
    equal(sha256(sealed[:header_size]), stored["headerSHA256"], "object.headerSHA256")
    equal(sha256(sealed[header_size:]), stored["payloadSHA256"], "object.payloadSHA256")
    equal(types, [record["type"] for record in sidecar["recipients"]], "the types of recipients")
    known = [record["fingerprint"] for record in sidecar["recipients"]]
    for recipient in recipients:
        require(fingerprint(recipient) in known, f"{recipient[:12]} has no fingerprint in {known}")


# --- zstd ---

def read_table(payload):
    """The seek table's frames as (compressed, decompressed), and the offset of its own frame."""
    require(len(payload) >= 17, "the payload has no room for a seek table")
    count, descriptor, magic = struct.unpack("<IBI", payload[-9:])
    equal((descriptor, magic), (0, FOOTER_MAGIC), "the footer of the seek table")
    require(count <= FRAME_COUNT_LIMIT, f"there are {count} frames")
    start = len(payload) - (8 + 8 * count + 9)
    require(start >= 0, "the seek table is larger than the payload")
    equal(struct.unpack_from("<II", payload, start), (TABLE_MAGIC, 8 * count + 9), "the frame of the seek table")
    frames = [struct.unpack_from("<II", payload, start + 8 + 8 * index) for index in range(count)]
    require(all(size <= FRAME_LIMIT for _, size in frames), "a frame is too large")
    equal(sum(size for size, _ in frames), start, "the sum of the frames")
    return frames, start


def read_locator(frame):
    require(16 <= len(frame) <= LOCATOR_LIMIT, "the last frame is no locator")
    magic, size = struct.unpack_from("<II", frame)
    equal((magic, size), (LOCATOR_MAGIC, len(frame) - 8), "the frame of the locator")
    content = frame[8:]
    equal(content[:7], b"esnapmf", "the tag of the locator")
    check_rules({"formatVersion": content[7] - ord("0")}, "the locator")
    offset, size = struct.unpack_from("<QQ", content, 8)
    features = struct.unpack_from("<Q", content, 56)[0] if len(content) > 56 else 0
    if features:
        raise Unknown(f"the locator requires the features {features:#x}")
    require(size <= MANIFEST_LIMIT, f"the manifest has {size} bytes")
    return offset, size, content[24:56].hex()


def decompress(data):
    return subprocess.run(["zstd", "-dqc"], input=data, stdout=subprocess.PIPE, check=True).stdout


def read_frames(payload, frames, frame_size):
    """The uncompressed tar, frame by frame, as a reader of ranges gets it."""
    parts, position = [], 0
    for index, (compressed, decompressed) in enumerate(frames):
        frame = payload[position:position + compressed]
        position += compressed
        if index == len(frames) - 1:
            equal(decompressed, 0, "the decompressed size of the locator")
            continue
        parts.append(decompress(frame))
        equal(len(parts[-1]), decompressed, f"the decompressed size of frame {index}")
        require(decompressed <= frame_size, f"frame {index} is larger than object.frameSize")
    tar = b"".join(parts)
    equal(sha256(tar), sha256(decompress(payload)), "the frames and the stream that zstd gives")
    return tar


# --- tar and manifest ---

def raw(text):
    return text.encode("utf-8", "surrogateescape")


def in_manifest(info):
    """What a manifest has of a member of the tar."""
    require(info.type in KINDS, f"{info.name} has the type {info.type}")
    require(not info.sparse, f"{info.name} is sparse")
    seconds = int(decimal.Decimal(info.pax_headers.get("mtime", info.mtime)).to_integral_value(decimal.ROUND_FLOOR))
    return {
        "path": raw(info.name), "kind": KINDS[info.type], "size": info.size if info.isreg() else 0,
        "mode": "0" + (f"{info.mode & 0o7777:o}"), "owner": f"{info.uid}:{info.gid}",
        "modifiedAt": min(max(seconds, -62135596800), 253402300799),
        "linkTarget": raw(info.linkname) if info.issym() or info.islnk() else None, "offset": info.offset_data,
    }


def seconds_of(text):
    """RFC 3339 in UTC; Python's datetime has the same years."""
    import datetime
    match = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z", text)
    require(match, f"{text!r} is no time")
    moment = datetime.datetime(*map(int, match.groups()), tzinfo=datetime.timezone.utc)
    return int((moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)).total_seconds())


def check_entry(entry, info, tar, earlier):
    found = in_manifest(info)
    stated = {
        "path": name(entry, "path"), "linkTarget": name(entry, "linkTarget"),
        "modifiedAt": seconds_of(entry["modifiedAt"]),
        **{field: entry[field] for field in ("kind", "size", "mode", "owner", "offset")},
    }
    equal(stated, found, "an entry and its member")
    if found["kind"] == "file":
        equal(sha256(tar[info.offset_data:info.offset_data + info.size]), entry["sha256"], f"sha256 of {entry['path']}")
    else:
        require("sha256" not in entry, f"{entry['path']} is no file and has a digest")
    if found["kind"] == "hardLink":
        require(found["linkTarget"] in earlier, f"{entry['path']} links to what is not before it")
    if entry["path"].startswith("files/"):
        equal(name(entry, "source"), stated["path"][len("files"):], "source")


def check_snapshot(record, entries, members, tar):
    path = f"etcd/{record['name']}.db"
    entry = next((e for e in entries if e["path"] == path and e["role"] == "etcd"), None)
    require(entry, f"there is no {path}")
    data = tar[entry["offset"]:entry["offset"] + entry["size"]]
    equal(record["databaseSize"], len(data) - 32, f"databaseSize of {path}")
    equal(data[-32:].hex(), record["databaseSHA256"], f"the trailer of {path}")
    equal(sha256(data[:-32]), record["databaseSHA256"], f"databaseSHA256 of {path}")
    require(record["databaseSize"] <= DATABASE_LIMIT, f"{path} is too large")


def check_tar(tar, manifest, locator):
    """Every member against its entry, and the manifest where the locator says."""
    archive = tarfile.open(fileobj=io.BytesIO(tar), encoding="utf-8", errors="surrogateescape")
    members = archive.getmembers()
    entries = manifest["entries"]
    equal(len(members), len(entries) + 1, "the number of members")
    equal((members[0].name, members[-1].name), ("etcd-snap.json", "manifest.json"), "the first and the last member")
    earlier, end = set(), 0
    for entry, info in zip(entries, members):
        require(entry["offset"] >= end, f"{entry['path']} lies in the member before it")
        check_entry(entry, info, tar, earlier)
        earlier.add(raw(info.name))
        end = entry["offset"] + entry["size"]
    equal((members[-1].offset_data, members[-1].size), locator[:2], "the place of the manifest")
    rest = tar[members[-1].offset_data + (members[-1].size + 511) // 512 * 512:]
    require(len(rest) >= 1024 and not any(rest), "the tar does not end with zeros")
    header = load(archive.extractfile(members[0]).read(), "etcd-snap.json")
    equal(header, manifest["archive"], "etcd-snap.json and the manifest")
    for record in manifest["etcd"]:
        check_snapshot(record, entries, members, tar)
    attributes = sum(key.startswith("SCHILY.xattr.") for m in members for key in m.pax_headers)
    return {"attributeCount": attributes, "kinds": sorted({e["kind"] for e in entries}),
            "bytesCount": sum(key.endswith("Bytes") for e in entries for key in e)}


# --- sidecar ---

def check_sidecar(sidecar, manifest, tar, locator, previous):
    equal(sidecar["archive"], manifest["archive"], "archive")
    equal(sidecar["manifestSHA256"], locator[2], "manifestSHA256")
    equal(sidecar["object"]["tarSize"], len(tar), "object.tarSize")
    equal(sidecar["entryCount"], len(manifest["entries"]) + 1, "entryCount")
    equal(sidecar["findingCount"], sum(finding["severity"] != "note" and "accepted" not in finding
            for finding in manifest["findings"] + sidecar["checkFindings"]), "findingCount")
    for field in ("sequence", "previousSidecarSHA256"):
        equal(sidecar.get(field), manifest.get(field), field)
    equal(len(sidecar["etcd"]), len(manifest["etcd"]), "the number of snapshots")
    for summary, record in zip(sidecar["etcd"], manifest["etcd"]):
        for field in ("name", "clusterID", "serverVersion", "revisionAtStart", "databaseSize", "databaseSHA256"):
            equal(summary[field], record[field], f"etcd.{field}")
        for field in ("revision", "compactRevision", "hash", "hashKV"):
            later = field == "hashKV" and "hashKVCompactRevision" in summary
            if field in record and not later:
                equal(summary.get(field), record[field], f"etcd.{field}")
    if sidecar["verification"] in LEVELS:
        sealed = [LEVELS.index(r["verification"]) for r in manifest["etcd"] if r["verification"] in LEVELS]
        require(LEVELS.index(sidecar["verification"]) >= min(sealed, default=0), "verification")
    require(all(0 <= value <= SIZE_LIMIT for key, value in sidecar["object"].items() if key.endswith("Size")), "sizes")
    if previous is not None:
        equal(sidecar.get("previousSidecarSHA256"), sha256(previous), "previousSidecarSHA256")
        equal(sidecar["sequence"], json.loads(previous)["sequence"] + 1, "sequence")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("archive")
    parser.add_argument("--sidecar", required=True)
    parser.add_argument("--identity")
    parser.add_argument("--payload")
    parser.add_argument("--previous")
    parser.add_argument("--recipient", action="append", default=[])
    arguments = parser.parse_args()
    sealed, sidecar_bytes = read(arguments.archive), read(arguments.sidecar)
    require(len(sidecar_bytes) <= SIDECAR_LIMIT, "the sidecar is too large")
    sidecar = load(sidecar_bytes, "the sidecar")
    check_sealed(sealed, sidecar, arguments.recipient)
    if arguments.payload:
        payload = read(arguments.payload)
    else:
        command = ["age", "-d", "-i", arguments.identity, arguments.archive]
        payload = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    frames, start = read_table(payload)
    require(frames, "there are no frames")
    locator = read_locator(payload[start - frames[-1][0]:start])
    tar = read_frames(payload, frames, sidecar["object"]["frameSize"])
    manifest_bytes = tar[locator[0]:locator[0] + locator[1]]
    equal(sha256(manifest_bytes), locator[2], "the digest of the manifest")
    manifest = load(manifest_bytes, "the manifest")
    summary = check_tar(tar, manifest, locator)
    check_sidecar(sidecar, manifest, tar, locator, read(arguments.previous) if arguments.previous else None)
    print(json.dumps({"entryCount": len(manifest["entries"]) + 1, "frameCount": len(frames),
                      "etcd": [record["name"] for record in manifest["etcd"]], **summary}))


if __name__ == "__main__":
    try:
        main()
    except Unknown as error:
        sys.exit(print(f"unknown: {error}", file=sys.stderr) or 2)
    except (Damage, KeyError, ValueError, struct.error, tarfile.TarError, subprocess.CalledProcessError) as error:
        sys.exit(print(f"damaged: {error!r}", file=sys.stderr) or 1)
