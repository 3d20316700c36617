"""Packages as the Makefiles in openwrt/ describe them, in opkg's and apk's form.

GNU make reads the Makefiles, with openwrt.mk and luci.mk in place of OpenWrt's build system. What OpenWrt adds
to a package (scripts, lists, names of fields) follows its include/package-pack.mk.
"""

import dataclasses
import glob
import hashlib
import os
import posixpath
import re
import subprocess
import tempfile

import adb
import apk
import ipk

HERE = os.path.dirname(os.path.abspath(__file__))
MAKEFILES = os.path.normpath(os.path.join(HERE, "../../openwrt"))
TIME = int(os.environ.get("SOURCE_DATE_EPOCH", 1_735_689_600))
"""When everything in a package was made, in seconds since 1970."""

_SDK = {
    "rules.mk": f"include {HERE}/openwrt.mk\n",
    "include/package.mk": "",
    "feeds/packages/lang/rust/rust-package.mk": "CARGO_PKG_PROFILE:=release\nCARGO_PKG_ARGS:=--locked\n",
    "feeds/luci/luci.mk": f"include {HERE}/luci.mk\n",
}

_OPKG_POSTINST = """\
#!/bin/sh
[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0
[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. ${IPKG_INSTROOT}/lib/functions.sh
default_postinst $0 $@
"""
_OPKG_PRERM = """\
#!/bin/sh
[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0
. ${IPKG_INSTROOT}/lib/functions.sh
default_prerm $0 $@
"""
_APK_START = """\
[ -s "${{IPKG_INSTROOT}}/lib/functions.sh" ] || exit 0
. ${{IPKG_INSTROOT}}/lib/functions.sh
export root="${{IPKG_INSTROOT}}"
export pkgname="{name}"
"""
_SHELL = "#!/bin/sh\n"


@dataclasses.dataclass(frozen=True)
class File:
    """A file, or a folder where there is no content."""

    mode: int
    content: bytes | None


