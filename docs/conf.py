"""How Sphinx builds the pages: `sphinx-build -W docs build/docs`."""

from pathlib import Path

project = "harmony_vds"
release = (Path(__file__).parents[1] / "docker" / "service_version.txt").read_text().strip()
extensions = ["myst_parser"]
html_theme = "furo"
html_title = f"harmony_vds {release}"
html_show_copyright = False
myst_heading_anchors = 3
exclude_patterns = ["conf.py"]
