"""What stands where on the site: the side bar, and the sections of the guide."""

from __future__ import annotations

# The side bar: captions, and the pages below them.
CONTENTS = {
    "": ["start", "guide/index", "examples/index"],
    "Reference": [
        "reference/servers",
        "reference/clients",
        "reference/calls",
        "reference/one-way",
        "reference/security",
        "reference/errors",
        "reference/testing",
        "reference/compat",
    ],
    "In service": ["testing", "deploy/index", "security", "reliability", "performance", "results"],
    "Background": ["migrating", "protocol", "Conformance kit <conformance>", "internals"],
    "Project": ["changes", "contributing", "Reporting a hole <security-policy>"],
}

# The guide's sections, each under one of these; one that is missing here fails the build.
GUIDE = {
    "Services": [
        "What a service exposes",
        "Where methods run",
        "Work that keeps a core busy",
        "All cores",
        "More calls than a server can do",
        "Servers in a program of yours",
        "What a method knows of its call",
        "Progress",
        "Stubs and changes",
    ],
    "Calls": [
        "Clients",
        "Arguments and results",
        "Keyword arguments and options",
        "Deadlines",
        "Errors",
        "Streams",
        "Calls in the background",
        "Calls that are safe to repeat",
        "Several servers",
        "Typed clients",
        "Exploring",
        "Metadata",
        "Functions and objects by reference",
        "One way",
    ],
    "Who may call": ["Encryption", "Who may call"],
    "Other ways in": [
        "Callers by HTTP",
        "The console",
        "Language models (MCP)",
        "A gateway in front of another server",
        "Behind a proxy",
    ],
    "At the terminal": [
        "Calls from the command line",
        "Looking at a service",
        "A service that doesn't answer",
        "What a service does just now",
        "Measuring a service",
    ],
    "Health": ["Metrics and health"],
    "Settings and hooks": ["Settings", "Hooks around calls", "Traces", "Middleware hooks", "Watching events"],
}

EXAMPLES = {
    "cooler.py": "A service",
    "blocking_client.py": "Blocking calls",
    "async_client.py": "Calls with await",
    "test_cooler.py": "Tests with pytest",
    "workers.py": "Workers",
    "news.py": "Publish and subscribe",
    "tracing.py": "Middleware",
    "web.py": "Behind FastAPI",
    "instrument.py": "An instrument, with arrays",
    "notebook.ipynb": "From a notebook",
}

# Files under deploy/: what to call each, and its language.
DEPLOYMENT = {
    "systemd/cooler.service": ("systemd", "ini"),
    "systemd/cooler.socket": ("systemd, with a socket of its own", "ini"),
    "docker/Dockerfile": ("Docker", "docker"),
    "docker/compose.yaml": ("Docker Compose", "yaml"),
}


def toctree(entries: dict[str, list[str]]) -> str:
    """A table of contents for the side bar, of captions and pages."""
    parts = []
    for caption, names in entries.items():
        options = f":caption: {caption}\n" if caption else ""
        parts.append("\n```{toctree}\n:hidden:\n" + options + "\n" + "\n".join(names) + "\n```\n")
    return "".join(parts)
