"""How Sphinx builds the docs: `tox run -e docs`."""

import tomllib
from pathlib import Path

with (Path(__file__).parents[1] / "pyproject.toml").open("rb") as file:
    release = tomllib.load(file)["project"]["version"]

project = "jobq"
version = release
author = "the authors of jobq"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "examples"]

#: Projects whose names stay text: to resolve them (intersphinx), a build would need the network.
OTHERS = (
    "asyncio", "click", "collections", "dataclasses", "datetime", "enum", "hiredis", "inspect",
    "pathlib", "redis", "types", "typing", "typing_extensions",
)  # fmt: skip

nitpicky = True  # a dangling reference is an error
nitpick_ignore_regex = [
    (r"py:.*", rf"({'|'.join(OTHERS)})\..*"),
    (r"py:class", r"P|R|T|P\.args|P\.kwargs|jobq\..*\.(P|R|T)"),  # type variables
    # Types of arguments and rows that have no entry of their own.
    (
        r"py:class",
        r"Rows|jobq\.(client|core)\..*\.(Named|Sending|ScheduleOptions|Schedule|LetterRow)",
    ),
]

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"jobq {release}"
html_copy_source = False
html_show_sourcelink = False
