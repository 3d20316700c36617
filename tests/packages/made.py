"""The packages that the tests look at: made once, of the tree's files and a binary that is none."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
sys.path.insert(0, f"{ROOT}/cross/packages")
import apk  # noqa: E402
import ipk  # noqa: E402

TARGET = "mips_24kc"
PROGRAM = b"#!/bin/sh\n# A program.\n"


def make(tree, *words, **environment):
    """Feeds' files by path, made by the command of a tree with these words."""
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/program", "wb") as file:
            file.write(PROGRAM)
        command = [f"{tree}/cross/package", "-o", f"{folder}/feeds", "-b", f"{folder}/program", *words, TARGET]
        subprocess.run(command, env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL)
        made = {}
        for path, _, names in os.walk(f"{folder}/feeds/{TARGET}"):
            for name in names:
                with open(f"{path}/{name}", "rb") as file:
                    made[os.path.relpath(f"{path}/{name}", f"{folder}/feeds/{TARGET}")] = file.read()
        return made


def copy_of_tree():
    """A copy of what packages are made of, with other times and permissions; it goes with the tests."""
    copy = temporary_folder()
    for folder in ("cross", "openwrt", "uci"):
        shutil.copytree(f"{ROOT}/{folder}", f"{copy}/{folder}", copy_function=shutil.copyfile)
    for command in ("package", "sizes"):
        os.chmod(f"{copy}/cross/{command}", 0o700)
    return copy


def temporary_folder():
    """A folder that goes with the tests."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    return folder


FEEDS = make(ROOT)


def name_of(path):
    """A package's name from its file's."""
    name = os.path.basename(path)
    return name.partition("_")[0] if name.endswith(".ipk") else name.rsplit("-", 2)[0]


IPKS = {name_of(path): ipk.read(octets) for path, octets in FEEDS.items() if path.endswith(".ipk")}
"""Control files and members by package."""

APKS = {name_of(path): apk.read(octets) for path, octets in FEEDS.items() if path.endswith(".apk")}
"""Descriptions and contents by package."""

DAEMONS = ("lispguard", "lispguard-full")


def control_of(package):
    """The fields of an ipk, the description by lines of the text."""
    lines = IPKS[package][0]["control"].decode().split("\n")
    return dict(line.split(": ", 1) for line in lines if ": " in line and line[0] != " ")
