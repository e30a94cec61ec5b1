"""The versions that a result was made with."""

from __future__ import annotations


def package_version() -> str:
    """The version of lvm-probe that is installed."""
    from importlib.metadata import PackageNotFoundError, version  # these take as long to import as `probe --help`

    try:
        return version("lvm-probe")
    except PackageNotFoundError:
        return "(not installed)"


def package_versions() -> dict[str, str]:
    """The versions of lvm-probe, Python, and the libraries that figures may depend on."""
    import platform
    from importlib.metadata import version

    packages = ("torch", "torchaudio", "numpy", "scikit-learn", "pyarrow")
    return {
        "lvm-probe": package_version(),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }
