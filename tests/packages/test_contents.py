"""What is in the packages: files and their modes, conffiles, fields and dependencies; and that it never varies."""

import gzip
import hashlib
import json
import os
import re
import subprocess
import tempfile
import tomllib
import unittest

import made
import adb
import apk
import ipk
import openwrt
from made import APKS, DAEMONS, FEEDS, IPKS, ROOT, control_of

PATHS = {
    "usr/sbin/lispguard": 0o755,
    "etc/init.d/lispguard": 0o755,
    "etc/config/lispguard": 0o600,
    "lib/netifd/proto/lispguard.sh": 0o755,
    "lib/upgrade/keep.d/lispguard": 0o644,
    "usr/share/acl.d/lispguard.json": 0o644,
}
"""What OpenWrt looks for in these very places."""

MODES = [
    (r"usr/s?bin/.*|etc/init\.d/.*|etc/uci-defaults/.*|lib/netifd/proto/.*|usr/libexec/rpcd/.*", 0o755),
    (r"etc/config/.*", 0o600),
    (r"(etc/(hotplug\.d|capabilities|seccomp)|usr/share|www/luci-static|lib/(upgrade|apk))/.*", 0o644),
]
"""The mode of each file by its place; other places have no files."""


def files_of_ipk(package):
    return {name[2:]: (mode, content) for name, mode, content in IPKS[package][1] if content is not None}


def files_of_apk(package):
    described, contents = APKS[package]
    modes = {}
    for folder in described["paths"]:
        for file in folder.get("files", []):
            modes[os.path.join(folder.get("name", b"").decode(), file["name"].decode())] = file["acl"]["mode"]
    return {path: (modes[path], content) for path, content in contents.items()}


class Flags(unittest.TestCase):
    """Of the compiler: a feed has those of cross/build, but for what needs a std of its own."""

    TARGETS = {
        "mips": "mips_24kc",
        "mipsel": "mipsel_24kc",
        "arm": "arm_cortex-a9_vfpv3-d16",
        "aarch64": "aarch64_cortex-a53",
        "x86_64": "x86_64",
    }

    def of_feed(self, architecture):
        goal = "--eval=flags: ; $(info $(CARGO_RUSTFLAGS)) @:"
        return openwrt.make(openwrt.MAKEFILES, [goal, "flags"], ARCH=architecture)[0].splitlines()[-1].split()

    def of_cross_build(self, target):
        script = f'. cross/tools.sh; install_packages() {{ :; }}; use_target {target}; make_small static; env'
        command = ["bash", "-euc", f"cross_folder=$PWD/cross; {script}"]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return re.search(r"^CARGO_TARGET_.*_RUSTFLAGS=(.*)$", told, re.MULTILINE)[1].split()

    def test_a_feed_and_cross_build_have_the_same(self):
        for architecture, target in self.TARGETS.items():
            with self.subTest(target):
                feed, ours = self.of_feed(architecture), self.of_cross_build(target)
                self.assertIn("-Cllvm-args=-disable-lsr", feed)
                self.assertEqual(feed, [flag for flag in ours if flag in feed])
                self.assertEqual("-Cllvm-args=-mips-tail-calls" in feed, architecture.startswith("mips"))
                self.assertEqual("-Ctarget-feature=+thumb-mode" in feed, architecture == "arm")

    def test_each_variant_has_its_profile_whatever_a_feed_has_for_others(self):
        goal = "--eval=profile: ; $(info $(CARGO_PKG_PROFILE) $(CARGO_PKG_ARGS)) @:"
        for variant, expected in {"small": "router-small --locked --no-default-features", "full": "router --locked"}.items():
            told = openwrt.make(openwrt.MAKEFILES, [goal, "profile"], BUILD_VARIANT=variant)[0]
            self.assertEqual(expected, told.splitlines()[-1])

    def test_what_a_feed_says_of_the_profile_release_does_not_reach_ours(self):
        # OpenWrt sets these in the environment, and a profile has what it does not say from the one it inherits.
        with open(f"{ROOT}/Cargo.toml", "rb") as file:
            ours = tomllib.load(file)["profile"]["router-small"]
        self.assertEqual({"codegen-units", "lto", "opt-level", "overflow-checks", "panic"} - ours.keys(), set())

    def test_a_feed_has_no_unstable_ones(self):
        for architecture in self.TARGETS:
            unstable = [flag for flag in self.of_feed(architecture) if not flag.startswith("-C")]
            self.assertEqual([], unstable, architecture)


