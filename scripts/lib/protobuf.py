"""The two kinds of protobuf fields that etcd's messages are made of, read without a schema."""


def read_varint(data, offset):
    """A protobuf varint and the offset behind it."""
    value = shift = 0
    while True:
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        offset += 1
        shift += 7
        if byte < 0x80:
            return value, offset


def fields(data):
    """Number and content of each field of a message that has only varints and length-delimited fields."""
    offset = 0
    while offset < len(data):
        tag, offset = read_varint(data, offset)
        value, offset = read_varint(data, offset)
        if tag & 7 == 2:
            yield tag >> 3, data[offset:offset + value]
            offset += value
        elif tag & 7 == 0:
            yield tag >> 3, value
        else:
            raise ValueError(f"a field of wire type {tag & 7} before byte {offset}")
