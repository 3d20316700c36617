"""The sources of the pages: lint, what menu and rights name, translations."""

import glob
import json
import os
import re
import subprocess
import unittest

from router import PACKAGES, ROOT

SCRIPTS = sorted(path for package in PACKAGES for path in glob.glob(f"{ROOT}/openwrt/{package}/htdocs/**/*.js", recursive=True))
STANDIN = sorted(glob.glob(f"{ROOT}/tests/luci/standin/*.js"))
REQUIRE = re.compile(r"^'require ([\w.-]+)(?: as (\w+))?';$", re.M)


def read(path):
    with open(path) as file:
        return file.read()


def modules(text):
    """What a file requires: its names there, and whole."""
    return [(alias or name.rpartition(".")[2], name) for name, alias in REQUIRE.findall(text)]


def data(package, folder):
    paths = glob.glob(f"{ROOT}/openwrt/{package}/root/usr/share/{folder}/*.json")
    return {key: value for path in paths for key, value in json.loads(read(path)).items()}


class Scripts(unittest.TestCase):
    def test_eslint_has_nothing_to_say(self):
        environment = {**os.environ, "NODE_PATH": "/usr/share/nodejs"}
        for paths, limits in ((SCRIPTS, []), (STANDIN, ["--rule", "max-lines: off"])):
            names = {name for path in paths for name, _ in modules(read(path))}
            command = ["eslint", "-f", "unix", "--no-eslintrc", "-c", f"{ROOT}/tests/luci/eslint.json", *limits]
            command += [word for name in sorted(names) for word in ("--global", name)]
            run = subprocess.run([*command, *paths], cwd=ROOT, env=environment, capture_output=True, text=True)
            self.assertEqual((run.returncode, run.stdout + run.stderr), (0, ""))

    def test_a_file_requires_the_modules_that_it_uses(self):
        known = {name for path in SCRIPTS for name, _ in modules(read(path))}
        for path in SCRIPTS:
            text = read(path)
            used = {name for name in known if re.search(rf"(?<![\w.'$]){name}\.\w", REQUIRE.sub("", text))}
            with self.subTest(path=os.path.relpath(path, ROOT)):
                self.assertEqual(used, {name for name, _ in modules(text)})

    def test_texts_are_never_taken_for_html(self):
        # E() takes a text for HTML, and the texts in an array for text.
        for path in SCRIPTS:
            self.assertNotRegex(read(path), r"""\bE\('\w+', (\{[^}]*\}, )?(_\(|['"`])""")
            self.assertNotRegex(read(path), r"innerHTML|outerHTML|insertAdjacentHTML")

    def test_what_people_read_can_be_translated(self):
        translated = re.compile(r"\b_\(\s*(?:'(?:[^'\\]|\\.)*'(?:\s*\+\s*)?)+\s*\)")
        for path in SCRIPTS:
            text = re.sub(r"/\*.*?\*/", "", translated.sub("", read(path)), flags=re.S)
            with self.subTest(path=os.path.relpath(path, ROOT)):
                self.assertEqual(re.findall(r"'[^'\n]*\b[A-Z][a-z]+ [a-z]+ [^'\n]*'", text), [])

    def test_the_templates_of_translations_are_current(self):
        subprocess.run([f"{ROOT}/tests/luci/pot", "--check"], check=True)


class Menu(unittest.TestCase):
    def test_every_page_is_in_the_menu_with_its_rights(self):
        menu = data("luci-app-lispguard", "luci/menu.d")
        rights = data("luci-app-lispguard", "rpcd/acl.d")
        views = {entry["action"]["path"] for entry in menu.values() if entry["action"]["type"] == "view"}
        folder = f"{ROOT}/openwrt/luci-app-lispguard/htdocs/luci-static/resources/view"
        self.assertEqual(views, {os.path.relpath(path, folder).removesuffix(".js") for path in SCRIPTS if path.startswith(folder)})
        for entry in menu.values():
            for name in entry.get("depends", {}).get("acl", []):
                self.assertIn(name, rights)

    def test_reading_changes_nothing(self):
        read_rights = data("luci-app-lispguard", "rpcd/acl.d")["luci-app-lispguard"]["read"]
        self.assertNotIn("reload", read_rights["ubus"]["lispguard"])
        self.assertNotIn("init", read_rights["ubus"]["rc"])
        for command in read_rights["file"]:
            self.assertRegex(command, r"^/usr/sbin/lispguard (check|status|export)\b")
            # Nobody adds words of his own, as the program runs as root.
            self.assertNotRegex(command, r"[*?[]")

    def test_the_pages_ask_for_nothing_that_the_rights_leave_out(self):
        rights = data("luci-app-lispguard", "rpcd/acl.d")["luci-app-lispguard"]
        allowed = {(name, method) for scope in ("read", "write") for name, methods in rights[scope]["ubus"].items() for method in methods}
        asked = set()
        for path in SCRIPTS:
            asked |= set(re.findall(r"rpc\.declare\(\{ object: '([^']+)', method: '([^']+)'", read(path)))
        self.assertLessEqual(asked, allowed)


if __name__ == "__main__":
    unittest.main()
