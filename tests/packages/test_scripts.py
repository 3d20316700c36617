"""The packages' scripts: as busybox's shell reads them, and run for an image in another root."""

import os
import subprocess
import unittest

import made
from made import APKS, FEEDS, IPKS

HERE = os.path.dirname(os.path.abspath(__file__))


def scripts_of(package):
    """Each script of a package's two forms, and those it installs, by name."""
    control, members = IPKS[package]
    yield from ((f"ipk {name}", text) for name, text in control.items() if name not in ("control", "conffiles"))
    yield from ((f"apk {name}", text) for name, text in APKS[package][0]["scripts"].items())
    for name, _, content in members:
        is_sourced = any(part in name for part in ("/hotplug.d/", "/uci-defaults/"))
        if content is not None and content != made.PROGRAM and (content.startswith(b"#!/bin/sh") or is_sourced):
            yield name, content


def run(root, script, *arguments, shell=("busybox", "ash")):
    path = os.path.join(root, "script") if isinstance(script, bytes) else script
    if isinstance(script, bytes):
        with open(path, "wb") as file:
            file.write(script)
    environment = {"PATH": os.environ["PATH"], "IPKG_INSTROOT": root}
    done = subprocess.run([*shell, path, *arguments], env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def image():
    """The root of an image without the package."""
    root = made.temporary_folder()
    for folder in ("etc", "lib"):
        os.mkdir(f"{root}/{folder}")
    for file in ("etc/passwd", "etc/group", "calls"):
        open(f"{root}/{file}", "w").close()
    with open(f"{HERE}/functions.sh") as file, open(f"{root}/lib/functions.sh", "w") as copy:
        copy.write(file.read())
    return root


def read(path):
    with open(path) as file:
        return file.read()


class Scripts(unittest.TestCase):
    def test_busybox_takes_every_one(self):
        for package in IPKS:
            for name, text in scripts_of(package):
                with self.subTest(package=package, name=name):
                    done = subprocess.run(["busybox", "ash", "-n"], input=text, capture_output=True)
                    self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_those_of_a_package_start_with_the_shell(self):
        for package in IPKS:
            for name, text in scripts_of(package):
                if name[0] != ".":
                    self.assertTrue(text.startswith(b"#!/bin/sh\n"), f"{package} {name}")
                    self.assertEqual(text.count(b"#!"), 1, f"{package} {name}")

    def assert_installed(self, root):
        self.assertEqual(read(f"{root}/calls"), "enable /etc/init.d/lispguard\n")
        self.assertEqual(read(f"{root}/etc/passwd"), "lispguard:x:4342:4342:lispguard:/var/run/lispguard:/bin/false\n")
        self.assertEqual(read(f"{root}/etc/group"), "lispguard:x:4342:lispguard\n")
        self.assertTrue(os.access(f"{root}/etc/init.d/lispguard", os.X_OK))
        # First configuration is for the router itself, at its first start.
        self.assertTrue(os.path.exists(f"{root}/etc/uci-defaults/60-lispguard"))

    def test_opkg_puts_one_into_an_image_and_out_again(self):
        for package in made.DAEMONS:
            root = image()
            info = f"{root}/usr/lib/opkg/info"
            os.makedirs(info)
            file = next(path for path in FEEDS if path.startswith(f"ipk/{package}_"))
            with open(f"{root}/package", "wb") as copy:
                copy.write(FEEDS[file])
            # Unpacked by another program than the one that reads it in the other tests.
            commands = """set -e; tar -xzf package; mkdir control; tar -xzf control.tar.gz -C control
                tar -xzf data.tar.gz; tar -tzf data.tar.gz"""
            unpacked = subprocess.check_output(["busybox", "sh", "-c", commands], cwd=root, text=True)
            with open(f"{info}/{package}.list", "w") as listed:
                listed.writelines(f"{line.removeprefix('.')}\n" for line in unpacked.split() if line[-1] != "/")
            for name in os.listdir(f"{root}/control"):
                os.rename(f"{root}/control/{name}", f"{info}/{package}.{name}")
            self.assertEqual(run(root, f"{info}/{package}.postinst", "configure"), (0, ""))
            self.assert_installed(root)
            self.assertEqual(run(root, f"{info}/{package}.prerm", "remove"), (0, ""))
            self.assertIn("disable /etc/init.d/lispguard\n", read(f"{root}/calls"))

    def test_apk_puts_one_into_an_image_and_out_again(self):
        for package in made.DAEMONS:
            root = image()
            described, contents = APKS[package]
            for folder in described["paths"]:
                name = folder.get("name", b"").decode()
                os.makedirs(f"{root}/{name}", exist_ok=True)
                for file in folder.get("files", []):
                    path = os.path.join(name, file["name"].decode())
                    with open(f"{root}/{path}", "wb") as installed:
                        installed.write(contents[path])
                    os.chmod(f"{root}/{path}", file["acl"]["mode"])
            self.assertEqual(run(root, described["scripts"]["post-install"]), (0, ""))
            self.assert_installed(root)
            self.assertEqual(run(root, described["scripts"]["post-upgrade"])[0], 0)
            self.assertEqual(run(root, described["scripts"]["pre-deinstall"]), (0, ""))
            self.assertIn("disable /etc/init.d/lispguard\n", read(f"{root}/calls"))

    def test_without_openwrts_functions_nothing_happens(self):
        for package in IPKS:
            for name, text in scripts_of(package):
                if name.split()[0] in ("ipk", "apk") and name not in ("ipk postinst-pkg", "ipk prerm-pkg"):
                    root = made.temporary_folder()
                    self.assertEqual(run(root, text), (0, ""), f"{package} {name}")
                    self.assertEqual(os.listdir(root), ["script"])


if __name__ == "__main__":
    unittest.main()
