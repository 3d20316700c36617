"""A router as LuCI's pages see it: files of the packages, and a small uhttpd and rpcd before the real program."""

import contextlib
import copy
import fnmatch
import glob
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import configuration

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
PACKAGES = ("luci-app-lispguard", "luci-proto-lispguard")
PROGRAM = os.environ.get("LISPGUARD", "")
SERVED = [f"{ROOT}/tests/luci/standin", *(f"{ROOT}/openwrt/{package}/htdocs/luci-static/resources" for package in PACKAGES)]
CONFIG = "/etc/config/lispguard"
KEYS = "/etc/lispguard/key-"
OK, INVALID_ARGUMENT, NO_METHOD, NOT_FOUND, NO_DATA, DENIED, TIMEOUT = 0, 2, 3, 4, 5, 6, 7
NO_OBJECT, NO_RIGHT = (-32000, "Object not found"), (-32002, "Access denied")
# What every account of LuCI may do.
BASE = {"read": {"session": ["access"], "uci": ["get", "changes"]},
        "write": {"uci": ["add", "apply", "confirm", "delete", "order", "set"]}}
RPCD = ("session", "uci", "file", "rc")
"""Its objects."""
INTERFACES = [
    {"interface": "loopback", "proto": "static", "ipv4-address": [{"address": "127.0.0.1", "mask": 8}]},
    {"interface": "wan", "proto": "dhcp", "ipv4-address": [{"address": "192.0.2.1", "mask": 24}],
     "route": [{"target": "0.0.0.0", "mask": 0, "nexthop": "192.0.2.254"}]},
    {"interface": "overlay", "proto": "lispguard"},
]


class JsonRpcError(Exception):
    pass


def rights(account):
    """What `root`, `reader` or `nobody` may do: objects' methods, commands and configurations."""
    scopes = {"root": ("read", "write"), "reader": ("read",), "nobody": ()}[account]
    found = {"ubus": {}, "file": {}, "uci": {}}
    for scope in scopes:
        for name, methods in BASE[scope].items():
            found["ubus"].setdefault(name, set()).update(methods)
    for path in glob.glob(f"{ROOT}/openwrt/luci-*/root/usr/share/rpcd/acl.d/*.json"):
        with open(path) as file:
            groups = json.load(file)
        for group in groups.values():
            for scope in scopes:
                for kind in ("ubus", "file"):
                    for name, methods in group.get(scope, {}).get(kind, {}).items():
                        found[kind].setdefault(name, set()).update(methods)
                for name in group.get(scope, {}).get("uci", []):
                    found["uci"].setdefault(name, set()).add(scope)
    if account == "nobody":
        found["ubus"] = {name: set(methods) for name, methods in BASE["read"].items()}
    return found


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, address):
        # A page that is left does not wait for its answers.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, address)


