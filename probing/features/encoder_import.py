"""Import of an encoder that the user wrote: `--encoder FILE.py:NAME` or `--encoder package.module:NAME`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from lvm_probe import InputError
from lvm_probe.probing.features import s3prl_upstreams
from lvm_probe.probing.features.encoders import Encoder, as_encoder, one_line

FORMS = "give FILE.py:NAME or package.module:NAME"


def names_file(spec: str) -> bool:
    """Whether `--encoder` names a file rather than a module."""
    return ".py:" in spec or spec.endswith(".py") or "/" in spec


def import_encoder(
    spec: str, device: torch.device, folder: Path | None = None, *, weights: Path | None = None
) -> Encoder:
    """Import the encoder that `--encoder` names.

    It is a function, a class that needs no arguments, or an object; class and object have a method `encode`. An
    attribute `sample_rate` says which rate it takes (default: 16,000 Hz). A torch module is moved to `device` and set
    to evaluation mode. Weights that the import or the class draws from torch's generator are the same each time. A
    function of a module `hubconf` makes an s3prl upstream (`s3prl_upstreams`).

    Args:
        spec: `FILE.py:NAME` or `package.module:NAME`; NAME is `encode` where it is left out.
        device: for torch modules.
        folder: its modules can be imported, as those beside FILE.py can (default: the current folder).
        weights: checkpoint of an s3prl upstream.

    Raises:
        InputError: there is no such file or module, it cannot be imported, or what it holds is no encoder.
    """
    place, _, name = spec.rpartition(":") if ":" in spec else (spec, "", "")
    name, folder = name or "encode", folder or Path.cwd()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _make_importable(folder)
        module = _import_file(spec, Path(place)) if names_file(spec) else _import_module(spec, place, folder)
        path = Path(module.__file__ or place)
        if not hasattr(module, name):
            raise InputError(f"{path}: has no '{name}'; name its encoder: --encoder {place}:NAME")
        found = getattr(module, name)
        torch.manual_seed(0)  # also where the module was imported before
        if path.stem == s3prl_upstreams.MODULE:
            found = _instance(path, name, found, **({} if weights is None else {"ckpt": str(weights)}))
        elif weights is not None:
            raise InputError(f"--weights {weights}: only for an s3prl upstream of a module hubconf; leave it out")
        elif inspect.isclass(found):
            found = _instance(path, name, found)
    if isinstance(found, torch.nn.Module):
        found = found.to(device).eval()
    if s3prl_upstreams.is_upstream(found):
        found = s3prl_upstreams.Upstream(found, device)
    files = {"sha256": path} | ({"weights_sha256": weights} if weights else {})
    provenance = {key: hashlib.sha256(file.read_bytes()).hexdigest() for key, file in files.items() if file.is_file()}
    try:
        encoder = as_encoder(found, name, provenance)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return replace(encoder, name=f"{path.name if names_file(spec) else place}:{name}")


def _make_importable(folder: Path) -> None:
    """Put a folder before all others, as Python does with the folder of a script."""
    text = str(folder.resolve())
    if text in sys.path:
        sys.path.remove(text)
    sys.path.insert(0, text)


def _import_file(spec: str, path: Path) -> ModuleType:
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"--encoder {spec}: no such Python file; {FORMS}")
    _make_importable(path.parent)
    found = importlib.util.spec_from_file_location(f"encoder_{path.stem}", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[module.__name__] = module  # dataclasses look for their own module there
    try:
        found.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path}: cannot be imported ({one_line(error)}); fix the file") from error
    return module


def _import_module(spec: str, name: str, folder: Path) -> ModuleType:
    missing = f"--encoder {spec}: no module '{name}' in {folder} or among the installed packages; {FORMS}"
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(missing)
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise InputError(missing) from None
        raise InputError(f"module '{name}': cannot be imported ({one_line(error)}); fix it") from error


def _instance(path: Path, name: str, make: Callable[..., Any], **given: str) -> Any:
    try:
        return make(**given)
    except Exception as error:
        needs = "a local checkpoint with --weights" if path.stem == s3prl_upstreams.MODULE else "no arguments"
        raise InputError(f"{path}: {name}() cannot be made ({one_line(error)}); let it need {needs}") from error
