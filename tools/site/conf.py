"""Sphinx's settings for the site. https://www.sphinx-doc.org/en/master/usage/configuration.html has what each means."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

import zerorpc

project = "zerorpc"
release = zerorpc.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]

# Pages
myst_heading_anchors = 4  # named as GitHub names them, so that links work in both places
highlight_language = "default"  # of ``::`` blocks in docstrings: Python where it is some

# The reference
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "__new__,__init__"}
autodoc_type_aliases = {"TlsGiven": "zerorpc.Tls | ssl.SSLContext"}  # Any when it runs: ssl is imported late
maximum_signature_line_length = 80
python_display_short_literal_types = True
toc_object_entries_show_parents = "hide"

# Looks: nothing from other hosts
BRAND = ("color-brand-primary", "color-brand-content", "color-brand-visited")
html_theme = "furo"
html_title = f"zerorpc {release}"
html_static_path = ["static"]
html_css_files = ["style.css"]
html_copy_source = html_show_sourcelink = html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": dict.fromkeys(BRAND, "#0b6e69"),
    "dark_css_variables": dict.fromkeys(BRAND, "#5cc9bf"),
}


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", link_names)
    app.connect("autodoc-process-signature", shorten)


def link_names(_app: Sphinx, _what: str, own: str, _value: object, _options: object, lines: list[str]) -> None:
    """Make links of our public names in a docstring: ````zerorpc.Tls```` and ````Tls````, but for its own name."""

    def linked(code: re.Match[str]) -> str:
        text, name = code[1], code[1].removeprefix("zerorpc.")
        is_ours = name in zerorpc.__all__ and (text != name or name[0].isupper())
        return f":py:obj:`{text} <zerorpc.{name}>`" if is_ours and own != f"zerorpc.{name}" else code[0]

    lines[:] = [re.sub(r"``([\w.]+)``", linked, line) for line in lines]


def shorten(
    _app: Sphinx, _what: str, _name: str, _value: object, _options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """What Python shows of some defaults and types isn't what a reader would write."""
    if signature is not None:
        signature = re.sub(r"Limits = \([^)]*\)", "Limits = Limits()", signature)
        signature = signature.replace("<built-in function monotonic>", "time.monotonic")
        signature = re.sub(r"TypeAliasForwardRef\('([^']*)'\)", r"\1", signature)
        signature = re.sub(r"= \('password', [^)]*\)", "= SECRET_NAMES", signature)
    return signature, returns
