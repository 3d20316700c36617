"""The binaries that go into packages: built for a target, or given on the command line."""

import argparse
import os
import subprocess

NAMES = ("lispguard", "lispguard-full")
"""Packages with a binary."""

_FEATURES = {"lispguard": ["--small"], "lispguard-full": []}
_BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../build")


def parser(description):
    """A command line with binaries in it."""
    made = argparse.ArgumentParser(description=description)
    what = "a binary to be used instead of building it, for one package or all"
    made.add_argument("-b", "--binary", metavar="[PACKAGE=]FILE", action="append", default=[], help=what)
    return made


def find(target, given):
    """Paths by package: those given as FILE (for all) or PACKAGE=FILE, else what cross/build makes."""
    found = {}
    for one in given:
        package, equals, path = one.rpartition("=")
        if equals and package not in NAMES:
            raise SystemExit(f"no package '{package}' has a binary, only {' and '.join(NAMES)}")
        found |= dict.fromkeys([package] if equals else NAMES, path)
    for name in NAMES:
        if name not in found:
            found[name] = _build(_FEATURES[name], target)
    return found


def _build(features, target):
    told = subprocess.run([_BUILD, *features, target], stdout=subprocess.PIPE, text=True)
    if told.returncode:
        raise SystemExit(told.returncode)
    path, _, _ = told.stdout.splitlines()[-1].removeprefix(f"{target}: ").rsplit(" ", 2)
    return path