class Files(unittest.TestCase):
    def test_every_file_has_the_mode_of_its_place(self):
        for package in IPKS:
            for path, (mode, _) in (files_of_ipk(package) | files_of_apk(package)).items():
                with self.subTest(package=package, path=path):
                    wanted = [wanted for pattern, wanted in MODES if re.fullmatch(pattern, path)]
                    self.assertEqual([mode], wanted)

    def test_both_daemons_bring_what_openwrt_looks_for(self):
        for package in DAEMONS:
            modes = {path: mode for path, (mode, _) in files_of_ipk(package).items()}
            self.assertEqual(PATHS, {path: modes.get(path) for path in PATHS})
            self.assertEqual(files_of_ipk(package)["usr/sbin/lispguard"][1], made.PROGRAM)

    def test_folders_are_everybodys_to_read_and_complete(self):
        for package, (_, members) in IPKS.items():
            seen = set()
            for name, mode, content in members:
                if name != "./":
                    self.assertIn(os.path.dirname(name.removesuffix("/")) + "/", seen)
                if content is None:
                    self.assertEqual(mode, 0o755, name)
                    seen.add(name)
            names = [folder.get("name", b"").decode() for folder in APKS[package][0]["paths"]]
            self.assertLessEqual({f"./{name}/" for name in names if name}, seen | {"./lib/", "./lib/apk/", "./lib/apk/packages/"})

    def test_both_forms_bring_the_same(self):
        for package in IPKS:
            both = files_of_apk(package)
            lists = {path for path in both if path.startswith("lib/apk/packages/")}
            self.assertEqual(files_of_ipk(package), {path: both[path] for path in both.keys() - lists})

    def test_nothing_in_the_tree_is_forgotten(self):
        installed = [content for package in IPKS for _, content in files_of_ipk(package).values()]
        left = []
        for folder in ("openwrt", "uci"):
            for path, _, names in os.walk(f"{ROOT}/{folder}"):
                for name in names:
                    # What is there for builders, readers and other systems.
                    if name in ("Makefile", "rustflags", "test.sh", "README.md", "lispguard.service") or "/po" in path:
                        continue
                    with open(f"{path}/{name}", "rb") as file:
                        content = file.read()
                    if content not in installed:
                        left.append(os.path.relpath(f"{path}/{name}", ROOT))
        self.assertEqual(left, [])

    def test_configuration_survives(self):
        for package in DAEMONS:
            self.assertEqual(IPKS[package][0]["conffiles"], b"/etc/config/lispguard\n")
            kept = files_of_ipk(package)["lib/upgrade/keep.d/lispguard"][1]
            self.assertEqual(kept, b"/etc/config/lispguard\n/etc/lispguard/\n")

    def test_apk_has_the_lists_that_openwrts_scripts_read(self):
        for package in DAEMONS:
            files = {path: content.decode() for path, (_, content) in files_of_apk(package).items()}
            names = [path for path in files if path.startswith(f"lib/apk/packages/{package}.")]
            lists = {path.rpartition(".")[2]: files[path] for path in names}
            listed = lists["list"].split()
            own = {path for path in files if "/packages/" not in path} | {f"lib/apk/packages/{package}.rusers"}
            self.assertEqual(listed, sorted(f"/{path}" for path in own))
            self.assertEqual(lists["conffiles"], "/etc/config/lispguard\n")
            digest = hashlib.sha256(files["etc/config/lispguard"].encode()).hexdigest()
            self.assertEqual(lists["conffiles_static"], f"/etc/config/lispguard {digest}\n")
            self.assertEqual(lists["rusers"].strip(), control_of(package)["Require-User"])


