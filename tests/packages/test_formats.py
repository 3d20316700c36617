"""What the real tools made is read, and made again from the same input to the same octets.

Octets are compared before compression, which is another one where zlib is another one.
"""

import gzip
import io
import tarfile
import unittest
import zlib

import made
import adb
import apk
import ipk
from openwrt import File

FIXTURES = f"{made.ROOT}/tests/fixtures/packages"
TIME = 1_700_000_000


def fixture(name):
    with open(f"{FIXTURES}/{name}", "rb") as file:
        return file.read()


def inflated(file):
    return zlib.decompress(file.removeprefix(b"ADBd"), -zlib.MAX_WBITS)


def inputs():
    """The tree and the script that `sample` was made of."""
    tree = {}
    for name, mode, content in ipk.members(fixture("inputs.tar")):
        if name.startswith("f/"):
            tree[name[2:].removesuffix("/")] = File(mode, content)
        else:
            script = content.decode()
    return tree, script


class Apk(unittest.TestCase):
    def sample(self):
        tree, script = inputs()
        info = {"name": "sample", "version": "1.2.3-r1", "arch": "mips_24kc", "description": "a sample package"}
        info |= {"license": "MIT", "depends": ["libc", "kmod-wireguard"], "provides": ["sample-any"]}
        return apk.package(info, tree, {"post-install": script}, TIME)

    def test_a_package_is_the_one_that_apk_makes(self):
        self.assertEqual(self.sample(), fixture("sample-uncompressed.apk"))
        self.assertEqual(self.sample(), inflated(fixture("sample-1.2.3-r1.apk")))

    def test_a_package_without_files_is_the_one_that_apk_makes(self):
        info = {"name": "bare", "version": "0.1-r1", "arch": "noarch"}
        self.assertEqual(apk.package(info, {}, {}, TIME), inflated(fixture("bare-0.1-r1.apk")))

    def test_an_index_is_the_one_that_apk_makes(self):
        packages = [fixture("bare-0.1-r1.apk"), fixture("sample-1.2.3-r1.apk")]
        _, blocks = adb.split(apk.index(packages))
        _, real = adb.split(fixture("packages.adb"))
        self.assertEqual([kind for kind, _ in real], [adb.ADB, adb.SIGNATURE])
        self.assertEqual(blocks, real[:1])

    def test_a_signed_package_has_the_same_blocks_and_a_signature(self):
        schema, blocks = adb.split(fixture("signed.apk"))
        self.assertEqual(adb.join(schema, blocks), inflated(fixture("signed.apk")))
        del blocks[1]
        self.assertEqual(adb.join(schema, blocks), self.sample())

    def test_a_package_is_read(self):
        described, contents = apk.read(fixture("sample-1.2.3-r1.apk"))
        tree, script = inputs()
        self.assertEqual(contents, {path: file.content for path, file in tree.items() if file.content is not None})
        self.assertEqual(described["info"]["depends"], [{"name": b"kmod-wireguard"}, {"name": b"libc"}])
        self.assertEqual(described["info"]["installed-size"], 114)
        self.assertEqual(described["scripts"], {"post-install": script.encode()})
        folders = {folder.get("name", b"").decode(): folder["acl"]["mode"] for folder in described["paths"]}
        self.assertEqual(folders, {path: file.mode for path, file in tree.items() if file.content is None})

    def test_a_changed_file_is_noticed(self):
        changed = fixture("sample-uncompressed.apk").replace(b"echo hi", b"echo ho")
        with self.assertRaises(ValueError):
            apk.read(changed)

    def test_long_texts_and_versions_of_dependencies_survive(self):
        info = {"name": "x", "version": "1-r1", "arch": "noarch", "provides": ["z", "y=1-r1"]}
        scripts = {"post-install": "#!/bin/sh\n" + "a" * 300, "pre-deinstall": "b" * 70_000}
        tree = {"": File(0o755, None), "empty": File(0o644, b""), "big": File(0o644, b"c" * 70_001)}
        described, contents = apk.read(adb.compress(apk.package(info, tree, scripts, TIME)))
        self.assertEqual(described["scripts"], {name: text.encode() for name, text in scripts.items()})
        self.assertEqual(described["info"]["provides"], [{"name": b"y", "version": b"1-r1"}, {"name": b"z"}])
        self.assertEqual(contents, {"big": b"c" * 70_001, "empty": b""})


class Ipk(unittest.TestCase):
    NAME = "lispd-demo_0.1.0-r1_mips_24kc.ipk"

    def test_a_package_is_the_one_that_opkg_installed(self):
        real = fixture(self.NAME)
        control, data = ipk.read(real)
        tree = {name[2:].removesuffix("/"): File(mode, content) for name, mode, content in data}
        modes = {"conffiles": 0o644, "postinst": 0o755, "prerm": 0o755}
        scripts = {name: (mode, control[name].decode()) for name, mode in modes.items()}
        made_again = ipk.package(control["control"].decode(), scripts, tree, TIME)
        outer, real_outer = (tarfile.open(fileobj=io.BytesIO(gzip.decompress(file))) for file in (made_again, real))
        self.assertEqual(outer.getnames(), real_outer.getnames())
        for name in ("./data.tar.gz", "./control.tar.gz"):
            parts = [gzip.decompress(tar.extractfile(name).read()) for tar in (outer, real_outer)]
            self.assertEqual(*parts)
        for one, other in zip(outer, real_outer):
            self.assertEqual((one.mode, one.uid, one.gid, one.mtime), (other.mode, other.uid, other.gid, other.mtime))

    def test_an_index_is_the_real_one(self):
        self.assertEqual(ipk.index({self.NAME: fixture(self.NAME)}), fixture("Packages").decode())


if __name__ == "__main__":
    unittest.main()
