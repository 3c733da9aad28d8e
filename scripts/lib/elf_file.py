"""As much of a 64-bit little-endian ELF file as an account of its bytes needs: sections, relocations, unwind tables."""

import struct
from dataclasses import dataclass

SHT_NOBITS = 8
SHF_ALLOC = 2
SHF_TLS = 0x400

FILE_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
RELOCATION = struct.Struct("<QQq")
# Of .eh_frame_hdr: version, three encodings (both pointers 4 bytes, the table relative to the section), frame, count.
UNWIND_HEADER = struct.Struct("<BBBBiI")
UNWIND_ENTRY = struct.Struct("<ii")
UNWIND_ENCODING = (1, 0x1B, 0x03, 0x3B)


@dataclass(frozen=True)
class ElfSection:
    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size: int

    @property
    def is_loaded(self):
        return bool(self.flags & SHF_ALLOC) and self.address > 0

    @property
    def file_size(self):
        return 0 if self.kind == SHT_NOBITS else self.size


class ElfFile:
    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            self.content = file.read()
        if self.content[:6] != b"\x7fELF\x02\x01":
            raise SystemExit(f"error: {path} is no 64-bit little-endian ELF file")
        header = FILE_HEADER.unpack_from(self.content)
        table_offset, entry_size, count, names_index = header[6], header[11], header[12], header[13]
        raw = [SECTION_HEADER.unpack_from(self.content, table_offset + index * entry_size) for index in range(count)]
        names_offset = raw[names_index][4]
        self.sections = [
            ElfSection(self._string(names_offset + each[0]), each[1], each[2], each[3], each[4], each[5]) for each in raw
        ]

    def _string(self, offset):
        return self.content[offset:self.content.index(b"\0", offset)].decode()

    def section(self, name):
        return next((section for section in self.sections if section.name == name), None)

    def relocated_addresses(self):
        """The address that each entry of .rela.dyn relocates, in the table's order."""
        section = self.section(".rela.dyn")
        if section is None:
            return []
        table = self.content[section.offset:section.offset + section.size]
        return [address for address, _, _ in RELOCATION.iter_unpack(table)]

    def unwound_addresses(self):
        """The address of the function of each entry of .eh_frame_hdr."""
        section = self.section(".eh_frame_hdr")
        if section is None:
            return []
        *encoding, _, count = UNWIND_HEADER.unpack_from(self.content, section.offset)
        if tuple(encoding) != UNWIND_ENCODING:
            raise SystemExit(f"error: {self.path}: .eh_frame_hdr has the encoding {bytes(encoding).hex()}, expected "
                             f"{bytes(UNWIND_ENCODING).hex()}")
        start = section.offset + UNWIND_HEADER.size
        table = self.content[start:start + count * UNWIND_ENTRY.size]
        return [section.address + code for code, _ in UNWIND_ENTRY.iter_unpack(table)]
