"""A read-only bbolt file: its buckets, the shape of their trees, and what a sound tree must fulfil.

Independent of the Swift sources on purpose: it judges what they write. Layout of a page, all numbers little endian:

    u64 id, u16 flags, u16 count, u32 overflow pages, then `count` elements of 16 bytes, then keys and values
    branch element: u32 position, u32 key size, u64 child
    leaf element: u32 flags, u32 position, u32 key size, u32 value size

A position counts from the element's own first byte. A bucket's value is u64 root page, u64 sequence; with root 0 a page
image follows (an inline bucket).
"""

import mmap
import struct
from collections import namedtuple

BRANCH, LEAF, FREELIST = 0x01, 0x02, 0x10
BUCKET_ELEMENT = 0x01
MAGIC, VERSION = 0xED0CDAED, 2
META = struct.Struct("<IIIIQQQQQQ")  # at byte 16 of pages 0 and 1
PAGE_HEADER = struct.Struct("<QHHI")
BRANCH_ELEMENT = struct.Struct("<IIQ")
LEAF_ELEMENT = struct.Struct("<IIII")
NO_FREELIST = 0xFFFF_FFFF_FFFF_FFFF

Page = namedtuple("Page", "id flags keys children values")  # children of a branch, values (offset, size, flags) of a leaf


class BboltError(Exception):
    """A file that can't be read as bbolt; says where."""


def fnv1a(data):
    """The 64-bit FNV-1a hash, which a meta page carries of itself."""
    result = 0xCBF29CE484222325
    for byte in data:
        result = (result ^ byte) * 0x100000001B3 & 0xFFFF_FFFF_FFFF_FFFF
    return result


class BboltFile:
    """A database at rest. Bytes behind the high-water mark, such as a snapshot's SHA-256, are not looked at."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.page_size, self.root, self.freelist, self.page_count = self._newest_meta()
        if len(self.data) < self.page_count * self.page_size:
            raise BboltError(f"{path}: {len(self.data)} bytes, fewer than {self.page_count} pages")

    def close(self):
        """Unmaps the file."""
        self.data.close()

    def _newest_meta(self):
        metas = []
        page_size = struct.unpack_from("<I", self.data, 24)[0]
        for offset in (0, page_size):
            if offset + 80 > len(self.data):
                continue
            magic, version, size, _, root, _, freelist, high_water, transaction, checksum = \
                META.unpack_from(self.data, offset + 16)
            if (magic, version, checksum) == (MAGIC, VERSION, fnv1a(self.data[offset + 16:offset + 72])):
                metas.append((transaction, (size, root, freelist, high_water)))
        if not metas:
            raise BboltError(f"{self.path}: no valid meta page")
        return max(metas)[1]

    def _page_at(self, offset):
        page_id, flags, count, _ = PAGE_HEADER.unpack_from(self.data, offset)
        keys, children, values = [], [], []
        for at in range(offset + 16, offset + 16 + 16 * count, 16):
            if flags == BRANCH:
                position, key_size, child = BRANCH_ELEMENT.unpack_from(self.data, at)
                children.append(child)
            elif flags == LEAF:
                kind, position, key_size, value_size = LEAF_ELEMENT.unpack_from(self.data, at)
                values.append((at + position + key_size, value_size, kind))
            else:
                raise BboltError(f"{self.path}: page at byte {offset} has flags {flags:#x}")
            keys.append(self.data[at + position:at + position + key_size])
        return Page(page_id, flags, keys, children, values)

    def page(self, number):
        """The branch or leaf page of that number."""
        if not 2 <= number < self.page_count:
            raise BboltError(f"{self.path}: page {number} of {self.page_count}")
        return self._page_at(number * self.page_size)

    def buckets(self):
        """Each bucket's name and its root: the page's number, or for an inline bucket minus its byte offset."""
        found = {}
        for key, (offset, _, flags) in self._leaf_elements(self.root):
            if flags & BUCKET_ELEMENT:
                root = struct.unpack_from("<Q", self.data, offset)[0]
                found[key] = root or -(offset + 16)
        return found

    def _load(self, root):
        return self.page(root) if root > 0 else self._page_at(-root)

    def _leaf_elements(self, root):
        page = self._load(root)
        yield from zip(page.keys, page.values)
        for child in page.children:
            yield from self._leaf_elements(child)

    def rows(self, bucket):
        """Key and value of each row of a bucket, in order; none when there is no such bucket."""
        root = self.buckets().get(bucket)
        if root is not None:
            for key, (offset, size, _) in self._leaf_elements(root):
                yield key, self.data[offset:offset + size]

    def levels(self, bucket):
        """The bucket's pages level by level, the root first and the leaves last, each level from left to right."""
        level = [self._load(self.buckets()[bucket])]
        while level:
            yield level
            level = [self.page(child) for page in level for child in page.children]

    def problems(self):
        """Everything that bbolt relies on and is not so, as sentences.

        bbolt finds the parent's element of a page by the page's first key, so a branch key must equal it: a smaller one
        passes `bbolt check`, and breaks the tree when a row of that page is deleted.
        """
        found = []
        owners = {}
        roots = [(b"root", self.root)] + [(name, root) for name, root in self.buckets().items() if root > 0]
        for name, root in roots:
            self._check_tree(name.decode(errors="replace"), root, owners, found)
        if self.freelist != NO_FREELIST:
            found += [f"page {number} is free and of bucket {owners[number]}"
                      for number in self._free_pages() if number in owners]
        return found

    def _free_pages(self):
        offset = self.freelist * self.page_size
        _, _, count, _ = PAGE_HEADER.unpack_from(self.data, offset)
        at = offset + 16
        if count == 0xFFFF:  # the real count did not fit and stands in the first element
            count, at = struct.unpack_from("<Q", self.data, at)[0], at + 8
        return struct.unpack_from(f"<{count}Q", self.data, at)

    def _check_tree(self, bucket, root, owners, found):
        previous = None
        pending = [(root, None)]
        while pending:
            number, branch_key = pending.pop()
            page = self.page(number)
            self._claim(number, page, bucket, owners, found)
            first = page.keys[0] if page.keys else None
            if branch_key is not None and branch_key != first:
                found.append(f"page {number} of bucket {bucket}: the branch key is {branch_key.hex()}, "
                             f"the first key {first.hex() if first else 'absent'}")
            if page.flags == LEAF:
                for key in page.keys:
                    if previous is not None and key <= previous:
                        found.append(f"page {number} of bucket {bucket}: {key.hex()} is behind {previous.hex()}")
                    previous = key
            pending += reversed(list(zip(page.children, page.keys)))

    def _claim(self, number, page, bucket, owners, found):
        overflow = PAGE_HEADER.unpack_from(self.data, number * self.page_size)[3]
        if page.id != number:
            found.append(f"page {number} of bucket {bucket} says it is page {page.id}")
        for each in range(number, number + overflow + 1):
            if each in owners or each >= self.page_count:
                found.append(f"page {each} of bucket {bucket}: of {self.page_count}, owned by {owners.get(each)}")
            owners[each] = bucket
