"""Which library an archive or object of the link belongs to, with its version and its licence."""

import fnmatch
import functools
import json
import os
import re
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

REVIEWED = Path("packaging") / "licenses.toml"
COMPILED_TARGET = re.compile(r"(?:^|/)([^/]+)\.build/")
TARGET_DECLARATION = r'[tT]arget\(\s*name:\s*"{}"'
# What scripts/setup has built from a Debian source package: beside it are its name and version, and Debian's copyright file.
FROM_SOURCE = re.compile(r"^(.*/libcurl)/lib/libcurl\.a$")
TOOLCHAIN = re.compile(r"^(.*)/lib/(?:swift_static|swift|clang)/")


@dataclass(frozen=True)
class Library:
    """`group` is its row in the table: Debian's binary packages of one source package share it."""

    name: str
    group: str
    origin: str
    version: str
    license: str
    declared: str
    purl: str = ""
    download: str = "NOASSERTION"
    copyright: str = "NOASSERTION"
    source: str = ""
    remark: str = ""
    texts: tuple = field(default=(), compare=False)   # files with licences and notices
    sources: Path | None = field(default=None, compare=False)   # a directory whose files begin with their notices
    is_own: bool = False


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class LinkedLibraries:
    """Answers for each file of a link map; raises SystemExit with what is to be done about one that it does not know."""

    def __init__(self, root, own_version):
        self.root = root
        self.own = Library("etcd-snap", "etcd-snap", "this repository", own_version, "Apache-2.0", "Apache-2.0",
                           texts=(root / "LICENSE",), is_own=True)
        with open(root / REVIEWED, "rb") as file:
            self.reviewed = tomllib.load(file)
        self.problems = []
        self._packages_by_file = {}

    def assign(self, files):
        """The library of each of the files."""
        self._ask_dpkg([file for file in files if not self._is_built_here(file) and not TOOLCHAIN.match(file)
                        and not FROM_SOURCE.match(file)])
        libraries = {file: self._library(file) for file in files}
        if self.problems:
            raise SystemExit("\n".join(f"error: {problem}" for problem in sorted(set(self.problems))) +
                             f"\nhint: read the licence of each and note it, with its series, in {REVIEWED}")
        return libraries

    def module(self, file):
        """The target of Package.swift that an object was compiled for."""
        match = COMPILED_TARGET.search(file)
        return match[1] if match else Path(file).name

    def extracted_texts(self):
        return {name: entry["text"] for name, entry in self.reviewed.get("extracted", {}).items()}

    def _is_built_here(self, file):
        return COMPILED_TARGET.search(file) or "/.build/" in "/" + file

    def _library(self, file):
        if self._is_built_here(file):
            return self._of_target(self.module(file)) if COMPILED_TARGET.search(file) else self.own
        if TOOLCHAIN.match(file):
            return self._of_toolchain(TOOLCHAIN.match(file)[1], Path(file).name)
        if FROM_SOURCE.match(file):
            return self._of_debian_source(Path(FROM_SOURCE.match(file)[1]))
        package = self._packages_by_file.get(file)
        if package is None:
            self.problems.append(f"{file} is linked but belongs to no Debian package, Swift package or toolchain")
            return None
        return self._of_debian(package)

    def _review(self, kind, name, version):
        """The reviewed entry for a version, or an empty one and a noted problem."""
        entry = self.reviewed.get(kind, {}).get(name)
        if entry is None:
            self.problems.append(f"{name} {version} is linked but its licence was not reviewed ([{kind}.{name}] is missing)")
        elif not re.match(re.escape(entry["series"]) + r"(?![0-9])", version):
            self.problems.append(f"{name} {version} is linked but its licence was reviewed for {entry['series']} only")
        else:
            return entry
        return {"license": "NOASSERTION"}

    # What SwiftPM compiled.

    @functools.cached_property
    def _checkouts(self):
        """The directory, pin and manifest of each Swift package."""
        with open(self.root / "Package.resolved", encoding="utf-8") as file:
            pins = json.load(file)["pins"]
        checkouts = []
        for pin in pins:
            directory = self.root / ".build" / "checkouts" / Path(pin["location"]).name.removesuffix(".git")
            manifest = directory / "Package.swift"
            if manifest.exists():
                checkouts.append((directory, pin, manifest.read_text(encoding="utf-8")))
        return checkouts

    @functools.cache
    def _of_target(self, target):
        if (self.root / "Sources" / target).is_dir():
            return self.own
        for directory, pin, manifest in self._checkouts:
            if re.search(TARGET_DECLARATION.format(re.escape(target)), manifest):
                for name, entry in self.reviewed.get("vendored", {}).items():
                    if entry["package"] == directory.name and target in entry["modules"]:
                        return self._vendored(name, directory, pin, target)
                return self._swift_package(directory, pin)
        self.problems.append(f"target {target} is linked but no package in .build/checkouts declares it")
        return None

    def _swift_package(self, directory, pin):
        location, state = pin["location"].removesuffix(".git"), pin["state"]
        texts = tuple(sorted(path for path in directory.iterdir() if re.match(r"(LICEN[CS]E|NOTICE)\b", path.name)))
        licenses = [path for path in texts if path.name.startswith("LICEN")]
        expression = license_of_text(licenses[0].read_text(encoding="utf-8")) if licenses else None
        if expression is None:
            self.problems.append(f"the licence file of {directory.name} is none that is known")
        # A commit instead of a release has no version.
        version = state.get("version") or state["revision"]
        return Library(
            directory.name, directory.name, "Swift package", version, expression, expression,
            purl=f"pkg:swift/{location.removeprefix('https://')}@{quote(version)}",
            download=f"git+{location}@{state['revision']}", copyright=copyright_of(texts), texts=texts)

    def _vendored(self, name, directory, pin, target):
        package_version = pin["state"].get("version") or pin["state"]["revision"]
        entry = self._review("vendored", name, package_version)
        if "version" not in entry:
            return None
        where, pattern = entry["version"]["file"], entry["version"]["pattern"]
        match = re.search(pattern, (directory / where).read_text(encoding="utf-8"))
        if not match:
            self.problems.append(f"{directory.name} {package_version} does not say in {where} which {name} it has")
            return None
        return Library(
            name, name, f"in {directory.name}", match[1], entry["license"], entry["license"],
            purl=f"pkg:generic/{name}@{match[1]}", download=f"git+{entry['repository']}@{match[1]}",
            source=f"as {directory.name} {package_version} has it", remark=entry.get("remark", ""),
            sources=directory / "Sources" / target)

    # What the Swift toolchain brings.

    @functools.cache
    def _toolchain_version(self, prefix):
        swift = prefix + "/bin/swift"
        text = run(swift if os.access(swift, os.X_OK) else "swift", "--version")
        match = re.search(r"Swift version ([0-9.]+) \(([^)]*)\)", text)
        if not match:
            raise SystemExit(f"error: swift --version tells no version: {text}")
        return match[1], match[2]

    @functools.cache
    def _of_toolchain(self, prefix, file_name):
        version, tag = self._toolchain_version(prefix)
        for name, entry in self.reviewed["toolchain"].items():
            if any(fnmatch.fnmatchcase(file_name, pattern) for pattern in entry["files"]):
                entry = self._review("toolchain", name, version)
                repository = "https://github.com/" + entry.get("repository", "swiftlang/" + name)
                return Library(
                    name, name, "Swift toolchain", version, entry["license"], entry["license"],
                    purl=f"pkg:generic/{name}@{version}", download=entry.get("download", f"git+{repository}@{tag}"),
                    source=f"as Swift {version} ({tag}) has it", remark=entry.get("remark", ""),
                    texts=(Path(prefix) / "share" / "swift" / "LICENSE.txt",))
        self.problems.append(f"{file_name} of the Swift toolchain is linked but its licence was not reviewed")
        return None

    # What Debian brings.

    def _ask_dpkg(self, files):
        """Finds the package of each file, which dpkg may know by another of its names since /lib is a link to /usr/lib."""
        names = {}
        for file in files:
            real = os.path.realpath(file)
            names[file] = [file, real, "/usr" + real, real.removeprefix("/usr")]
        wanted = sorted({name for each in names.values() for name in each})
        found = subprocess.run(["dpkg", "-S", *wanted], capture_output=True, text=True, check=False).stdout if wanted else ""
        packages = {}
        for line in found.splitlines():
            owner, _, path = line.rpartition(": ")
            packages[path] = owner.split(",")[0]
        for file, each in names.items():
            self._packages_by_file[file] = next((packages[name] for name in each if name in packages), None)

    @functools.cached_property
    def _debian_release(self):
        text = Path("/etc/os-release").read_text(encoding="utf-8")
        return re.search(r"^VERSION_CODENAME=(\w+)", text, re.M)[1]

    @functools.cache
    def _of_debian(self, package):
        fields = run("dpkg-query", "-W", "-f",
                     "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}", package)
        name, version, architecture, source, source_version = fields.split("\t")
        entry = self._review("debian", source, upstream_version(source_version))
        text = Path("/usr/share/doc") / name / "copyright"
        return Library(
            name, source, "Debian", version, entry["license"], entry.get("declared", entry["license"]),
            purl=f"pkg:deb/debian/{name}@{quote(version, safe='~:')}?arch={architecture}&distro={self._debian_release}",
            download=snapshot_url(source, source_version),
            copyright=copyright_of((text,)), source=f"built from the Debian source package {source} {source_version}",
            remark=entry.get("remark", ""), texts=(text,))

    @functools.cache
    def _of_debian_source(self, directory):
        source, version = (directory / "source").read_text(encoding="utf-8").split()[:2]
        entry = self._review("debian", source, upstream_version(version))
        text = directory / "copyright"
        return Library(
            source, source, "Debian's source, built by scripts/setup", version, entry["license"], entry["license"],
            purl=f"pkg:deb/debian/{source}@{quote(version, safe='~:')}?arch=source&distro={self._debian_release}",
            download=snapshot_url(source, version), copyright=copyright_of((text,)),
            source=f"built from the Debian source package {source} {version}, with HTTP, TLS and proxies only",
            remark=entry.get("remark", ""), texts=(text,))


