"""A plan: what a comparison asks, in a file that is written before the answer is known."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe import InputError
from lvm_probe.models.io.files import write_atomically
from lvm_probe.probing.features.feature import Feature, usual_features
from lvm_probe.probing.features.model_identity import encoder_of
from lvm_probe.probing.questions.probe import Probe, probes_for
from lvm_probe.probing.questions.question import REPORTED_K, ROWS, TARGETS, Method, Protocol, Question, Target
from lvm_probe.probing.questions.results import COMPARED_WITH

if TYPE_CHECKING:
    from lvm_probe.probing.features.token_table import TokenTable

BASELINES = ("mel", "mfcc")
"""Features that are asked with the others wherever the table has them."""

_HEAD = """\
# What `probe compare` asks, written before the answer was known.
# The same command with this file asks what it says; whatever else is asked is marked as outside the plan.
# Comments are welcome. Keep the file under version control: answers print its date and SHA-256.
"""
_LISTS = ("features", "compared_with")


@dataclass(frozen=True)
class Plan:
    """What a comparison asks.

    Attributes:
        probes: the methods and protocols for each target.
        features: what is compared, and the baselines Mel and MFCC.
        compared_with: names of what is compared with: `Mel`, `MFCC`, `untrained`, `gender mean`.
        k: neighbours.
        lda_dims: discriminants for nearest neighbours; None: 5, or as many as there are.
        seed: of everything random.
        rows: further fields of `Question`, such as `phones`.
        table: what the table was made from, by `identity`.
        written: when, in UTC.
        beyond: a written plan, whose questions are asked too.

    Raises:
        InputError: the parts do not fit together.
    """

    probes: Mapping[Target, tuple[Probe, ...]]
    features: tuple[Feature, ...]
    compared_with: tuple[str, ...] = ()
    k: int = REPORTED_K
    lda_dims: int | None = None
    seed: int = 0
    rows: Mapping[str, Any] = field(default_factory=dict)
    table: Mapping[str, str | int] = field(default_factory=dict)
    written: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    beyond: Plan | None = None

    def __post_init__(self) -> None:
        for target, probes in self.probes.items():
            for probe in probes:
                self.question(target, probe)

    def question(self, target: Target, probe: Probe) -> Question:
        """The question of one probe. No labels are permuted: the comparison is with other features."""
        how: dict[str, Any] = {} if probe.method == "abx" else {"permutations": 0}
        if probe.method == "knn":
            how |= {"ks": self.k, "lda_dims": self.lda_dims}
        return Question(
            target, probe.method, probe.protocol, features=self.features, seed=self.seed, **how, **self.rows
        )

    @property
    def questions(self) -> list[Question]:
        """One for each target and probe; of a probe of the written plan also as it is asked there."""
        questions = []
        for target, probe in ((target, probe) for target, probes in self.probes.items() for probe in probes):
            if self.beyond is not None and probe in self.beyond.probes.get(target, ()):
                questions.append(self._as_written(target, probe))
            questions.append(self.question(target, probe))
        return list(dict.fromkeys(questions))

    def _as_written(self, target: Target, probe: Probe) -> Question:
        """The question of one probe of all features, with the settings of the written plan if there is one."""
        return replace(self.beyond or self, features=self.features).question(target, probe)

    def changes(self, question: Question) -> str:
        """The settings of a question that are not those of the written plan, such as `k=7, gender=F`."""
        written = self._as_written(question.target, Probe(question.method, question.protocol))  # type: ignore[arg-type]
        changed = {
            "k" if field.name == "ks" else field.name: getattr(question, field.name)
            for field in fields(Question)
            if getattr(question, field.name) != getattr(written, field.name)
        }
        return ", ".join(
            f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
            for name, value in changed.items()
        )

    def covers(self, question: Question, feature: str, compared_with: str) -> bool:
        """Whether the plan asks this of this feature."""
        probe = Probe(question.method, question.protocol)  # type: ignore[arg-type]  # filled in by the question
        return (
            probe in self.probes.get(question.target, ())
            and Feature.parse(feature) in self.features
            and compared_with in ("", *self.compared_with)
            and replace(self.question(question.target, probe), features=question.features) == question
        )


def features_to_compare(
    named: Sequence[str | Feature], extraction: Mapping[str, Any], columns: Collection[str]
) -> tuple[Feature, ...]:
    """The features that are named (by default each layer and the layers joined), then Mel and MFCC if there.

    Args:
        named: features, or none.
        extraction: how the table was made.
        columns: names of its features.
    """
    features = [*(map(Feature.parse, named) if named else usual_features(extraction, columns))]
    baselines = [Feature((name,)) for name in BASELINES if name in columns]
    return tuple(dict.fromkeys([f for f in features if f not in baselines] + baselines))


def make_plan(
    table: TokenTable,
    targets: Sequence[Target],
    *,
    features: Sequence[str | Feature] = (),
    methods: Sequence[Method] = (),
    protocols: Sequence[Protocol] = (),
    k: int | None = None,
    lda_dims: int | None = None,
    seed: int | None = None,
    rows: Mapping[str, Any] | None = None,
    untrained: bool = False,
    beyond: Plan | None = None,
) -> Plan:
    """Decide what to ask of a table.

    Args:
        table: the tokens.
        targets: what to predict; none: what `beyond` does, or phonemes.
        features: see `features_to_compare`.
        methods: see `probes_for`.
        protocols: see `probes_for`.
        k: see `Plan`, as the next three.
        lda_dims: None for the default, as the others.
        seed: of everything random.
        rows: further fields of `Question`.
        untrained: whether the untrained model is compared with.
        beyond: a plan that is asked too; what is not given here is as it says.

    Raises:
        InputError: a name is unknown, or the parts do not fit together.
    """
    for target in targets:
        if target not in TARGETS:
            raise InputError(f"target is {target!r}; choose one of {', '.join(TARGETS)}")
    if beyond is None:
        targets = targets or ("phoneme",)
        asked = features_to_compare(features, table.extraction, table.features)
    else:
        asked = tuple(dict.fromkeys([*beyond.features, *map(Feature.parse, features)]))
        targets = targets or (tuple(beyond.probes) if methods or protocols else ())
    probes = {target: probes_for(target, table, methods, protocols) for target in targets}
    for target, planned in ({} if beyond is None else beyond.probes).items():
        probes[target] = tuple(dict.fromkeys([*planned, *probes.get(target, ())]))
    for feature in asked:
        table.matrix(feature, slice(0))  # refuses what the table lacks
    there = {"baseline": not {"height-cm", "age"}.isdisjoint(probes), "untrained": untrained}
    there |= {name: Feature((name,)) in asked for name in BASELINES}
    compared_with = tuple(name for column, name in COMPARED_WITH.items() if there.get(column))
    settings: dict[str, Any] = {"k": k, "lda_dims": lda_dims, "seed": seed}
    start = Plan({}, (), table=identity(table)) if beyond is None else beyond
    return replace(
        start,
        beyond=beyond,
        probes=probes,
        features=asked,
        compared_with=compared_with,
        rows={**start.rows, **(rows or {})},
        **{name: value for name, value in settings.items() if value is not None},
    )


def identity(table: TokenTable) -> dict[str, str | int]:
    """What a table was made from: corpus and model with their fingerprints, and the settings of the draws."""
    made, encoder = table.extraction, encoder_of(table.extraction)
    known = {
        "corpus": made.get("corpus", {}).get("name"),
        "corpus_fingerprint": made.get("corpus", {}).get("fingerprint"),
        "checkpoint": made.get("checkpoint", {}).get("name"),
        "checkpoint_sha256": made.get("checkpoint", {}).get("sha256"),
        "encoder": encoder.get("name"),
        "encoder_sha256": encoder.get("sha256") or encoder.get("first_utterance_sha256"),
        "weights_sha256": encoder.get("weights_sha256"),
        **{name: made.get(name) for name in ("untrained", "estimator", "samples", "seed")},
    }
    return {name: value for name, value in known.items() if value is not None}


def check_fits(plan: Plan, path: Path, table: TokenTable, *, untrained: bool) -> None:
    """Refuse a plan that was written for another table.

    Raises:
        InputError: what differs, by name.
    """
    found = identity(table)
    for name, value in plan.table.items():
        if found.get(name) != value:
            what = name.replace("_", " ")
            raise InputError(
                f"{path}: written for a table with {what} {value}, but {table.path} has {found.get(name, 'none')}; "
                "ask the table that it was written for, or write another plan"
            )
    if missing := [part for feature in plan.features for part in feature.parts if part not in table.features]:
        raise InputError(f"{path}: asks for {missing[0]}, which {table.path} lacks; add it with `probe extract --add`")
    if "untrained" in plan.compared_with and not untrained:
        raise InputError(f"{path}: compares with the untrained model, whose table is not here; name it (untrained)")


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan as TOML, whole or not at all."""
    settings = {"k": plan.k, "lda_dims": plan.lda_dims, "seed": plan.seed}
    lines = [_HEAD, f"written = {plan.written:%Y-%m-%dT%H:%M:%SZ}"]
    lines += [f"{name} = {_toml(value)}" for name, value in settings.items() if value is not None]
    lines += [f"features = {_toml([str(feature) for feature in plan.features])}"]
    lines += [f"compared_with = {_toml(plan.compared_with)}"]
    lines += ["", "[probes] # for each target, methods with their protocols"]
    lines += [f"{target} = {_toml([probe.code for probe in probes])}" for target, probes in plan.probes.items()]
    for name, values in (("rows", plan.rows), ("table", plan.table)):
        if values := {key: value for key, value in values.items() if value is not None}:
            lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
    with write_atomically(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        InputError: it is not a plan; the message names what is wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # TOML and UTF-8
        raise InputError(f"{path}: not a plan in TOML ({error}); correct it, or give --plan a new file") from None
    try:
        return _plan(document)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _plan(document: dict[str, Any]) -> Plan:
    """A plan from the content of its file."""
    kinds: dict[str, type] = {
        "written": datetime, "k": int, "lda_dims": int, "seed": int, "features": list, "compared_with": list,
        "probes": dict, "rows": dict, "table": dict,
    }  # fmt: skip
    for name, value in document.items():
        if name not in kinds:
            raise InputError(f"unknown entry '{name}'; a plan has {', '.join(kinds)}")
        if not isinstance(value, kinds[name]) or isinstance(value, bool):
            raise InputError(f"{name} is {value!r}; write it as `probe compare --plan` does in a new file")
    for name in ("written", "features", "probes"):
        if not document.get(name):
            raise InputError(f"no entry '{name}'; write it as `probe compare --plan` does in a new file")
    probes: dict[Any, tuple[Probe, ...]] = {}
    for target, names in document["probes"].items():
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise InputError(f'probes of {target} are {names!r}; give a list such as ["knn utterance"]')
        probes[target] = tuple(map(Probe.parse, names))
    rows = {
        name: tuple(value) if isinstance(value, list) else value for name, value in document.get("rows", {}).items()
    }
    for name, value in rows.items():
        if name not in ROWS or not isinstance(value, ROWS[name]):
            raise InputError(f"rows: {name} is {value!r}; rows may have {', '.join(ROWS)}, as `Question` has them")
    lists = {name: tuple(document.get(name, ())) for name in _LISTS}
    if unknown_names := set(lists["compared_with"]) - set(COMPARED_WITH.values()):
        raise InputError(
            f"compared_with has {min(map(str, unknown_names))}; it knows {', '.join(COMPARED_WITH.values())}"
        )
    features = tuple(map(Feature.parse, lists["features"]))
    others = {name: document[name] for name in ("written", "k", "lda_dims", "seed", "table") if name in document}
    return Plan(probes, features, lists["compared_with"], rows=rows, **others)


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case int() | float():
            return repr(value)
        case _:
            return f"[{', '.join(map(_toml, value))}]"
