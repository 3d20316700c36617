"""Files in UCI syntax, as rpcd shows and writes them."""

import shlex


def parse(text):
    """Sections by name, in their order: options as texts, lists as lists."""
    sections = {}
    current = None
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["config"]:
            name = words[2] if len(words) > 2 else f"cfg{len(sections) + 1:06x}"
            current = sections[name] = {".type": words[1], ".anonymous": len(words) < 3}
        elif words[:1] == ["option"]:
            current[words[1]] = words[2]
        elif words[:1] == ["list"]:
            current.setdefault(words[1], []).append(words[2])
        elif words:
            raise ValueError(line)
    return sections


def dump(sections):
    """The text of a file."""
    lines = []
    for name, section in sections.items():
        lines.append(f"\nconfig {section['.type']}" + ("" if section[".anonymous"] else f" '{name}'"))
        for option, value in options(section).items():
            kind, values = ("list", value) if isinstance(value, list) else ("option", [value])
            lines += [f"\t{kind} {option} {quoted(one)}" for one in values]
    return "\n".join([*lines, "\n"])


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def options(section):
    return {name: value for name, value in section.items() if not name.startswith(".")}


def shown(sections):
    """As `uci get` of rpcd answers."""
    return {name: {**section, ".name": name, ".index": place} for place, (name, section) in enumerate(sections.items())}
