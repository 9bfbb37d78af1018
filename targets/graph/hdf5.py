"""A bounded reader of HDF5 files in the layout that `nir.write` and h5py write by default.

It reads plain bytes: nothing in a file is executed, no other file is opened, and work and memory
are bounded by the size of the file. libhdf5 promises none of that for a hostile file, and takes about
0.1 ms to open a data set, seconds for a graph of thousands of nodes.

Covered: superblock 0 and 1, object headers 1, symbol-table groups, compact, contiguous and chunked
data (deflate, shuffle, fletcher32), integers, floats, booleans and strings. Newer layouts raise
`NewerLayoutError` (see `repack`), everything else GraphError.
Source: HDF5 File Format Specification 3.0, The HDF Group.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from targets.errors import GraphError
from targets.graph.hdf5_data import Stored, decoded_chunk, filters, stored_type

_UNDEFINED = 2**64 - 1
_HEADER = struct.Struct("<BxHxxxxI")
_GROUP = struct.Struct("<BxHxxxxI4xH6xQQ")
_MESSAGE = struct.Struct("<HHBxxx")
_NODE = struct.Struct("<BBH")
_LOCAL_HEAP = struct.Struct("<4s4xQ8xQ")
_PAIR = struct.Struct("<QQ")
_REFERENCE = struct.Struct("<IQI")
_ENTRY = struct.Struct("<QQIxxxx16x")
_OBJECT = struct.Struct("<HHxxxxQ")
_SPACE, _LINK_INFO, _TYPE, _LINK, _EXTERNAL, _LAYOUT = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08
_FILTERS, _CONTINUATION, _SYMBOLS = 0x0B, 0x10, 0x11
_SHARED = 2
# Deflate gains at most 1032:1, so a larger declared size cannot be in the file.
_DEFLATE_LIMIT = 1032
# What packed data of a file may take in all: at least so many bytes, and so many for each of its own.
_UNPACKED, _UNPACKED_A_BYTE = 2**28, 64


class NewerLayoutError(GraphError):
    """The file is written in a layout of HDF5 1.8 or later that this reader does not cover."""


# Where the header of an object stands, and whether it is known to be a group.
Link = tuple[int, bool]
Group = Mapping[str, Link]


class Storage:
    """The objects of one HDF5 file.

    Args:
        data: the bytes of the file.
        quoted: names are percent-encoded, as `repack` writes them.

    Raises:
        GraphError: no HDF5 file, or cut short.
    """

    def __init__(self, data: Any, quoted: bool = False) -> None:
        self.data = data
        self.quoted = quoted
        self.size = len(data)
        # Every byte is needed once or twice; what asks for more reads something over and over.
        self._left = 3 * self.size
        self._expanded = max(_UNPACKED, _UNPACKED_A_BYTE * self.size)
        self._headers: dict[int, dict[bytes, tuple[tuple[int, ...], Stored, int]]] = {}
        self._heaps: dict[int, dict[int, tuple[int, int]]] = {}
        # Nodes of one kind have equal name tables: `{table: {offset: name}}`.
        self._known: dict[bytes, dict[int, str]] = {}
        if bytes(data[:8]) != b"\x89HDF\r\n\x1a\n":
            raise GraphError("no HDF5 signature; is it a NIR file?")
        if data[8] in (2, 3):
            raise NewerLayoutError(f"superblock version {data[8]}")
        if data[8] > 3:
            raise GraphError(f"superblock version {data[8]}, allowed 0 to 3")
        if data[13:15] != b"\x08\x08":
            raise GraphError(f"offsets of {data[13]} and lengths of {data[14]} bytes, allowed 8 and 8")
        at = 24 if data[8] == 0 else 28
        base, _, end = struct.unpack_from("<QQQ", data, at)
        if base != 0 or end > self.size:
            raise GraphError(f"truncated: {end} bytes declared, {self.size} found")
        self.root: Link = (struct.unpack_from("<Q", data, at + 40)[0], True)

    def group(self, link: Link) -> dict[str, Link] | None:
        """`{name: link}` of a group, names in file order; None for a data set.

        Raises:
            GraphError: damaged, or a soft or external link, which is never followed.
        """
        # The copy of the table's address in the parent group may be stale, so the header decides. It is
        # nearly always one message.
        version, count, _, kind, btree, heap = _GROUP.unpack_from(self.data, link[0])
        if (version, count, kind) == (1, 1, _SYMBOLS):
            return self._table(btree, heap)
        links: list[int] = []
        messages = self._messages(link[0], links)
        if _SYMBOLS in messages:
            return self._table(*_PAIR.unpack_from(self.data, messages[_SYMBOLS][0]))
        if _LINK_INFO not in messages:
            return None
        self._refuse_dense(messages[_LINK_INFO][0])
        return dict(self._link(at) for at in links)

    def _table(self, btree: int, heap: int) -> dict[str, Link]:
        names = self._names(heap)
        known = self._known.setdefault(names, {})
        found: dict[str, Link] = {}
        for leaf in self._leaves(btree, 0, 8):
            self._symbols(leaf, names, known, found)
        return found

    def _refuse_dense(self, at: int) -> None:
        flags = self.data[at + 1]
        if struct.unpack_from("<Q", self.data, at + 2 + 8 * (flags & 1))[0] != _UNDEFINED:
            raise NewerLayoutError("a group of many links in the newer layout")

    def _link(self, at: int) -> tuple[str, Link]:
        """Name and place of a link message."""
        version, flags = self.data[at], self.data[at + 1]
        kind = self.data[at + 2] if flags & 8 else 0
        start = at + 2 + (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
        width = 1 << (flags & 3)
        length = int.from_bytes(self._bytes(start, width), "little")
        name = self._bytes(start + width, length).decode("utf8")
        if version != 1 or kind:
            raise GraphError(f"{name!r} is a soft or external link, allowed objects of the file itself")
        return name, (struct.unpack_from("<Q", self.data, start + width + length)[0], False)

    def value(self, link: Link) -> Any:
        """The value of a data set: an array (a copy), a scalar, str, or a list of str.

        Raises:
            GraphError: damaged, larger than the file can hold, stored elsewhere, or of a type that
                NIR does not use.
        """
        header, group = link
        if group:
            raise GraphError("is a group, allowed a data set")
        data = self.data
        # Most headers of a file begin alike, up to where the data lie; parsing them is half the time.
        for length, seen in self._headers.items():
            known = seen.get(data[header : header + length])
            if known is not None:
                shape, stored, wanted = known
                place, size = _PAIR.unpack_from(data, header + length)
                return self._decoded(self._place(place, size, wanted, shape), shape, stored)
        messages = self._messages(link[0])
        if _EXTERNAL in messages:
            raise GraphError("its data lie in another file, allowed data in the file itself")
        if not messages.keys() >= {_SPACE, _TYPE, _LAYOUT}:
            raise GraphError("is no data set")
        shape = self._shape(messages[_SPACE][0])
        stored = stored_type(self._bytes(*messages[_TYPE]))
        self._remember(link[0], messages, shape, stored)
        return self._decoded(self._raw(messages, shape, stored), shape, stored)

    def value_bytes(self, link: Link) -> int:
        """Bytes of the value of a data set, unpacked; of texts, those of their references."""
        messages = self._messages(link[0])
        if not messages.keys() >= {_SPACE, _TYPE}:
            raise GraphError("is no data set")
        return math.prod(self._shape(messages[_SPACE][0])) * stored_type(self._bytes(*messages[_TYPE])).size

    def _decoded(self, raw: Any, shape: tuple[int, ...], stored: Stored) -> Any:
        if stored.dtype is None:
            return self._strings(raw, shape)
        if stored.plain:
            array: NDArray[Any] = np.ndarray(shape, stored.dtype, bytearray(raw))
            return array if shape else array[()]
        array = np.frombuffer(raw, stored.dtype).reshape(shape)
        if stored.boolean:
            array = array != 0
        if stored.dtype.kind == "S":
            texts = [item.decode("utf8") for item in array.ravel().tolist()]
            return texts if shape else texts[0]
        array = array.astype(array.dtype.newbyteorder("="))
        return array if shape else array[()]

    def _remember(
        self, header: int, messages: Mapping[int, tuple[int, int]], shape: tuple[int, ...], stored: Stored
    ) -> None:
        place = messages[_LAYOUT][0] - header
        own = all(header < messages[kind][0] < header + place for kind in (_SPACE, _TYPE))
        if own and place < 512 and self.data[header + place : header + place + 2] == b"\x03\x01":
            begin = bytes(self.data[header : header + place + 2])
            wanted = math.prod(shape) * stored.size
            self._headers.setdefault(place + 2, {})[begin] = (shape, stored, wanted)

    def _bytes(self, at: int, length: int) -> bytes:
        """`length` bytes at `at`, counted."""
        self._spend(length)
        if at + length > self.size:
            raise GraphError(f"truncated: needs byte {at + length} of {self.size}")
        return bytes(self.data[at : at + length])

    def _spend(self, length: int) -> None:
        self._left -= length + 8
        if self._left < 0:
            raise GraphError("its structures overlap; it is damaged or hostile")

    def _messages(self, header: int, links: list[int] | None = None) -> dict[int, tuple[int, int]]:
        """`{message type: (position, length)}` of an object header; `links` gets those of all links."""
        data = self.data
        version, count, length = _HEADER.unpack_from(data, header)
        if version != 1:
            if bytes(data[header : header + 4]) == b"OHDR":
                raise NewerLayoutError("object headers of version 2")
            raise GraphError(f"object header version {version}, allowed 1")
        blocks = [(header + 16, length)]
        found: dict[int, tuple[int, int]] = {}
        for at, length in blocks:
            self._spend(length)
            end = at + length
            while at + 8 <= end and count:
                count -= 1
                kind, size, flags = _MESSAGE.unpack_from(data, at)
                at += 8
                if kind == _CONTINUATION:
                    blocks.append(_PAIR.unpack_from(data, at))
                elif kind:
                    found[kind] = (at, size)
                    if kind == _LINK and links is not None:
                        links.append(at)
                    if flags & _SHARED and kind in (_SPACE, _TYPE, _LAYOUT, _FILTERS):
                        raise GraphError("a type shared between data sets is not supported")
                at += size
        return found

    def _names(self, heap: int) -> bytes:
        sign, size, at = _LOCAL_HEAP.unpack_from(self.data, heap)
        if sign != b"HEAP":
            raise GraphError("a group has no local heap")
        return self._bytes(at, size)

    def _leaves(self, root: int, kind: int, key: int) -> list[int]:
        """Addresses below the lowest nodes of a version 1 B-tree; 0 followed by key for chunks."""
        found: list[int] = []
        pending = [(root, -1)]
        while pending:
            at, above = pending.pop()
            self._spend(24)
            if self.data[at : at + 4] != b"TREE":
                raise GraphError("a B-tree node is missing")
            found_kind, level, entries = _NODE.unpack_from(self.data, at + 4)
            if found_kind != kind or (above >= 0 and level != above - 1):
                raise GraphError("a B-tree node is damaged")
            self._spend(entries * (key + 8))
            if level == 0 and kind == 1:
                found.extend(range(at + 24, at + 24 + entries * (key + 8), key + 8))
                continue
            words = key // 8 + 1
            numbers = struct.unpack_from(f"<{entries * words}Q", self.data, at + 24)
            children = numbers[words - 1 :: words]
            if level == 0:
                found.extend(children)
            else:
                pending.extend((child, level) for child in reversed(children))
        return found

    def _symbols(self, at: int, names: bytes, known: dict[int, str], found: dict[str, Link]) -> None:
        if self.data[at : at + 4] != b"SNOD":
            raise GraphError("a symbol node is missing")
        count = struct.unpack_from("<H", self.data, at + 6)[0]
        entries = self._bytes(at + 8, 40 * count)
        for name_at, header, cached in _ENTRY.iter_unpack(entries):
            name = known.get(name_at)
            if name is None:
                name = names[name_at : names.index(b"\0", name_at)].decode("utf8")
                name = known[name_at] = unquote(name) if self.quoted else name
            if cached == 2 or header == _UNDEFINED:
                raise GraphError(f"{name!r} is a soft or external link, allowed objects of the file itself")
            if name in found:
                raise GraphError(f"{name!r} stands twice in its group")
            found[name] = (header, cached == 1)

    def _shape(self, at: int) -> tuple[int, ...]:
        version, rank, _, space = struct.unpack_from("<BBBB", self.data, at)
        if version not in (1, 2) or rank > 32:
            raise GraphError(f"dataspace version {version} of rank {rank}, allowed 1 or 2 and up to 32")
        if version == 2 and space == 2:
            raise GraphError("is empty (a null dataspace)")
        return struct.unpack_from(f"<{rank}Q", self.data, at + (8 if version == 1 else 4))

    def _raw(self, messages: Mapping[int, tuple[int, int]], shape: tuple[int, ...], stored: Stored) -> Any:
        """The bytes of a whole data set, from any layout."""
        at, _ = messages[_LAYOUT]
        version, layout = self.data[at], self.data[at + 1]
        wanted = math.prod(shape) * stored.size
        if version == 4 and layout != 3:
            raise NewerLayoutError("data layout of version 4")
        if version != 3 or layout > 2:
            raise GraphError(f"data layout {layout} of version {version} (virtual?), allowed plain data")
        if layout == 2:
            pipeline = filters(self._bytes(*messages[_FILTERS])) if _FILTERS in messages else ()
            return self._chunks(at, shape, stored, pipeline)
        if layout == 0:
            place, length = at + 4, struct.unpack_from("<H", self.data, at + 2)[0]
        else:
            place, length = _PAIR.unpack_from(self.data, at + 2)
        return self._place(place, length, wanted, shape)

    def _place(self, place: int, length: int, wanted: int, shape: tuple[int, ...]) -> bytes:
        if not wanted:
            return b""
        if wanted > self.size or place == _UNDEFINED:
            raise GraphError(f"shape {shape} needs {wanted} bytes, which the file does not hold")
        if wanted > length or place + wanted > self.size:
            raise GraphError(f"shape {shape} needs {wanted} bytes, found {min(length, self.size)}")
        self._left -= wanted
        if self._left < 0:
            raise GraphError("its data overlap; it is damaged or hostile")
        found: bytes = self.data[place : place + wanted]
        return found

    def _chunks(
        self, at: int, shape: tuple[int, ...], stored: Stored, pipeline: tuple[tuple[int, int], ...]
    ) -> NDArray[Any]:
        rank, root = struct.unpack_from("<BQ", self.data, at + 2)
        chunk = struct.unpack_from(f"<{rank}I", self.data, at + 11)[:-1]
        if len(chunk) != len(shape) or not all(chunk):
            raise GraphError(f"chunks of shape {chunk} for data of shape {shape}")
        wanted, size = math.prod(shape) * stored.size, math.prod(chunk) * stored.size
        key = 8 + 8 * rank
        leaves = self._leaves(root, 1, key) if root != _UNDEFINED and wanted else []
        sizes = [struct.unpack_from("<I", self.data, leaf)[0] for leaf in leaves]
        self._expanded -= wanted + size
        if max(wanted, size) > _DEFLATE_LIMIT * sum(sizes) + 64:
            raise GraphError(f"shape {shape} needs {wanted} bytes, which the file does not hold")
        if self._expanded < 0:
            raise GraphError(f"shape {shape}: the packed data of the file grow beyond all bounds")
        whole = np.zeros(shape, np.dtype((np.void, stored.size)))
        filled = 0
        for leaf, length in zip(leaves, sizes, strict=True):
            corner = struct.unpack_from(f"<{rank - 1}Q", self.data, leaf + 8)
            packed = self._bytes(struct.unpack_from("<Q", self.data, leaf + key)[0], length)
            mask = struct.unpack_from("<I", self.data, leaf + 4)[0]
            block = decoded_chunk(packed, pipeline, mask, size, stored.size)
            part = np.frombuffer(block, whole.dtype).reshape(chunk)
            inside = tuple(slice(c, min(c + n, s)) for c, n, s in zip(corner, chunk, shape, strict=True))
            part = part[tuple(slice(0, max(s.stop - s.start, 0)) for s in inside)]
            whole[inside] = part
            filled += part.size
        if filled != whole.size:
            raise GraphError(f"{filled} of {whole.size} values were written; is it truncated?")
        return whole.reshape(-1).view(np.uint8)

    def _strings(self, raw: Any, shape: tuple[int, ...]) -> Any:
        texts = []
        for length, heap, index in _REFERENCE.iter_unpack(raw):
            if length == 0:
                texts.append("")
                continue
            objects = self._heaps.get(heap) or self._heap(heap)
            at, size = objects.get(index, (0, 0))
            if length > size:
                raise GraphError("a string is missing")
            texts.append(self._bytes(at, length).decode("utf8"))
        return texts if shape else texts[0]

    def _heap(self, at: int) -> dict[int, tuple[int, int]]:
        """`{index: (position, length)}` of a global heap collection, read once."""
        if self.data[at : at + 4] != b"GCOL":
            raise GraphError("a string heap is missing")
        length = struct.unpack_from("<Q", self.data, at + 8)[0]
        self._spend(length)
        found = self._heaps[at] = {}
        place, end = at + 16, at + length
        while place + 16 <= end:
            index, _, size = _OBJECT.unpack_from(self.data, place)
            if index == 0:
                break
            found[index] = (place + 16, size)
            place += 16 + (size + 7) // 8 * 8
        return found
