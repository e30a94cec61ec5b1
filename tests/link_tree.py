"""`python tests/link_tree.py`: `.links/lvm_probe`, the whole package in one folder, as links to its files.

mypy, import-linter and editors do not follow the mapping of folders to subpackages in `pyproject.toml` (`package-dir`)
on an editable install; they follow this.
"""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def make(root: Path = ROOT) -> Path:
    """Add the links that are missing and drop those whose file has gone; returns the folder that holds `lvm_probe`."""
    folders: dict[str, str] = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    links = root / ".links"
    for package, folder in folders.items():
        for path in (root / folder).rglob("*"):
            link = links / package.replace(".", "/") / path.relative_to(root / folder)
            if path.suffix in (".py", ".typed") and not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
    for link in links.rglob("*"):
        if link.is_symlink() and not link.exists():
            link.unlink()
    return links


if __name__ == "__main__":
    print(make())
