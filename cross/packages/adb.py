"""ADB, the container of apk version 3: a tree of values in one block, then signatures and file contents in others.

Its description is apk-tools' doc/apk-v3. All numbers are little-endian.
"""

import struct
import zlib

ADB, SIGNATURE, DATA = range(3)
"""Types of blocks."""

INT, BLOB = "int", "blob"
"""Schemas of scalars. An array's is [item], an object's {name: schema} in the order of its slots."""

_NULL = 0
_INT, _INT_32 = 0x1 << 28, 0x2 << 28
_BLOB_8, _BLOB_16, _BLOB_32 = 0x8 << 28, 0x9 << 28, 0xA << 28
_ARRAY, _OBJECT = 0xD << 28, 0xE << 28
_VALUE = (1 << 28) - 1
_BLOB_LENGTHS = {_BLOB_8: "<B", _BLOB_16: "<H", _BLOB_32: "<I"}
_HEADER = struct.Struct("<BBHI")
"""Compatibility, version, reserved, root."""
_BLOCK_ALIGNMENT = 8
_BLOCK_SIZE = (1 << 30) - 1


class Writer:
    """The ADB block. Values are words, and what they refer to stands before them, equal things once."""

    def __init__(self):
        self.octets = bytearray(_HEADER.size)
        self._offsets = {}

    def int(self, number):
        """A word of an integer below 2^32."""
        if number <= _VALUE:
            return _INT | number
        return _INT_32 | self._place(struct.pack("<I", number), 4)

    def blob(self, octets, shared=True):
        """A word of octets; those that are not shared may be changed in place later."""
        if not octets:
            return _NULL
        kind = next(kind for kind, limit in ((_BLOB_8, 8), (_BLOB_16, 16), (_BLOB_32, 32)) if len(octets) >> limit == 0)
        length = struct.pack(_BLOB_LENGTHS[kind], len(octets))
        return kind | self._place(length + octets, len(length), shared)

    def object(self, schema, values):
        """A word of an object with these words of its members, by name."""
        return self.array([values.get(name, _NULL) for name in schema])

    def array(self, values):
        """A word of an array of these words. It has the type of objects, as in all that apk writes."""
        while values and values[-1] == _NULL:
            values = values[:-1]
        if not values:
            return _NULL
        return _OBJECT | self._place(struct.pack(f"<{len(values) + 1}I", len(values) + 1, *values), 4)

    def finish(self, root):
        """The block's octets."""
        _HEADER.pack_into(self.octets, 0, 0, 0, 0, root)
        return bytes(self.octets)

    def _place(self, octets, alignment, shared=True):
        offset = self._offsets.get(octets)
        if shared and offset is not None and offset % alignment == 0:
            return offset
        self.octets += bytes(-len(self.octets) % alignment)
        offset = len(self.octets)
        self.octets += octets
        if shared:
            self._offsets[octets] = offset
        return offset


def blob_offset(word):
    """Where the octets of a short blob start in the block."""
    return (word & _VALUE) + 1


def read(block, schema):
    """The tree in an ADB block; absent members are left out."""
    return _read(block, _HEADER.unpack_from(block)[3], schema)


def _read(block, word, schema):
    kind, value = word & ~_VALUE, word & _VALUE
    if word == _NULL:
        return [] if isinstance(schema, list) else {} if isinstance(schema, dict) else b""
    if schema == INT and kind in (_INT, _INT_32):
        return value if kind == _INT else struct.unpack_from("<I", block, value)[0]
    if schema == BLOB and kind in _BLOB_LENGTHS:
        (length,) = struct.unpack_from(_BLOB_LENGTHS[kind], block, value)
        start = value + struct.calcsize(_BLOB_LENGTHS[kind])
        return block[start : start + length]
    if kind not in (_ARRAY, _OBJECT) or schema in (INT, BLOB):
        raise ValueError(f"{word:#x} is no {schema}")
    (count,) = struct.unpack_from("<I", block, value)
    words = struct.unpack_from(f"<{count - 1}I", block, value + 4)
    if isinstance(schema, list):
        return [_read(block, item, schema[0]) for item in words]
    return {name: _read(block, item, schema[name]) for name, item in zip(schema, words) if item != _NULL}


def join(schema, blocks):
    """A file of blocks, each (type, octets); the schema is four octets."""
    out = bytearray(b"ADB." + schema)
    for kind, octets in blocks:
        out += struct.pack("<I", kind << 30 | len(octets) + 4) + octets
        out += bytes(-len(out) % _BLOCK_ALIGNMENT)
    return bytes(out)


def split(file):
    """The schema and the blocks of a file that may be compressed."""
    if file[:4] == b"ADBd":
        file = zlib.decompress(file[4:], -zlib.MAX_WBITS)
    if file[:4] != b"ADB.":
        raise ValueError("no ADB file, or compressed in another way")
    blocks, at = [], 8
    while at < len(file):
        (word,) = struct.unpack_from("<I", file, at)
        blocks.append((word >> 30, file[at + 4 : at + (word & _BLOCK_SIZE)]))
        at += (word & _BLOCK_SIZE) + -(word & _BLOCK_SIZE) % _BLOCK_ALIGNMENT
    return file[4:8], blocks


def compress(file):
    """The same file, deflated."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b"ADBd" + deflate.compress(file) + deflate.flush()
