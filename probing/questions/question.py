"""A question to a token table: what to predict, by which method, and how tokens are held out."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args

from lvm_probe import InputError
from lvm_probe.probing.corpora.phones import LabelSet, PhoneClass, PhoneSet
from lvm_probe.probing.features.feature import Feature, default_features

if TYPE_CHECKING:
    from lvm_probe.analysis import predictions
    from lvm_probe.analysis.shrinkage import Shrinkage
    from lvm_probe.probing.features.token_table import TokenTable

Target = Literal[
    "phoneme", "manner", "place", "voicing", "vowel-height", "vowel-backness", "word", "gender", "height", "height-cm",
    "age", "dialect", "speaker",
    "f0", "voiced", "intensity", "f1", "f2", "f3", "tilt", "centroid", "duration",
]  # fmt: skip
Method = Literal["knn", "lda", "logistic", "mdl", "ridge", "abx"]
Protocol = Literal[
    "paper", "nested", "utterance", "speaker", "speaker+prompt", "transfer", "within", "across", "across+prompt"
]
RowUnit = Literal["frame", "token", "utterance", "speaker"]
Normalise = Literal["none", "speaker", "utterance"]
Concept = Literal["speaker", "gender", "phoneme"]
Distance = Literal["cosine", "euclidean"]

PHONE_CLASSES: tuple[PhoneClass, ...] = get_args(PhoneClass)
PHONEME_TARGETS: tuple[Target, ...] = ("phoneme", *PHONE_CLASSES)
TOKEN_CLASSES: tuple[Target, ...] = (*PHONEME_TARGETS, "word")
UNITS: dict[Target, str] = {
    "height-cm": "cm", "age": "years", "f0": "semitones", "voiced": "%", "intensity": "dB", "f1": "Hz", "f2": "Hz",
    "f3": "Hz", "tilt": "dB/octave", "centroid": "Hz", "duration": "ms",
}  # fmt: skip
"""The targets that are numbers, with their units. Pitch is in semitones, for an octave is as wide for every voice."""
TOKEN_MEASURES: tuple[Target, ...] = tuple(target for target in UNITS if target not in ("height-cm", "age"))
TOKEN_TARGETS: tuple[Target, ...] = (*TOKEN_CLASSES, *TOKEN_MEASURES)
SPEAKER_ATTRIBUTES: tuple[Target, ...] = ("gender", "height", "height-cm", "age", "dialect")
CLASS_TARGETS: tuple[Target, ...] = (*TOKEN_CLASSES, "gender", "height", "dialect", "speaker")
TARGETS: tuple[Target, ...] = get_args(Target)

TARGETS_OF: dict[Method, tuple[Target, ...]] = {
    "knn": CLASS_TARGETS,
    "lda": CLASS_TARGETS,
    "logistic": CLASS_TARGETS,
    "mdl": CLASS_TARGETS,
    "ridge": tuple(UNITS),
    "abx": TOKEN_CLASSES,
}
"""What each method can predict."""

PROTOCOLS: tuple[Protocol, ...] = ("paper", "nested", "utterance", "speaker", "speaker+prompt", "transfer")
PROTOCOLS_OF: dict[Method, tuple[Protocol, ...]] = {
    "knn": PROTOCOLS,
    "lda": PROTOCOLS,
    "logistic": PROTOCOLS,
    "mdl": ("nested", "utterance", "speaker", "speaker+prompt"),
    "ridge": ("paper", "nested", "utterance", "speaker"),
    "abx": ("within", "across", "across+prompt"),
}

ABX_PROTOCOLS: tuple[Protocol, ...] = ("within", "across")
"""Those that `probe abx` compares where none is given."""

HEIGHT_EDGES = (175.0, 185.0)
"""Three classes: below 175 cm, 175 to 185 cm, above (Havtorn et al. 2022, section 3.2)."""

DEFAULT_LDA_DIMS = 5
MAX_K = 50
"""Discriminants and numbers of neighbours where none are given, or fewer where the tokens allow no more."""

REPORTED_K = 5
"""The k of the sentences about an answer: fixed beforehand, so that no result chooses it."""

_METHODS_WITH: dict[str, tuple[Method, ...]] = {
    "lda_dims": ("knn",),
    "ks": ("knn",),
    "shrinkage": ("knn", "lda"),
    "control": ("knn", "lda", "logistic", "mdl"),
    "match_dims": ("knn", "lda", "logistic", "mdl", "ridge"),
    "permutations": ("knn", "lda", "logistic", "mdl", "ridge"),
    "orders": ("mdl",),
    "erase": ("knn", "lda", "logistic", "mdl"),
    "rows": ("knn", "lda", "logistic", "mdl", "ridge"),
    "distance": ("abx",),
}
_TARGETS_WITH: dict[str, tuple[Target, ...]] = {
    "phones": PHONEME_TARGETS,
    "phone_set": PHONEME_TARGETS,
    "min_count": TOKEN_CLASSES,
    "height_edges": ("height",),
    "rows": tuple(target for target in TARGETS if target != "word"),
}
_KNOWN: dict[str, tuple[str, ...]] = {
    "target": TARGETS,
    "method": get_args(Method),
    "protocol": get_args(Protocol),
    "rows": get_args(RowUnit),
    "gender": ("F", "M"),
    "phones": get_args(PhoneSet),
    "phone_set": get_args(LabelSet),
    "normalise": get_args(Normalise),
    "erase": get_args(Concept),
    "distance": get_args(Distance),
}
ROWS: dict[str, type | UnionType] = {
    "rows": str, "speakers": str | tuple, "gender": str, "phones": str, "phone_set": str, "keep_sa": bool,
    "keep_silence": bool, "keep_closures": bool, "min_count": int, "height_edges": tuple,
    "context": bool,
}  # fmt: skip
"""Fields of `Question` that say which rows are asked, and whether with their context, by every method alike."""

_COUNTS = ("min_count", "lda_dims", "match_dims", "permutations", "control", "orders", "seed")


def _number(field: str, value: Any, *, whole: bool = False) -> Any:
    try:
        return operator.index(value) if whole else float(value)
    except (TypeError, ValueError):
        raise InputError(f"{field}: {value!r} is not a {'whole ' * whole}number; give one") from None


def uses(method: Method, field: str) -> bool:
    """Whether questions by this method use a field of `Question`, for one of their targets at least."""
    targets = _TARGETS_WITH.get(field, TARGETS)
    return method in _METHODS_WITH.get(field, (method,)) and not set(targets).isdisjoint(TARGETS_OF[method])


def default_protocol(target: Target, method: Method = "knn") -> Protocol:
    """The protocol that holds out what would give the answer away.

    Whole utterances for phonemes, their classes and measures, which are asked of one speaker at a time, and for the
    speaker's identity; whole speakers for attributes of speakers. For words the prompt too, for in a sentence that
    another speaker has read, the place of a word alone gives it away.
    """
    if method == "abx":
        return "within"
    if target == "word":
        return "speaker+prompt"
    return "utterance" if target in (*PHONEME_TARGETS, *TOKEN_MEASURES, "speaker") else "speaker"


def analysis_protocol(protocol: Protocol | None) -> predictions.Protocol:
    """What `analysis` calls a protocol: to hold out utterances or speakers is to hold out groups."""
    match protocol:
        case "paper" | "nested":
            return protocol
        case "utterance" | "speaker" | "speaker+prompt":
            return "grouped"
        case "transfer":
            return "transfer"
    raise InputError(f"protocol {protocol} holds nothing out; choose one of {', '.join(PROTOCOLS)}")


@dataclass(frozen=True)
class Question:
    """What to ask of a token table.

    Fields that the target or the method does not use are refused unless they keep their default, so that nothing is
    silently ignored.

    Args:
        target: what to predict. `height` is in classes; those of `UNITS` are numbers.
        method: `knn` (k nearest neighbours among linear discriminants), `lda`, `logistic`, `mdl` (online code length by
            logistic regression), `ridge` (numbers) or `abx`.
        protocol: how tokens are held out; None takes the target's default. `paper`: nothing (leaks). `nested`: each
            row alone. `utterance`: whole utterances. `speaker`: whole speakers. `speaker+prompt`: whole speakers, and
            the sentence that is judged is not trained on as read by others. `transfer`, of questions with a test table
            only: all of that table. ABX compares `within` a speaker, `across`
            speakers, or across speakers and prompts (`across+prompt`).
        rows: what one row is: of tokens' targets the `token` (None) or a `frame`, whose class is that of the phone in
            its middle; of attributes of speakers also the mean over an `utterance` or a `speaker`, and None a speaker
            under `speaker`, an utterance otherwise.
        speakers: only these; none means all.
        gender: only speakers of this gender, F or M.
        phones: fold TIMIT's or ARPAbet labels to this set; `arpabet` is without stress. None takes them as they are.
        phone_set: what the phone labels are written in; None recognises it.
        keep_sa: keep TIMIT's two dialect sentences, which all speakers read.
        keep_silence: keep silences among the phonemes.
        keep_closures: keep TIMIT's closures.
        min_count: drop labels with fewer tokens; None: 5 for words, 1 otherwise.
        height_edges: where the classes of the target `height` meet, in cm.
        features: features to ask for; none means those of `default_features`.
        lda_dims: linear discriminants kept for nearest neighbours; 0 uses the features as they are; None: 5, or as
            many as there are.
        ks: numbers of neighbours; None: 1 to 50, or as many as there are.
        shrinkage: of the covariance within classes: `ledoit-wolf`, `none`, or from 0 to 1. `paper` never shrinks.
        match_dims: reduce every feature to so many principal components, fitted inside the fold; 0: to the size of
            the smallest feature.
        context: ask every feature together with its context, the columns that end in `_before` and `_after`.
        normalise: centre and scale features over each speaker's or utterance's own rows first. It uses no labels.
            Numbers of tokens are then differences from the mean over the same rows.
        erase: erase a concept from the features inside the fold, by LEACE (Belrose et al. 2023): what tells the
            `speaker`, the `gender`, or the `phoneme` as it is labelled.
        distance: between tokens, for ABX.
        permutations: of the labels, for the null; None takes `default_permutations`.
        control: number of control tasks (Hewitt and Liang 2019).
        orders: random orders of utterances, speakers or rows that a code length is the mean of.
        seed: of everything random.

    Raises:
        InputError: an unknown name, a number out of range, or a combination that makes no sense.

    Example:
        >>> Question(target="gender", features=("z1", "z1+z2")).protocol
        'speaker'
    """

    target: Target = "phoneme"
    method: Method = "knn"
    protocol: Protocol | None = None
    rows: RowUnit | None = None
    speakers: Sequence[str] = ()
    gender: str | None = None
    phones: PhoneSet | None = None
    phone_set: LabelSet | None = None
    keep_sa: bool = True
    keep_silence: bool = False
    keep_closures: bool = True
    min_count: int | None = None
    height_edges: Sequence[float] = HEIGHT_EDGES
    features: Sequence[str | Feature] = ()
    lda_dims: int | None = None
    ks: Sequence[int] | None = None
    shrinkage: Shrinkage = "ledoit-wolf"
    match_dims: int | None = None
    context: bool = False
    normalise: Normalise = "none"
    erase: Concept | None = None
    distance: Distance = "cosine"
    permutations: int | None = None
    control: int = 0
    orders: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_names()
        self._normalise_fields()
        self._check_numbers()
        self._check_used()
        self._check_protocol()

    def _check_names(self) -> None:
        for name, known in _KNOWN.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise InputError(f"{name} is {value!r}; choose one of {', '.join(known)}")

    def _normalise_fields(self) -> None:
        """Give every field one form: a single name or number becomes a tuple, a feature's name a `Feature`."""

        def several(value: Any) -> tuple[Any, ...]:
            return (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)

        own = object.__setattr__
        own(self, "protocol", self.protocol or default_protocol(self.target, self.method))
        own(self, "speakers", several(self.speakers))
        own(self, "features", tuple(dict.fromkeys(map(Feature.parse, several(self.features)))))
        own(self, "height_edges", tuple(sorted(_number("height_edges", edge) for edge in several(self.height_edges))))
        if self.ks is not None:
            own(self, "ks", tuple(_number("ks", k, whole=True) for k in several(self.ks)))
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _COUNTS and (value is not None or field.default is not None):
                own(self, field.name, _number(field.name, value, whole=True))

    def _check_numbers(self) -> None:
        for name in _COUNTS:
            if (value := getattr(self, name)) is not None and value < 0:
                raise InputError(f"{name} is {value}; give 0 or more")
        if self.orders < 1:
            raise InputError(f"orders is {self.orders}; give 1 or more")
        if self.ks is not None and (not self.ks or min(self.ks) < 1):
            raise InputError(f"ks are {list(self.ks)}; give one number of neighbours or more, each 1 or more")
        edges = self.height_edges
        if not edges or len(set(edges)) < len(edges) or not all(50 < edge < 300 for edge in edges):
            raise InputError("height_edges: give one height in cm or more, all different, such as 175,185")
        if self.shrinkage not in ("ledoit-wolf", "none") and not (
            isinstance(self.shrinkage, int | float) and 0 <= self.shrinkage <= 1
        ):
            raise InputError(f"shrinkage is {self.shrinkage!r}; give ledoit-wolf, none, or a number from 0 to 1")

    def _check_used(self) -> None:
        """Refuse what the method cannot do, and fields that it would ignore."""
        if self.target not in TARGETS_OF[self.method]:
            others = [method for method, targets in TARGETS_OF.items() if self.target in targets]
            hints = {"height-cm": ", or predict its classes with the target height", "voicing": ", or predict voiced"}
            raise InputError(
                f"method {self.method} cannot predict {self.target}, only {', '.join(TARGETS_OF[self.method])}; "
                f"for {self.target} use {' or '.join(others)}{hints.get(self.target, '')}"
            )
        if self.protocol not in PROTOCOLS_OF[self.method]:
            raise InputError(
                f"method {self.method} has no protocol {self.protocol}; choose {' or '.join(PROTOCOLS_OF[self.method])}"
            )
        for field in fields(self):
            if getattr(self, field.name) == field.default:
                continue
            for what, mine, users in (
                ("methods", self.method, _METHODS_WITH.get(field.name)),
                ("targets", self.target, _TARGETS_WITH.get(field.name)),
            ):
                if users is not None and mine not in users:
                    known = ", ".join(users)
                    raise InputError(f"{field.name}: only for the {what} {known}, not for {mine}; leave it out")

        if self.phone_set is not None and self.target == "phoneme" and self.phones is None:
            raise InputError(
                "phone_set: phonemes that are not folded need none; leave it out, or fold them with phones"
            )

    def _check_protocol(self) -> None:
        if self.target in TOKEN_TARGETS and self.rows in ("utterance", "speaker"):
            raise InputError(f"rows: {self.target} differs from token to token; leave rows out, or give frame")
        if self.rows == "frame" and self.target == "duration":
            raise InputError("rows: all frames are equally long; leave rows out for the target duration")
        if self.rows == "frame" and self.protocol in ("paper", "nested"):
            raise InputError(
                f"protocol {self.protocol} trains on the frames next to the one that it judges, which are much the "
                "same; use utterance or speaker"
            )
        if self.target in TOKEN_MEASURES and self.protocol in ("paper", "nested"):
            raise InputError(
                f"protocol {self.protocol} is not for {self.target}, of which neighbouring tokens have much the same; "
                "use utterance or speaker"
            )
        if self.protocol == "speaker+prompt" and self.target not in TOKEN_CLASSES:
            raise InputError(
                f"protocol speaker+prompt is for {', '.join(TOKEN_CLASSES)}, not for {self.target}, which sentences do "
                "not give away; use speaker"
            )
        if self.protocol == "transfer" and (self.target == "speaker" or self.speakers or self.control):
            what = "target: speaker" if self.target == "speaker" else "speakers" if self.speakers else "control"
            raise InputError(f"{what}: not where the speakers of another table are judged; leave it out")
        if self.target == "speaker" and self.protocol == "speaker":
            raise InputError(
                "protocol speaker holds out the very speaker that is to be recognised; use nested or utterance"
            )
        if self.target in SPEAKER_ATTRIBUTES and self.protocol == "utterance":
            raise InputError(
                f"protocol utterance would train on other utterances of the speaker, who has the same {self.target} in "
                "all of them; use speaker"
            )
        if self.row_unit == "speaker" and self.target == "speaker":
            raise InputError("rows: with one row per speaker none could be recognised; use utterance or token")
        if self.row_unit == "speaker" and self.protocol == "nested":
            raise InputError("rows: with one row per speaker, nested is the protocol speaker; use that")
        if self.normalise != "none" and self.row_unit not in ("token", "frame"):
            raise InputError(
                f"normalise: over each {self.normalise}'s rows it removes what tells {self.row_unit}s apart; "
                f"leave it out for the target {self.target}"
            )

        if self.erase is not None:
            self._check_erasure(self.erase)

    def _check_erasure(self, concept: Concept) -> None:
        """Refuse to erase what rows do not have or what is the same for all that are judged together."""
        if self.one_speaker_at_a_time and concept != "phoneme":
            raise InputError(
                f"erase: under {self.protocol} each speaker is asked alone, so there is no {concept} to erase; use "
                "protocol='speaker'"
            )
        if concept == "speaker" and self.row_unit == "speaker":
            raise InputError("erase: with one row per speaker nothing would be left; use rows='utterance' or 'token'")
        if concept == "phoneme" and self.target == "word":
            raise InputError("erase: a word is no phoneme; erase the speaker or the gender")
        if concept == "phoneme" and self.row_unit != "token":
            raise InputError(
                f"erase: a row that is the mean over a{'n' * (self.row_unit == 'utterance')} {self.row_unit} has no "
                "phoneme; use rows='token'"
            )

    @property
    def row_unit(self) -> RowUnit:
        """What one row stands for."""
        if self.rows is not None:
            return self.rows
        if self.target in TOKEN_TARGETS:
            return "token"
        return "speaker" if self.protocol in ("speaker", "transfer") else "utterance"

    @property
    def one_speaker_at_a_time(self) -> bool:
        """Whether each speaker's rows are judged by that speaker's other rows only."""
        return self.target in TOKEN_TARGETS and self.protocol in ("paper", "nested", "utterance")

    @property
    def default_permutations(self) -> int:
        """Permutations of the null where none are given: the fewer, the more rows each of them judges.

        100 where a row is a speaker, 10 for utterances, 5 for tokens. Fewer where each takes many fits: 20 and 2 for
        logistic regression and code lengths, and 2 for tokens under `nested` with LDA, which fits for every token.
        Ridge regression fits all of them at once, so 20 for tokens too.
        """
        match self.row_unit:
            case "speaker":
                return 20 if self.method in ("logistic", "mdl") else 100
            case "utterance":
                return 10
            case "token" | "frame":
                if self.method == "ridge":
                    return 20
                refits = self.protocol == "nested" and self.method in ("knn", "lda") and self.lda_dims != 0
                return 2 if self.method in ("logistic", "mdl") or refits else 5

    def features_of(self, table: TokenTable) -> tuple[Feature, ...]:
        """The features to ask for of this table."""
        features = tuple(map(Feature.parse, self.features)) or default_features(table)
        if not features:
            known = ", ".join(table.features)
            raise InputError(f"{table.path}: neither layers of a model nor Mel; name features among {known}")
        return features