@dataclasses.dataclass
class Package:
    """A package for one architecture: a Makefile's fields and texts by name, and files by path without a slash."""

    name: str
    fields: dict
    tree: dict

    def __post_init__(self):
        # What is kept over an upgrade of the system besides files of the package's own.
        kept = [path for path in self.conffiles if _content(self.tree, path.lstrip("/")) is None]
        if kept:
            _append(self.tree, f"lib/upgrade/keep.d/{self.name}", "".join(f"{path}\n" for path in kept))

    @property
    def version(self):
        return f"{self.fields['PKG_VERSION']}-r{self.fields['PKG_RELEASE']}"

    @property
    def installed_size(self):
        """Octets in the files that it installs."""
        return sum(len(file.content) for file in self.tree.values() if file.content is not None)

    @property
    def conffiles(self):
        return self.fields.get("conffiles", "").split()

    @property
    def depends(self):
        """Names of packages: libc, which is everyone's, and the Makefile's."""
        words = [word for word in self.fields["DEPENDS"].split() if not word.startswith(("@", "+@"))]
        names = [word.removeprefix("+") for word in words]
        if odd := [name for name in names if not re.fullmatch(r"[\w.-]+", name)] or self.fields["EXTRA_DEPENDS"]:
            raise ValueError(f"{self.name}: no way to tell what dependencies {odd} come to")
        return ["libc", *(name for name in names if name != "libc")]

    @property
    def provides(self):
        return [name for name in self.fields["PROVIDES"].split() if name != self.name]

    def ipk(self):
        """The file's name and octets for opkg."""
        arch = self.fields["PKGARCH"]
        scripts = {"postinst": (0o755, _OPKG_POSTINST), "prerm": (0o755, _OPKG_PRERM)}
        # OpenWrt's own scripts run those with another name in the package.
        for text, name in (("preinst",) * 2, ("postinst", "postinst-pkg"), ("prerm", "prerm-pkg"), ("postrm",) * 2):
            if text in self.fields:
                scripts[name] = (0o755, self.fields[text])
        files = sorted(path for path in self.conffiles if _content(self.tree, path.lstrip("/")) is not None)
        if files:
            scripts["conffiles"] = (0o644, "".join(f"{path}\n" for path in files))
        octets = ipk.package(self._control(), scripts, self.tree, TIME)
        return f"{self.name}_{self.version}_{arch}.ipk", octets

    def apk(self):
        """The file's name and octets for apk."""
        fields = self.fields
        info = {
            "name": self.name,
            "version": self.version,
            "description": " ".join(fields.get("description", fields["TITLE"]).split()),
            "arch": "noarch" if fields["PKGARCH"] == "all" else fields["PKGARCH"],
            "license": fields["PKG_LICENSE"],
            "origin": fields["PKG_NAME"],
            "maintainer": fields["MAINTAINER"] or fields["PKG_MAINTAINER"],
            "url": fields["URL"],
            # With a version, a provided name is one that no other package may have beside this one.
            "provides": [f"{self.name}-any", *(f"{name}={self.version}" for name in self.provides)],
            "depends": self.depends,
        }
        if fields["DEFAULT_VARIANT"]:
            info["provider-priority"] = 100
        octets = adb.compress(apk.package(info, self._tree_for_apk(), self._scripts_for_apk(), TIME))
        return f"{self.name}-{self.version}.apk", octets

    def _control(self):
        fields = self.fields
        lines = {
            "Package": self.name,
            "Version": self.version,
            "Depends": ", ".join(self.depends),
            "Conflicts": ", ".join(fields["CONFLICTS"].split()),
            "Provides": ", ".join(self.provides),
            "SourceName": fields["PKG_NAME"],
            "License": fields["PKG_LICENSE"],
            "LicenseFiles": fields["PKG_LICENSE_FILES"],
            "Section": fields["SECTION"],
            "Require-User": fields["USERID"],
            "SourceDateEpoch": str(TIME),
            "URL": fields["URL"],
            "Maintainer": fields["MAINTAINER"] or fields["PKG_MAINTAINER"],
            "Architecture": fields["PKGARCH"],
            "Installed-Size": "0",
        }
        described = fields.get("description", fields["TITLE"]).rstrip().splitlines()
        text = "".join(f" {line.strip()}\n" for line in described)
        return "".join(f"{name}: {value}\n" for name, value in lines.items() if value) + f"Description: {text}"

    def _tree_for_apk(self):
        """With the lists that OpenWrt's scripts read; apk itself keeps none that they could."""
        tree = dict(self.tree)
        folder = f"lib/apk/packages/{self.name}"
        if self.fields["USERID"]:
            _append(tree, f"{folder}.rusers", self.fields["USERID"] + "\n")
        listed = sorted(f"/{path}\n" for path in tree if tree[path].content is not None)
        _append(tree, f"{folder}.list", "".join(listed))
        if self.conffiles:
            _append(tree, f"{folder}.conffiles", "".join(f"{path}\n" for path in self.conffiles))
            contents = {path: _content(tree, path.lstrip("/")) for path in self.conffiles}
            digests = [f"{path} {_sha256(content)}\n" for path, content in contents.items() if content is not None]
            if digests:
                _append(tree, f"{folder}.conffiles_static", "".join(digests))
        return tree

    def _scripts_for_apk(self):
        start = _APK_START.format(name=self.name)
        # They are put together, so that only the first line of the whole may name the shell.
        parts = ("preinst", "postinst", "prerm")
        own = {part: re.sub(r"(?m)^\s*#!.*\n", "", self.fields.get(part, "")) for part in parts}
        installed = '[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0\n' + start + "add_group_and_user\ndefault_postinst\n"
        scripts = {
            "post-install": _SHELL + installed + own["postinst"],
            "post-upgrade": _SHELL + "export PKG_UPGRADE=1\n" + installed + own["postinst"],
            "pre-deinstall": _SHELL + start + "default_prerm\n" + own["prerm"],
        }
        if "preinst" in self.fields:
            scripts["pre-install"] = self.fields["preinst"]
            scripts["pre-upgrade"] = _SHELL + "export PKG_UPGRADE=1\n" + own["preinst"]
        if "postrm" in self.fields:
            scripts["post-deinstall"] = self.fields["postrm"]
        return scripts


