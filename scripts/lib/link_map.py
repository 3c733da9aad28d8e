"""What lld writes with -Map: which piece of which input file lies at which address of the executable."""

import re
from bisect import bisect_right
from dataclasses import dataclass

# VMA, LMA, size, alignment, then the name at a depth of 0 (output section), 8 (input section) or 16 (symbol) blanks.
LINE = re.compile(r"^ *([0-9a-f]+) +[0-9a-f]+ +([0-9a-f]+) +\d+ ( *)(\S.*)$")
SECTION_DEPTH, PIECE_DEPTH = 0, 8
PIECE = re.compile(r"^(.+?\.(?:a|o|so))(?:\((.+?)\))?:\((.*)\)$")
LINKER = "<internal>"


@dataclass(frozen=True)
class Piece:
    """A run of bytes that one input file brought. `file` is the archive or object, None for what the linker made."""

    address: int
    size: int
    file: str | None
    member: str | None
    section: str


@dataclass(frozen=True)
class Section:
    name: str
    address: int
    size: int
    pieces: list


class LinkMap:
    def __init__(self, path):
        self.path = path
        self.sections = {}
        section = None
        with open(path, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                match = LINE.match(line)
                if not match:
                    continue
                address, size, depth = int(match[1], 16), int(match[2], 16), len(match[3])
                if depth == SECTION_DEPTH:
                    section = self.sections.setdefault(match[4], Section(match[4], address, size, []))
                elif depth == PIECE_DEPTH and section is not None and size > 0:
                    section.pieces.append(self._piece(address, size, match[4]))
        if not self.sections:
            raise SystemExit(f"error: {path} is no link map of lld\nhint: link with -Wl,-Map=FILE")

    def _piece(self, address, size, text):
        if text.startswith(LINKER + ":"):
            return Piece(address, size, None, None, text.removeprefix(LINKER + ":").strip("()"))
        match = PIECE.match(text)
        if not match:
            # An assignment of a linker script, or a file of a kind that is not known: who owns it must not be guessed.
            raise SystemExit(f"error: {self.path}: what brought the {size} bytes at {address:#x} is not understood: {text}")
        return Piece(address, size, match[1], match[2], match[3])

    def files(self):
        """Every archive and object that brought a byte to a loaded section, in order."""
        return sorted({
            piece.file for section in self.sections.values() if section.address
            for piece in section.pieces if piece.file
        })


class AddressIndex:
    """Finds the piece at an address of the loaded image."""

    def __init__(self, sections):
        self.pieces = sorted((piece for section in sections for piece in section.pieces), key=lambda piece: piece.address)
        self.addresses = [piece.address for piece in self.pieces]

    def piece(self, address):
        index = bisect_right(self.addresses, address) - 1
        if index < 0:
            return None
        found = self.pieces[index]
        return found if address < found.address + found.size else None
