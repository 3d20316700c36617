"""Packages and indexes of opkg: tar archives in tar archives, and text."""

import gzip
import hashlib
import io
import re
import struct
import tarfile
import zlib

NOT_INDEXED = re.compile(r"(Maintainer|LicenseFiles|Source|SourceName|Require-User|SourceDateEpoch):")
"""Fields of a package that a feed's index leaves out."""


def package(control, scripts, tree, time):
    """A package of a tree of `openwrt.File`s; `control` is text with an Installed-Size to be filled in."""
    data = archive(tree, time)
    control = re.sub(r"(?m)^Installed-Size: .*$", f"Installed-Size: {len(data)}", control)
    members = [("control", 0o644, control)] + [(name, mode, text) for name, (mode, text) in scripts.items()]
    folder = [("./", 0o755, None)] + [(f"./{name}", mode, text.encode()) for name, mode, text in sorted(members)]
    outer = {"debian-binary": b"2.0\n", "data.tar.gz": zip_up(data), "control.tar.gz": zip_up(_tar(folder, time))}
    return zip_up(_tar([(f"./{name}", 0o644, content) for name, content in outer.items()], time))


def archive(tree, time):
    """A tar archive of a tree, each folder before what is in it."""
    paths = sorted(tree, key=lambda path: path.encode().split(b"/") if path else [])
    members = []
    for path in paths:
        file = tree[path]
        name = f"./{path}/" if file.content is None and path else f"./{path}"
        members.append((name, file.mode, file.content))
    return _tar(members, time)


def zip_up(octets):
    """gzip without a name or time."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    header = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"
    return header + deflate.compress(octets) + deflate.flush() + struct.pack("<II", zlib.crc32(octets), len(octets))


def index(files):
    """The text of `Packages` for these packages, octets by file name."""
    entries = []
    for name in sorted(files):
        told = f"Filename: {name}\nSize: {len(files[name])}\nSHA256sum: {hashlib.sha256(files[name]).hexdigest()}\n"
        lines = [line for line in read(files[name])[0]["control"].decode().splitlines() if not NOT_INDEXED.match(line)]
        entries.append("\n".join(lines).replace("Description:", told + "Description:", 1) + "\n\n")
    return "".join(entries)


def read(file):
    """The control files' octets by name, and the data's members, each (name, mode, octets or None)."""
    outer = {name: content for name, _, content in members(gzip.decompress(file))}
    if list(outer) != ["./debian-binary", "./data.tar.gz", "./control.tar.gz"] or outer["./debian-binary"] != b"2.0\n":
        raise ValueError("no package of opkg's")
    control = members(gzip.decompress(outer["./control.tar.gz"]))
    contents = {name.removeprefix("./"): content for name, _, content in control if content is not None}
    return contents, members(gzip.decompress(outer["./data.tar.gz"]))


def members(octets):
    """The members of a tar archive of files and folders, whose names end in a slash."""
    with tarfile.open(fileobj=io.BytesIO(octets)) as tar:
        return [
            (f"{one.name.removesuffix('/')}/", one.mode, None)
            if one.isdir()
            else (one.name, one.mode, tar.extractfile(one).read())
            for one in tar
        ]


def _tar(members, time):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, mode, content in members:
            header = tarfile.TarInfo(name)
            header.mode, header.mtime = mode, time
            if content is None:
                header.type = tarfile.DIRTYPE
            else:
                header.size = len(content)
            tar.addfile(header, None if content is None else io.BytesIO(content))
    return out.getvalue()
