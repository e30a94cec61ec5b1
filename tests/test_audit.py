"""The CI's look for known vulnerabilities: what it makes of pip-audit's answers."""

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(name: str, *vulnerabilities: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": list(vulnerabilities)}


BAD = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"], "description": "..."}


def test_a_known_vulnerability_fails_unless_there_is_a_reason(audit: ModuleType) -> None:
    document = {"dependencies": [package("good"), package("bad", BAD), {"name": "own", "skip_reason": "not there"}]}
    lines, failed = audit.verdict(document, {})
    assert failed
    assert lines == [
        "bad 1.0: PYSEC-1, fixed in 1.1; pin another in constraints.txt",
        "2 packages looked up, 1 unknown to it",
    ]
    lines, failed = audit.verdict(document, {"CVE-1": "we parse none of it"})
    assert not failed
    assert lines[0] == "bad 1.0: PYSEC-1, passed over: we parse none of it"
    assert audit.verdict({"dependencies": [package("good")]}, {}) == (["1 packages looked up"], False)


def test_an_answer_about_nothing_is_no_good_news(audit: ModuleType) -> None:
    lines, failed = audit.verdict({"dependencies": [{"name": "a", "skip_reason": "not found"}] * 3}, {})
    assert (lines, failed) == (["skipped, the vulnerability service knows none of the 3 packages"], False)


@pytest.mark.parametrize("error", [OSError("no route to host"), subprocess.TimeoutExpired("pip-audit", 120)])
def test_without_the_service_one_line_says_so(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def unreachable(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(audit.urllib.request, "urlopen", unreachable)
    assert audit.main() == 0
    said = capsys.readouterr().out
    assert said.startswith("audit: skipped, no vulnerability service can be reached (")
    assert said.count("\n") == 1


def test_what_is_passed_over_has_a_reason(audit: ModuleType) -> None:
    assert audit.passed_over("# why\n\nCVE-1 only on Windows\n") == {"CVE-1": "only on Windows"}
    with pytest.raises(SystemExit, match="CVE-2 without a reason"):
        audit.passed_over("CVE-2 \n")
    audit.passed_over(audit.PASSED_OVER.read_text(encoding="utf-8"))
