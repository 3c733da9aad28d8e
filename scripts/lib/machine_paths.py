"""Which paths of the machine that built it an executable has, and which object brought each.

A path in a section of its own is found by the link map. One among the strings that the linker merged could be of many:
every input file is searched for it.
"""

import re
from collections import defaultdict
from pathlib import Path

from link_map import AddressIndex

PATH_CHARACTERS = rb"[\x21-\x7e]*"


def found_paths(content, prefixes):
    """(offset, string) of every run of printable characters that begins with one of the prefixes."""
    pattern = re.compile(b"(?:" + b"|".join(re.escape(prefix.encode()) for prefix in prefixes) + b")" + PATH_CHARACTERS)
    return [(match.start(), match.group().decode()) for match in pattern.finditer(content)]


def report_paths(elf, link_map, prefixes):
    """Prints each path with its number of places and the files that brought it; exit status 1 when there is one."""
    loaded = [section for section in elf.sections if section.is_loaded]
    index = AddressIndex([link_map.sections[section.name] for section in loaded])
    origins, counts, merged = defaultdict(set), defaultdict(int), set()
    for offset, path in found_paths(elf.content, prefixes):
        counts[path] += 1
        section = next((each for each in loaded if each.offset <= offset < each.offset + each.file_size), None)
        piece = index.piece(section.address + offset - section.offset) if section else None
        if piece and piece.file:
            origins[path].add(short_name(piece.file, piece.member))
        elif section:
            merged.add(path)
        else:
            origins[path].add("not loaded")
    search_files(link_map.files(), merged, origins)
    for path in sorted(counts):
        print(f"{path}\t{counts[path]}\t{', '.join(sorted(origins[path])) or 'no input file has it'}")
    if counts:
        raise SystemExit(1)


def search_files(files, paths, origins):
    if not paths:
        return
    # The longest first: one path can begin another.
    alternatives = sorted((re.escape(path.encode()) for path in paths), key=len, reverse=True)
    pattern = re.compile(b"(?:" + b"|".join(alternatives) + b")")
    for file in files:
        if Path(file).exists():
            for match in set(pattern.findall(Path(file).read_bytes())):
                origins[match.decode()].add(short_name(file, None))


def short_name(file, member):
    """Without the directories of a build, which are the same for all."""
    name = re.sub(r"^.*/release/", "", file)
    return f"{name}({member})" if member else name