class Fields(unittest.TestCase):
    def test_version_and_licence_are_those_of_the_program(self):
        with open(f"{ROOT}/Cargo.toml") as file:
            cargo = file.read()
        for package in IPKS:
            fields = control_of(package)
            self.assertIn(f'\nversion = "{fields["Version"].rsplit("-r")[0]}"\n', cargo)
            self.assertIn(f'\nlicense = "{fields["License"]}"\n', cargo)

    def test_the_architecture_is_the_targets_or_all(self):
        for package in IPKS:
            archs = (control_of(package)["Architecture"], APKS[package][0]["info"]["arch"].decode())
            self.assertEqual(archs, ("all", "noarch") if package.startswith("luci-") else (made.TARGET, made.TARGET))

    def test_dependencies_are_said_in_both_forms(self):
        for package in IPKS:
            names = control_of(package)["Depends"].split(", ")
            self.assertEqual(names[0], "libc")
            self.assertEqual(sorted(names), [one["name"].decode() for one in APKS[package][0]["info"]["depends"]])

    def test_the_small_one_needs_the_kernels_wireguard(self):
        self.assertLessEqual({"kmod-wireguard", "kmod-tun"}, set(control_of("lispguard")["Depends"].split(", ")))
        self.assertNotIn("kmod-wireguard", control_of("lispguard-full")["Depends"])

    def test_one_daemon_takes_the_others_place(self):
        fields = control_of("lispguard-full")
        self.assertEqual((fields["Provides"], fields["Conflicts"]), ("lispguard", "lispguard"))
        info = APKS["lispguard-full"][0]["info"]
        self.assertIn({"name": b"lispguard", "version": info["version"]}, info["provides"])
        self.assertEqual(APKS["lispguard"][0]["info"].get("provider-priority"), 100)
        self.assertNotIn("provider-priority", info)

    def test_the_daemon_has_a_user_of_its_own(self):
        for package in DAEMONS:
            self.assertRegex(control_of(package)["Require-User"], r"^lispguard=(\d+):lispguard=\1$")

    def test_sizes_are_right(self):
        for package, (control, members) in IPKS.items():
            sizes = [len(content) for _, _, content in members if content is not None]
            padded = sum(512 + (len(content or b"") + 511) // 512 * 512 for _, _, content in members)
            # opkg is told of the archive, which ends with two empty blocks and is full records.
            records = (padded + 2 * 512 + 10239) // 10240
            self.assertEqual(int(control_of(package)["Installed-Size"]), records * 10240)
            lists = sum(len(content) for path, content in APKS[package][1].items() if path.startswith("lib/apk/"))
            self.assertEqual(APKS[package][0]["info"]["installed-size"], sum(sizes) + lists)


class Indexes(unittest.TestCase):
    def test_opkgs_has_each_package_with_its_size_and_digest(self):
        text = FEEDS["ipk/Packages"].decode()
        self.assertEqual(gzip.decompress(FEEDS["ipk/Packages.gz"]).decode(), text)
        entries = {}
        for entry in text.strip().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in entry.splitlines() if line[0] != " ")
            entries[f"ipk/{fields['Filename']}"] = (int(fields["Size"]), fields["SHA256sum"])
        packages = {path: octets for path, octets in FEEDS.items() if path.endswith(".ipk")}
        self.assertEqual(
            entries, {path: (len(octets), hashlib.sha256(octets).hexdigest()) for path, octets in packages.items()}
        )

    def test_apks_has_each_package_with_its_size_and_digest(self):
        _, blocks = adb.split(FEEDS["apk/packages.adb"])
        for info in adb.read(blocks[0][1], apk.INDEX)["packages"]:
            octets = FEEDS[f"apk/{info['name'].decode()}-{info['version'].decode()}.apk"]
            _, package = adb.split(octets)
            self.assertEqual(info["file-size"], len(octets))
            self.assertEqual(info["hashes"], hashlib.sha256(package[0][1]).digest())
            # The package is known by what it says with nothing in the digest's place.
            digest = APKS[info["name"].decode()][0]["info"]["hashes"]
            blank = package[0][1].replace(digest, bytes(len(digest)))
            self.assertEqual(digest, hashlib.sha256(blank).digest()[:20])
        self.assertEqual(len(adb.read(blocks[0][1], apk.INDEX)["packages"]), len(APKS))


