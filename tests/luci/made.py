"""One browser for all tests, and a router for each class of them."""

import atexit
import json
import os
import re
import unittest

import router
from browser import Browser
from router import ROOT

SHOTS = os.environ.get("LISPGUARD_SHOTS")
BROWSER = Browser()
atexit.register(BROWSER.close)

KEYS = ["yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=",
        "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="]
"""A private one, its public one, and a public one of somebody else."""


class Pages(unittest.TestCase):
    """Whatever a test does, no page is empty or shows what only a programmer understands."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.browser = BROWSER
        cls.router = router.Router()

    @classmethod
    def tearDownClass(cls):
        cls.browser.call("Page.navigate", url="about:blank")
        cls.router.close()

    def setUp(self):
        self.router.stop()
        self.router.account, self.router.ubus, self.router.is_on_bus, self.router.captured = "root", "there", True, None

    def tearDown(self):
        self.no_trace()
        if SHOTS:
            os.makedirs(SHOTS, exist_ok=True)
            self.browser.screenshot(f"{SHOTS}/{self.id().partition('.')[2]}.png")

    def no_trace(self):
        self.assertEqual(self.browser.errors, [])
        text = self.browser.text()
        self.assertGreater(len(text.strip()), 20, "an empty page")
        self.assertNotRegex(text, r"\bError:|RPC call|ubus code|undefined|\[object|\bNaN\b|%[sdh]\b|\bnull\b|\.js:\d")
        self.assertIsNone(self.browser.run("document.querySelector('pre.error') && document.querySelector('pre.error').textContent"))

    def open(self, page):
        self.browser.open(self.router.page(page))

    def problem(self):
        """Kind, text and remedy of what the page says first."""
        found = self.browser.run("""(node => node && [ node.dataset.problem, node.querySelector('h4').textContent, node.querySelector('p').textContent ])
            (document.querySelector('[data-problem]'))""")
        self.assertTrue(found, self.browser.text())
        for text in found:
            self.assertTrue(text)
        return found

    def fill(self, name, value, within="#view"):
        """Gives an option a value through its widget."""
        field = f'{within} [data-name="{name}"]'
        self.assertTrue(self.browser.run(f"!!document.querySelector({json.dumps(field)})"), f"no option {name}")
        if isinstance(value, list) and self.browser.run(f"!!document.querySelector({json.dumps(field + ' .cbi-dropdown')})"):
            for one in value:
                self.browser.click(f'{field} input[value="{one}"]')
        elif isinstance(value, list):
            for one in value:
                self.browser.set(f"{field} .add-item input", one)
                self.browser.click(f"{field} .add-item .cbi-button-add")
        elif self.browser.run(f"!!document.querySelector({json.dumps(field + ' input[type=checkbox]')})"):
            if self.browser.run(f"document.querySelector({json.dumps(field + ' input')}).checked") != (value == "1"):
                self.browser.click(f"{field} input")
        else:
            self.browser.set(f"{field} input, {field} select", value)

    def invalid(self, name, within="#view"):
        """What is wrong with an option, or None."""
        return self.browser.run(f"""(node => node && node.getAttribute('data-tooltip'))
            (document.querySelector('{within} [data-name="{name}"] .cbi-input-invalid'))""")

    def break_router(self, account, ubus):
        """What happens to it while a page is open."""
        self.router.account, self.router.ubus = account, ubus

    def not_saved(self, within):
        """Kind of the problem that a form tells when it is not saved."""
        kind = self.browser.wait(f"(node => node && node.dataset.problem)(document.querySelector('{within} [data-problem]'))", "it says why it is not saved")
        # What asked for it is told as well, which nobody sees.
        self.browser.errors.clear()
        self.no_trace()
        return kind

    def apply(self):
        self.browser.click('[data-footer="handleSaveApply"]')
        self.browser.wait("document.body.hasAttribute('data-applied')", "it is saved and applied")

    def open_dialog(self, kind, name=None):
        """Adds a section: opens its dialog."""
        section = f'#view [data-type="{kind}"]'
        if name:
            self.browser.set(f"{section} .cbi-section-create-name", name)
        self.browser.click(f"{section} .cbi-section-create button")
        self.browser.wait("!!document.querySelector('.modal .cbi-value')", "the dialog opens")

    def close_dialog(self, button):
        self.browser.click(f'.modal [data-modal="{button}"]')
        self.browser.wait("!document.body.classList.contains('modal-overlay-active')", "the dialog closes")


def schema():
    """What the parser knows: options by type of section."""
    with open(f"{ROOT}/src/daemon/config/schema.rs") as file:
        text = file.read()
    option = re.compile(r'\b(?:any|database|map_server|list)\("(\w+)"')
    main = option.findall(re.search(r"const MAIN: .*?\];", text, re.S).group())
    types = re.findall(r'section_type: "(\w+)",\s*user: [\w:]+,\s*options: (MAIN|&\[.*?\]),?\s*\}', text, re.S)
    return {name: main if options == "MAIN" else option.findall(options) for name, options in types}


def reference(entry=r"(.*)"):
    """What uci/README.md says: by type of section, each option's first line after its name, or what is asked for of its entry."""
    with open(f"{ROOT}/uci/README.md") as file:
        text = file.read()
    parts = re.split(r"^## config (\w+).*\n", text, flags=re.M)[1:]
    return {name: dict(re.findall(rf"^#### `(\w+)`\n{entry}", part, re.M)) for name, part in zip(parts[::2], parts[1::2])}
