"""Whose every byte of an executable is, by its link map.

The linker's own tables are divided further where they say whom they serve: a relocation belongs to whoever owns the
address that it relocates, an entry of the unwind table to whoever owns the function. What stays without owner has a
name of its own.
"""

from collections import Counter

from elf_file import RELOCATION, SHF_TLS, SHT_NOBITS, UNWIND_ENTRY
from link_map import AddressIndex

MERGED = "strings and constants merged by the linker"
TABLES = "tables of the linker"
ALIGNMENT = "alignment"
UNLOADED = "section headers and notes, not loaded"
REMAINDERS = (MERGED, TABLES, ALIGNMENT, UNLOADED)

MERGED_SECTIONS = (".rodata", ".data.rel.ro", ".cfstr.data")


class ByteAccount:
    """`by_file` counts bytes of the file for each input file, `remainders` those without owner.

    Together they are the size of the file, `zeroed` is what is only memory (.bss).
    """

    def __init__(self, elf, link_map):
        self.by_file = Counter()
        self.remainders = Counter()
        self.zeroed = 0
        loaded = [section for section in elf.sections if section.is_loaded]
        self._require_same_link(elf, loaded, link_map)
        in_memory = [link_map.sections[section.name] for section in loaded if not section.flags & SHF_TLS
                     or section.kind != SHT_NOBITS]
        self.index = AddressIndex(in_memory)
        self._count_sections(elf, loaded, link_map)
        for address in elf.relocated_addresses():
            self._give_from_tables(address, RELOCATION.size)
        for address in elf.unwound_addresses():
            self._give_from_tables(address, UNWIND_ENTRY.size)
        self._count_rest_of_file(elf, loaded)
        counted = self.by_file.total() + self.remainders.total()
        if counted != len(elf.content):
            raise SystemExit(f"error: {counted} of {len(elf.content)} bytes of {elf.path} were accounted for")

    def _require_same_link(self, elf, loaded, link_map):
        for section in loaded:
            known = link_map.sections.get(section.name)
            if known is None or (known.address, known.size) != (section.address, section.size):
                raise SystemExit(f"error: {link_map.path} is not the map of {elf.path}: they disagree on {section.name}\n"
                                 "hint: make both by one link")

    def _count_sections(self, elf, loaded, link_map):
        for section in loaded:
            if section.kind == SHT_NOBITS:
                self.zeroed += section.size
                continue
            end = section.address
            for piece in sorted(link_map.sections[section.name].pieces, key=lambda piece: piece.address):
                size = max(0, piece.address + piece.size - max(piece.address, end))
                self.remainders[ALIGNMENT] += max(0, piece.address - end)
                end = max(end, piece.address + piece.size)
                if piece.file:
                    self.by_file[piece.file] += size
                else:
                    self.remainders[MERGED if section.name in MERGED_SECTIONS else TABLES] += size
            self.remainders[ALIGNMENT] += section.address + section.size - end

    def _give_from_tables(self, address, size):
        owner = self.index.piece(address)
        if owner and owner.file:
            self.by_file[owner.file] += size
            self.remainders[TABLES] -= size

    def _count_rest_of_file(self, elf, loaded):
        in_file = sorted((section.offset, section.file_size) for section in loaded if section.file_size)
        end = in_file[0][0]
        self.remainders[TABLES] += end
        for offset, size in in_file:
            self.remainders[ALIGNMENT] += offset - end
            end = offset + size
        self.remainders[UNLOADED] += len(elf.content) - end