class Reproduction(unittest.TestCase):
    def test_another_copy_time_and_place_make_the_same_octets(self):
        copy = made.copy_of_tree()
        umask = os.umask(0o077)
        try:
            again = made.make(copy, TZ="Pacific/Auckland", LC_ALL="C.UTF-8", MAKEFLAGS="-j2")
        finally:
            os.umask(umask)
        self.assertEqual(again.keys(), FEEDS.keys())
        self.assertEqual([path for path in FEEDS if again[path] != FEEDS[path]], [])


class Luci(unittest.TestCase):
    MAKEFILE = """
include $(TOPDIR)/rules.mk
LUCI_TITLE:=An example
LUCI_DEPENDS:=+luci-base +lispguard
PKG_VERSION:=0.1.0
PKG_RELEASE:=1
PKG_LICENSE:=Apache-2.0
include $(TOPDIR)/feeds/luci/luci.mk
"""

    def test_the_pages_and_the_protocol_have_a_package_each(self):
        wanted = {
            "luci-app-lispguard": {"usr/share/luci/menu.d/luci-app-lispguard.json", "usr/share/rpcd/acl.d/luci-app-lispguard.json",
                                   *(f"www/luci-static/resources/view/lispguard/{page}.js" for page in ("overview", "settings", "peers", "join"))},
            "luci-proto-lispguard": {"www/luci-static/resources/protocol/lispguard.js"},
        }
        self.assertEqual(set(IPKS), {*DAEMONS, *wanted})
        for package, paths in wanted.items():
            self.assertLessEqual(paths, set(files_of_ipk(package)))
            self.assertEqual(control_of(package)["Depends"], "libc, luci-base, lispguard")

    def test_a_folder_is_a_package_for_every_architecture(self):
        copy = made.copy_of_tree()
        folder = f"{copy}/openwrt/luci-app-example"
        for path in ("htdocs/luci-static/resources/view/example.js", "root/usr/share/luci/menu.d/example.json"):
            os.makedirs(os.path.dirname(f"{folder}/{path}"))
            with open(f"{folder}/{path}", "w") as file:
                file.write("{}\n")
        with open(f"{folder}/Makefile", "w") as file:
            file.write(self.MAKEFILE)
        feeds = made.make(copy)
        control, members = ipk.read(feeds["ipk/luci-app-example_0.1.0-r1_all.ipk"])
        self.assertIn(b"\nDepends: libc, luci-base, lispguard\n", control["control"])
        files = [(name, mode) for name, mode, content in members if content is not None]
        paths = ("./usr/share/luci/menu.d/example.json", "./www/luci-static/resources/view/example.js")
        self.assertEqual(files, [(path, 0o644) for path in paths])
        described, _ = apk.read(feeds["apk/luci-app-example-0.1.0-r1.apk"])
        self.assertEqual(described["info"]["arch"], b"noarch")


class Sizes(unittest.TestCase):
    def sizes(self, octets, *arguments):
        with tempfile.NamedTemporaryFile() as file:
            # Incompressible.
            file.write(b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(octets // 32)))
            file.flush()
            command = [f"{ROOT}/cross/sizes", "-b", file.name, *arguments]
            return subprocess.run(command, capture_output=True, text=True)

    def test_they_are_told_by_target_package_and_part(self):
        done = self.sizes(64 * 1024, "--json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        told = json.loads(done.stdout)
        self.assertEqual(list(told), ["mips_24kc", "arm_cortex-a9_vfpv3-d16"])
        for package in DAEMONS:
            sizes = told["mips_24kc"][package]
            self.assertEqual(sizes["binary"], 64 * 1024)
            self.assertTrue(sizes["binary"] < sizes["ipk"] < sizes["installed"])
            self.assertTrue(sizes["binary"] < sizes["apk"] < sizes["installed"])

    def test_what_is_over_a_budget_is_told(self):
        done = self.sizes(200 * 1024, "mips_24kc")
        self.assertEqual(done.returncode, 1)
        told = [sentence.split(" is ")[0] for sentence in done.stderr.splitlines()]
        self.assertEqual(told, ["mips_24kc lispguard: ipk", "mips_24kc lispguard: apk"])
        self.assertEqual(self.sizes(200 * 1024, "x86_64").returncode, 0)


if __name__ == "__main__":
    unittest.main()
