"""An SPDX 2.3 document of an executable and the libraries that are linked into it."""

import hashlib
import re
from datetime import datetime, timezone

EXECUTABLE = "SPDXRef-File-etcd-snap"
ITSELF = "SPDXRef-Package-etcd-snap"


def spdx_document(content, libraries, own, commit, epoch, extracted):
    """`content` is that of the executable, `libraries` are sorted; the same arguments always give the same document."""
    name = f"etcd-snap-{own.version}-linux-x86_64"
    packages = [own_package(own, content)] + [library_package(library) for library in libraries]
    used = " ".join(library.license for library in libraries)
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"https://spdx.org/spdxdocs/{name}-{commit}",
        "creationInfo": {
            "created": datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: etcd-snap-list-contents-{own.version}"],
        },
        "documentDescribes": [ITSELF],
        "packages": packages,
        "files": [executable_file(content)],
        "relationships": relationships(libraries),
    }
    infos = [{"licenseId": identifier, "extractedText": text, "name": identifier.removeprefix("LicenseRef-")}
             for identifier, text in sorted(extracted.items()) if identifier in used]
    if infos:
        document["hasExtractedLicensingInfos"] = infos
    return document


def identifier(library):
    return "SPDXRef-Package-" + re.sub(r"[^A-Za-z0-9.-]", "-", library.name)


def own_package(own, content):
    sha1 = hashlib.sha1(content).hexdigest()
    return {
        "SPDXID": ITSELF,
        "name": "etcd-snap",
        "versionInfo": own.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": True,
        "hasFiles": [EXECUTABLE],
        # By the specification: of the sorted digests of all files, here of one.
        "packageVerificationCode": {"packageVerificationCodeValue": hashlib.sha1(sha1.encode()).hexdigest()},
        "licenseConcluded": own.license,
        "licenseDeclared": own.declared,
        "licenseInfoFromFiles": ["NOASSERTION"],
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "APPLICATION",
        "externalRefs": [package_url(f"pkg:generic/etcd-snap@{own.version.replace('+', '%2B')}")],
    }


def library_package(library):
    package = {
        "SPDXID": identifier(library),
        "name": library.name,
        "versionInfo": library.version,
        "downloadLocation": library.download,
        "filesAnalyzed": False,
        "licenseConcluded": library.license,
        "licenseDeclared": library.declared,
        "copyrightText": library.copyright,
        "primaryPackagePurpose": "LIBRARY",
        "externalRefs": [package_url(library.purl)],
    }
    if library.origin == "Debian":
        package["supplier"] = "Organization: Debian"
    if library.source:
        package["sourceInfo"] = library.source
    if library.remark:
        package["licenseComments"] = library.remark
    return package


def package_url(url):
    return {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url}


def executable_file(content):
    return {
        "SPDXID": EXECUTABLE,
        "fileName": "./etcd-snap",
        "fileTypes": ["BINARY"],
        "checksums": [
            {"algorithm": "SHA1", "checksumValue": hashlib.sha1(content).hexdigest()},
            {"algorithm": "SHA256", "checksumValue": hashlib.sha256(content).hexdigest()},
        ],
        "licenseConcluded": "NOASSERTION",
        "licenseInfoInFiles": ["NOASSERTION"],
        "copyrightText": "NOASSERTION",
    }


def relationships(libraries):
    edges = [("SPDXRef-DOCUMENT", "DESCRIBES", ITSELF), (ITSELF, "CONTAINS", EXECUTABLE)]
    edges += [(EXECUTABLE, "STATIC_LINK", identifier(library)) for library in libraries]
    return [{"spdxElementId": start, "relationshipType": kind, "relatedSpdxElement": end} for start, kind, end in edges]