class Router:
    """Its configuration is a file of its own; what is broken about it is set by the tests."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.file = f"{self.folder}/lispguard"
        self.account = "root"
        self.ubus = "there"
        """Or "gone" with the router, "http" without what serves it, "rpcd" without that."""
        self.is_on_bus = True
        self.protocols = ["static", "lispguard"]
        self.captured = None
        """Answers of methods in place of the program's."""
        self.commands = []
        self._staged = None
        self._daemon = None
        self._lock = threading.RLock()
        self.write_config("\nconfig lispguard 'main'\n")
        self._server = Server(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self.stop()
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self.folder)

    def page(self, name):
        return f"{self.url}/cgi-bin/luci/admin/network/lispguard/{name}"

    # --- the program

    def write_config(self, text):
        self._staged = None
        with open(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)

    def config(self):
        with open(self.file) as file:
            return configuration.parse(file.read())

    def program(self, *words):
        """The real one, whose messages name the file as on a router."""
        file = self._file_with_keys()
        run = subprocess.run([PROGRAM, *words, "-c", file], capture_output=True, text=True, timeout=30)
        return run.returncode, run.stdout, run.stderr.replace(file, CONFIG)

    def key_file(self, path):
        """Where a key lies that was written to a path."""
        return f"{self.folder}/{os.path.basename(path)}"

    def _file_with_keys(self):
        """The configuration, or where it names a file with a key, a copy with that one's place here."""
        with contextlib.suppress(FileNotFoundError), open(self.file) as file:
            text = file.read()
            if KEYS in text:
                with open(os.open(f"{self.folder}/copy", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as copied:
                    copied.write(text.replace(KEYS, self.key_file(KEYS)))
                return f"{self.folder}/copy"
        return self.file

    def start(self):
        """In a network of its own."""
        script = ('ip link set lo up && ip link add eth0 type veth peer name eth1 && ip link set eth0 up && ip link set eth1 up && '
                  'ip addr add 192.0.2.1/24 dev eth0 && ip route add default via 192.0.2.254 && exec "$@"')
        network = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]
        self._daemon = subprocess.Popen([*network, "sh", "-c", script, "sh", PROGRAM, "run", "-c", self._file_with_keys()],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while time.monotonic() < until and self._daemon.poll() is None:
            if self.program("status", "--json")[0] in (0, 1):
                return
            time.sleep(0.05)

    def stop(self):
        if self._daemon:
            self._daemon.terminate()
            self._daemon.wait()
            self._daemon = None

    @property
    def is_running(self):
        return self._daemon is not None and self._daemon.poll() is None

    # --- ubus

    def call(self, name, method, given):
        may = rights(self.account)
        objects = {"session": self._session, "uci": self._uci, "file": self._file, "rc": self._rc,
                   "network": self._network, "network.interface": self._interface, "lispguard": self._lispguard}
        is_there = name in objects and (name != "lispguard" or self.captured or (self.is_running and self.is_on_bus))
        if not is_there or (self.ubus == "rpcd" and name in RPCD):
            raise JsonRpcError(NO_OBJECT)
        # uhttpd looks for the object, then asks rpcd for the right, which it takes for denied where that is gone.
        if self.ubus == "rpcd" or method not in may["ubus"].get(name, ()):
            raise JsonRpcError(NO_RIGHT)
        with self._lock:
            return objects[name](method, given, may)

    def _session(self, method, given, may):
        return OK, {"access": True}

    def _network(self, method, given, may):
        return OK, {name: {"no_device": name != "static"} for name in self.protocols}

    def _interface(self, method, given, may):
        return OK, {"interface": INTERFACES}

    def _rc(self, method, given, may):
        if method == "list":
            return OK, {"lispguard": {"start": 95, "stop": 10, "enabled": True, "running": self.is_running or bool(self.captured)}}
        if given.get("name") != "lispguard" or given.get("action") not in ("start", "stop", "restart", "reload"):
            return (INVALID_ARGUMENT,)
        if given["action"] in ("stop", "restart"):
            self.stop()
        if given["action"] in ("start", "restart"):
            self.start()
        return (OK,)

    def _lispguard(self, method, given, may):
        if self.captured:
            answer = self.captured[method]
            return answer if isinstance(answer, tuple) else (OK, answer)
        if method == "resolve":
            if not given.get("eid"):
                return (INVALID_ARGUMENT,)
            code, out, _ = self.program("lig", given["eid"], "--json")
            answer = json.loads(out) if out else {}
            return (OK, answer) if code == 0 else ((NOT_FOUND if answer.get("answered") else TIMEOUT),)
        out = self.program(method, "--json")[1]
        # It has just ended.
        if not out:
            raise JsonRpcError(NO_OBJECT)
        answer = json.loads(out)
        return OK, answer if isinstance(answer, dict) else {method: answer}

    def _file(self, method, given, may):
        if method == "write":
            if not any(fnmatch.fnmatchcase(given["path"], pattern) for pattern, how in may["file"].items() if "write" in how):
                return (DENIED,)
            with open(os.open(self.key_file(given["path"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, given["mode"]), "w") as file:
                file.write(given["data"])
            return (OK,)
        words = [given["command"], *(given.get("params") or [])]
        allowed = [pattern for pattern, how in may["file"].items() if method in how]
        if not any(fnmatch.fnmatchcase(given["command"], one) or fnmatch.fnmatchcase(" ".join(words), one) for one in allowed):
            return (DENIED,)
        if words[0] != "/usr/sbin/lispguard" or not PROGRAM:
            return (NOT_FOUND,)
        self.commands.append(words[1:])
        code, out, err = self.program(*words[1:])
        return OK, {"code": code, **({"stdout": out} if out else {}), **({"stderr": err} if err else {})}

    def _uci(self, method, given, may):
        needed = "read" if method in ("get", "changes") else "write"
        if method in ("apply", "confirm"):
            return self._uci_apply(method)
        if needed not in may["uci"].get(given["config"], ()):
            return (DENIED,)
        if given["config"] != "lispguard" or not os.path.exists(self.file):
            return (NOT_FOUND,)
        if self._staged is None:
            self._staged = copy.deepcopy(self.config())
        sections = self._staged
        if method == "get":
            return OK, {"values": configuration.shown(sections)}
        if method == "order":
            self._staged = {name: sections[name] for name in given["sections"]} | sections
            return (OK,)
        if method == "add":
            name = given.get("name") or f"cfg{len(sections) + 1:02d}added"
            sections[name] = {".type": given["type"], ".anonymous": not given.get("name"), **(given.get("values") or {})}
            return OK, {"section": name}
        if given["section"] not in sections:
            return (NOT_FOUND,)
        if method == "set":
            sections[given["section"]].update(given["values"])
        elif given.get("options"):
            for option in given["options"]:
                sections[given["section"]].pop(option, None)
        else:
            del sections[given["section"]]
        return (OK,)

    def _uci_apply(self, method):
        if method == "apply" and self._staged is not None:
            self.write_config(configuration.dump(self._staged))
            if self.is_running:
                self._file_with_keys()
                self._daemon.send_signal(1)
        return (OK,) if method == "apply" else (NO_DATA,)

    # --- HTTP

    def _handler(self):
        router = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                path = self.path.partition("?")[0]
                if path.startswith("/cgi-bin/luci/admin/network/lispguard/"):
                    return self.answer(200, router.html(path.rpartition("/")[2]).encode(), "text/html")
                for folder in SERVED:
                    file = os.path.normpath(f"{folder}/{path.removeprefix('/luci-static/resources/')}")
                    if file.startswith(folder) and os.path.isfile(file):
                        with open(file, "rb") as content:
                            return self.answer(200, content.read(), "text/javascript")
                return self.answer(404, b"", "text/plain")

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if router.ubus == "gone":
                    self.close_connection = True
                    return None
                if router.ubus == "http":
                    return self.answer(404, b"<h1>Not Found</h1>", "text/html")
                answers = [self.ask(one) for one in asked] if isinstance(asked, list) else self.ask(asked)
                return self.answer(200, json.dumps(answers).encode(), "application/json")

            def ask(self, asked):
                answer = {"jsonrpc": "2.0", "id": asked["id"]}
                _, name, method, given = asked["params"]
                try:
                    answer["result"] = list(router.call(name, method, given))
                except JsonRpcError as error:
                    answer["error"] = dict(zip(("code", "message"), error.args[0]))
                return answer

            def answer(self, status, content, kind):
                self.send_response(status)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Handler

    def html(self, name):
        may = rights(self.account)["uci"].get("lispguard", ())
        env = {"sessionid": "0" * 31 + "1", "ubuspath": "/ubus", "resource": "/luci-static/resources", "scriptname": "/cgi-bin/luci",
               "view": f"view.lispguard.{name}", "permission": True if "write" in may else False if "read" in may else None}
        with open(f"{ROOT}/tests/luci/standin/page.html") as file:
            return file.read().replace("@ENV@", json.dumps(env))
