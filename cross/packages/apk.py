"""Packages and indexes of apk version 3, as `apk mkpkg` and `apk mkndx` write them."""

import hashlib
import posixpath
import struct

import adb
from adb import BLOB, INT

PACKAGE_SCHEMA, INDEX_SCHEMA = b"pckg", b"indx"

DEPENDENCY = {"name": BLOB, "version": BLOB, "match": INT}
INFO = {
    "name": BLOB,
    "version": BLOB,
    "hashes": BLOB,
    "description": BLOB,
    "arch": BLOB,
    "license": BLOB,
    "origin": BLOB,
    "maintainer": BLOB,
    "url": BLOB,
    "repo-commit": BLOB,
    "build-time": INT,
    "installed-size": INT,
    "file-size": INT,
    "provider-priority": INT,
    "depends": [DEPENDENCY],
    "provides": [DEPENDENCY],
    "replaces": [DEPENDENCY],
    "install-if": [DEPENDENCY],
    "recommends": [DEPENDENCY],
    "layer": INT,
    "tags": [BLOB],
}
ACL = {"mode": INT, "user": BLOB, "group": BLOB, "xattrs": [BLOB]}
FILE = {"name": BLOB, "acl": ACL, "size": INT, "mtime": INT, "hash": BLOB, "target": BLOB}
FOLDER = {"name": BLOB, "acl": ACL, "files": [FILE]}
SCRIPTS = dict.fromkeys(
    ("trigger", "pre-install", "post-install", "pre-deinstall", "post-deinstall", "pre-upgrade", "post-upgrade"), BLOB
)
PACKAGE = {"info": INFO, "paths": [FOLDER], "scripts": SCRIPTS, "triggers": [BLOB], "replaces-priority": INT}
INDEX = {"description": BLOB, "packages": [INFO]}

_ID_LENGTH = 20


def package(info, tree, scripts, time):
    """A package of a tree of `openwrt.File`s; `info` and `scripts` have strings, numbers and lists of strings."""
    writer = adb.Writer()
    words = _write_info(writer, info)
    folders = _folders(tree)
    paths = [_write_folder(writer, path, tree[path].mode, files, time) for path, files in folders]
    size = sum(len(file.content) for file in tree.values() if file.content is not None)
    words["installed-size"] = writer.int(size if size or not tree else 1)
    words["hashes"] = writer.blob(bytes(_ID_LENGTH), shared=False)
    root = {"info": writer.object(INFO, words), "paths": writer.array(paths)}
    words_of_scripts = {name: writer.blob(scripts[name].encode()) for name in SCRIPTS if name in scripts}
    root["scripts"] = writer.object(SCRIPTS, words_of_scripts)
    block = bytearray(writer.finish(writer.object(PACKAGE, root)))
    # The package is known by the digest of its description with nothing in the digest's place.
    at = adb.blob_offset(words["hashes"])
    block[at : at + _ID_LENGTH] = hashlib.sha256(block).digest()[:_ID_LENGTH]
    blocks = [(adb.ADB, bytes(block))]
    for folder_number, (_, files) in enumerate(folders, 1):
        for file_number, (_, file) in enumerate(files, 1):
            if file.content:
                blocks.append((adb.DATA, struct.pack("<II", folder_number, file_number) + file.content))
    return adb.join(PACKAGE_SCHEMA, blocks)


def index(files):
    """The index of these packages' octets."""
    writer = adb.Writer()
    packages = []
    for file in files:
        _, blocks = adb.split(file)
        info = adb.read(blocks[0][1], PACKAGE)["info"]
        words = _write_info(writer, info)
        words["file-size"] = writer.int(len(file))
        words["hashes"] = writer.blob(hashlib.sha256(blocks[0][1]).digest())
        packages.append((info["name"], info["version"], writer.object(INFO, words)))
    words = {"packages": writer.array([word for _, _, word in sorted(packages)])}
    return adb.join(INDEX_SCHEMA, [(adb.ADB, writer.finish(writer.object(INDEX, words)))])


def read(file):
    """What a package says of itself, and its files' octets by path."""
    schema, blocks = adb.split(file)
    if schema != PACKAGE_SCHEMA:
        raise ValueError("no package")
    described = adb.read(blocks[0][1], PACKAGE)
    contents = {}
    for folder in described["paths"] if "paths" in described else []:
        for one in folder.get("files", []):
            contents[posixpath.join(folder.get("name", b""), one["name"]).decode()] = b""
    for kind, octets in blocks[1:]:
        if kind == adb.DATA:
            folder_number, file_number = struct.unpack_from("<II", octets)
            folder = described["paths"][folder_number - 1]
            one = folder["files"][file_number - 1]
            if hashlib.sha256(octets[8:]).digest() != one["hash"] or len(octets) - 8 != one["size"]:
                raise ValueError(f"{one['name']} is not what the package says")
            contents[posixpath.join(folder.get("name", b""), one["name"]).decode()] = octets[8:]
    return described, contents


def _write_info(writer, info):
    words = {}
    for name, schema in INFO.items():
        value = info.get(name)
        if value in (None, "", []):
            continue
        if schema == INT:
            words[name] = writer.int(value)
        elif schema == BLOB:
            words[name] = writer.blob(value if isinstance(value, bytes) else value.encode())
        elif schema == [DEPENDENCY]:
            words[name] = _write_dependencies(writer, value)
        else:
            words[name] = writer.array([writer.blob(item) for item in value])
    return words


def _write_dependencies(writer, dependencies):
    written = {}
    for dependency in dependencies:
        if isinstance(dependency, str):
            dependency = _parse_dependency(dependency)
        write = {INT: writer.int, BLOB: writer.blob}
        words = {name: write[DEPENDENCY[name]](value) for name, value in dependency.items()}
        written[dependency["name"]] = writer.object(DEPENDENCY, words)
    return writer.array([written[name] for name in sorted(written)])


def _parse_dependency(text):
    name, equals, version = text.partition("=")
    if not name or any(character in text for character in "<>~!@ "):
        raise ValueError(f"dependency {text!r}: only NAME and NAME=VERSION are known here")
    return {"name": name.encode(), **({"version": version.encode()} if equals else {})}


def _folders(tree):
    """Each folder's path and its files' names and contents, sorted as apk does."""
    folders = {path: [] for path in sorted(tree, key=str.encode) if tree[path].content is None}
    for path in sorted(tree, key=str.encode):
        if tree[path].content is not None:
            folders[posixpath.dirname(path)].append((posixpath.basename(path), tree[path]))
    return list(folders.items())


def _write_folder(writer, path, mode, files, time):
    words_of_files = []
    for name, file in files:
        words = {"name": writer.blob(name.encode()), "hash": writer.blob(hashlib.sha256(file.content).digest())}
        words |= {"mtime": writer.int(time), "size": writer.int(len(file.content))}
        words["acl"] = _write_acl(writer, file.mode)
        words_of_files.append(writer.object(FILE, words))
    words = {"name": writer.blob(path.encode()), "acl": _write_acl(writer, mode)}
    words["files"] = writer.array(words_of_files)
    return writer.object(FOLDER, words)


def _write_acl(writer, mode):
    root = writer.blob(b"root")
    return writer.object(ACL, {"mode": writer.int(mode), "user": root, "group": root})
