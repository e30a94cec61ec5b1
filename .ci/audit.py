"""Known vulnerabilities in what constraints.txt pins fail the build: `python .ci/audit.py`.

Asks PyPI through pip-audit. Where PyPI's vulnerability service cannot be reached, as behind a mirror of the package
index alone, one line says so and the build goes on: pip-audit itself would pass over every package in silence. What
does not concern us stands in .ci/vulnerabilities-passed-over, in each line an identifier and the reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PASSED_OVER = Path(__file__).with_name("vulnerabilities-passed-over")
SERVICE = "https://pypi.org/pypi/pip/json"


def main() -> int:
    try:
        reasons = passed_over(PASSED_OVER.read_text(encoding="utf-8"))
        with urllib.request.urlopen(SERVICE, timeout=5) as answer:
            json.load(answer)
        document = audited()
    except (OSError, subprocess.SubprocessError, json.JSONDecodeError) as error:
        why = "what answers is none" if isinstance(error, json.JSONDecodeError) else error
        print(f"audit: skipped, no vulnerability service can be reached ({why})")
        return 0
    lines, failed = verdict(document, reasons)
    print("\n".join(f"audit: {line}" for line in lines))
    return int(failed)


def passed_over(text: str) -> dict[str, str]:
    """Reasons by identifier. Raises SystemExit at a line without a reason."""
    reasons = {}
    for line in text.splitlines():
        identifier, _, reason = line.partition(" ")
        if identifier and not identifier.startswith("#"):
            if not reason.strip():
                raise SystemExit(f"audit: {PASSED_OVER.name}: {identifier} without a reason")
            reasons[identifier] = reason.strip()
    return reasons


def audited() -> dict[str, Any]:
    """What pip-audit says, as its JSON."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "constraints.txt")]
    command += ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def verdict(document: dict[str, Any], reasons: dict[str, str]) -> tuple[list[str], bool]:
    """What to print, and whether it fails the build."""
    packages = document["dependencies"]
    asked = [package for package in packages if "vulns" in package]
    if not asked:
        return [f"skipped, the vulnerability service knows none of the {len(packages)} packages"], False
    lines, failed = [], False
    for package in asked:
        for found in package["vulns"]:
            names = {found["id"], *found.get("aliases", ())}
            known = next((reasons[name] for name in sorted(names) if name in reasons), None)
            cure = f"fixed in {', '.join(found['fix_versions'])}" if found.get("fix_versions") else "not yet fixed"
            told = f"passed over: {known}" if known else f"{cure}; pin another in constraints.txt"
            lines.append(f"{package['name']} {package['version']}: {found['id']}, {told}")
            failed |= known is None
    unknown = f", {len(packages) - len(asked)} unknown to it" if len(asked) < len(packages) else ""
    return [*lines, f"{len(asked)} packages looked up{unknown}"], failed


if __name__ == "__main__":
    sys.exit(main())