def upstream_version(debian_version):
    return re.sub(r"-[^-]*$", "", re.sub(r"^\d+:", "", debian_version))


def snapshot_url(source, version):
    return f"https://snapshot.debian.org/package/{source}/{quote(version, safe='~:+')}/"


def license_of_text(text):
    """The SPDX expression of a licence file of a Swift package, None when it is none that is known."""
    words = " ".join(text.split())
    if words.startswith("Apache License Version 2.0, January 2004"):
        return "Apache-2.0 WITH Swift-exception" if "Runtime Library Exception" in words else "Apache-2.0"
    if "Permission is hereby granted, free of charge, to any person obtaining a copy" in words:
        return "MIT"
    return None


def copyright_of(texts):
    """The copyright lines of notices, or of all files by a machine-readable Debian copyright file."""
    lines = []
    for path in texts:
        text = path.read_text(encoding="utf-8", errors="replace")
        stanza = re.search(r"^Files: \*\s*\nCopyright:(.*?)^(?=\S)", text, re.M | re.S)
        if stanza:
            lines += [line.strip() for line in stanza[1].splitlines()]
        elif not text.startswith("Format: ") and path.name != "copyright":
            lines += re.findall(r"^Copyright (?:\(c\) |© )?[0-9].*$", text, re.M)
    return "\n".join(dict.fromkeys(filter(None, lines))) or "NOASSERTION"
