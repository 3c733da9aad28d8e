"""One text with the licences and notices of everything that is linked into the executable."""

import re
from pathlib import Path

COMMON = Path("/usr/share/common-licenses")
COMMON_NAME = re.compile(re.escape(str(COMMON)) + r"/([A-Za-z]+(?:-[0-9]+(?:\.[0-9]+)?)?)")
# The name of a text that Debian's copyright files point to, for each licence that obliges to pass on its text.
COMMON_FOR_LICENSE = {
    "Apache-2.0": "Apache-2.0", "CC0-1.0": "CC0-1.0", "GPL-3.0-or-later": "GPL-3", "LGPL-2.1-or-later": "LGPL-2.1",
    "LGPL-3.0-or-later": "LGPL-3",
}
# The terms of LGPL-3 are additions to those of GPL-3.
INCLUDED_BY = {"LGPL-3": ["GPL-3"]}
RULE = "=" * 100
NOTICE = re.compile(r"copyright|licen[cs]e|public domain|warrant", re.IGNORECASE)
LEADING_COMMENT = re.compile(r"\A\s*(/\*.*?\*/|(?://[^\n]*\n)+)", re.S)


def third_party_licenses(libraries, extracted):
    """`libraries` in the order of the document. Each text is there once; where it comes again it is referred to."""
    parts = [
        "etcd-snap itself is under the Apache License 2.0, see LICENSE. Linked into its executable are the libraries below,\n"
        "each with its licence and notices as its source or its Debian package has them. Files that these texts speak of\n"
        "and that are no part of the library, such as tests and build scripts, are not in the executable.\n"]
    seen = {}
    for library in libraries:
        heading = f"{library.name} {library.version}"
        parts.append(f"{RULE}\n{heading}\n{library.origin}. Used under {library.license}.\n{RULE}\n")
        for title, text in texts_of(library, extracted):
            key = " ".join(text.split())
            if key in seen:
                parts.append(f"{title}: as of {seen[key]}, above.\n")
            else:
                seen[key] = heading
                parts.append(f"{title}:\n\n{text.strip(chr(10))}\n")
    for name in common_names(libraries):
        parts.append(f"{RULE}\n{name}\nAs /usr/share/common-licenses/{name} of Debian.\n{RULE}\n")
        parts.append((COMMON / name).read_text(encoding="utf-8").strip("\n") + "\n")
    return "\n".join(parts)


def texts_of(library, extracted):
    texts = [(path.name, path.read_text(encoding="utf-8", errors="replace")) for path in library.texts]
    if library.sources:
        texts += [(f"notices of its sources, {number}", text)
                  for number, text in enumerate(source_notices(library.sources), 1)]
    if library.license in extracted:
        texts.append((library.license, extracted[library.license]))
    if not texts:
        raise SystemExit(f"error: {library.name} {library.version} is linked but no text of its licence was found")
    return texts


def source_notices(directory):
    """The distinct comments that sources begin with and that speak of rights."""
    notices = set()
    for path in directory.rglob("*"):
        if path.suffix in {".c", ".h", ".cc", ".S", ".inc"}:
            match = LEADING_COMMENT.match(path.read_text(encoding="utf-8", errors="replace"))
            if match and NOTICE.search(match[1]):
                notices.add(match[1].strip())
    return sorted(notices)


def common_names(libraries):
    names = {common for library in libraries for license, common in COMMON_FOR_LICENSE.items()
             if re.search(rf"(?<![\w.-]){re.escape(license)}(?![\w.-])", library.license)}
    for name in list(names):
        names.update(INCLUDED_BY.get(name, []))
    return sorted(names)