def packages(arch, binaries):
    """Every package for an architecture, as OpenWrt names it, with its binary's file by the package's name."""
    found = []
    for makefile in [f"{MAKEFILES}/Makefile", *sorted(glob.glob(f"{MAKEFILES}/*/Makefile"))]:
        for line in make(os.path.dirname(makefile), [])[0].splitlines():
            name, _, variant = line.partition(" ")
            given = {"PACKAGE": name, "BUILD_VARIANT": variant}
            with tempfile.TemporaryDirectory() as installed:
                if name in binaries:
                    os.mkdir(f"{installed}/bin")
                    os.symlink(os.path.abspath(binaries[name]), f"{installed}/bin/lispguard")
                _, fields, tree = make(os.path.dirname(makefile), ["stage"], PKG_INSTALL_DIR=installed, **given)
            fields["PKGARCH"] = fields["PKGARCH"] or arch
            found.append(Package(name, fields, tree))
    return found


def feeds(packages, keys=None):
    """Two feeds' files by path: opkg's in ipk/, apk's in apk/; with `signing.Keys` the indexes are signed."""
    ipks = dict(package.ipk() for package in packages)
    apks = dict(package.apk() for package in packages)
    index = ipk.index(ipks).encode()
    apk_index = apk.index([apks[name] for name in sorted(apks)])
    signed = {}
    if keys:
        apk_index = keys.sign_adb(apk_index)
        signed["ipk/Packages.sig"] = keys.sign_list(index)
        signed[f"ipk/{keys.fingerprint.hex()}"] = keys.usign_public_key()
        signed["apk/lispguard.pem"] = keys.apk_public_key()
    return {
        **{f"ipk/{name}": octets for name, octets in ipks.items()},
        "ipk/Packages": index,
        "ipk/Packages.gz": ipk.zip_up(index),
        **{f"apk/{name}": octets for name, octets in apks.items()},
        "apk/packages.adb": adb.compress(apk_index),
        **signed,
    }


def make(folder, goals, **variables):
    """What make prints, the fields and texts it wrote, and the tree it installed."""
    with tempfile.TemporaryDirectory() as sdk, tempfile.TemporaryDirectory() as stage:
        for path, text in _SDK.items():
            os.makedirs(os.path.dirname(f"{sdk}/{path}"), exist_ok=True)
            with open(f"{sdk}/{path}", "w") as file:
                file.write(text)
        given = [f"{name}={value}" for name, value in {"TOPDIR": sdk, "STAGE": stage, **variables}.items()]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        command = ["make", "--no-print-directory", "--silent", "-C", folder, *given, *goals]
        run = subprocess.run(command, env=environment, umask=0o022, capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(f"{folder}/Makefile: {run.stderr.strip()}")
        fields = {entry.name: _field(entry) for entry in os.scandir(stage) if entry.is_file()}
        return run.stdout, fields, _read_tree(f"{stage}/root")


def _field(entry):
    with open(entry.path) as file:
        text = file.read()
    # The names of texts are in lower case, all others are one line.
    return text if entry.name.islower() else text.strip()


def _read_tree(root):
    tree = {}
    for folder, _, files in os.walk(root):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            if os.path.islink(path) or not (os.path.isfile(path) or os.path.isdir(path)):
                raise ValueError(f"{path} is no file and no folder")
            content = None
            if path != folder:
                with open(path, "rb") as file:
                    content = file.read()
            name = os.path.relpath(path, root)
            tree["" if name == "." else name] = File(os.stat(path).st_mode & 0o7777, content)
    return tree


def _sha256(octets):
    return hashlib.sha256(octets).hexdigest()


def _content(tree, path):
    return tree[path].content if path in tree else None


def _append(tree, path, text):
    folder = posixpath.dirname(path)
    while folder not in tree:
        tree[folder] = File(0o755, None)
        folder = posixpath.dirname(folder)
    tree[path] = File(0o644, (_content(tree, path) or b"") + text.encode())
