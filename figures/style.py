"""The style of all figures: one theme, the colours and marks of features and classes, and files that repeat.

Colours start from the palette of M. Okabe and K. Ito (https://jfly.uni-koeln.de/color/), which stays distinct under
the common kinds of colour blindness. Nothing is told apart by colour alone: curves also differ in their dashes, classes
in their marks.
"""

import re
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from lvm_probe.figures.wording import joined
from lvm_probe.models.io.files import write_atomically, write_csv
from lvm_probe.probing.corpora import phones
from lvm_probe.probing.corpora.articulation import Articulation, Backness, Height, Manner, Place, Voicing

ONE_COLUMN, TWO_COLUMNS = 3.4, 7.0
"""Widths of figures in one column of a page and across both, in inches."""

DPI = 200
"""Resolution of PNG files."""

SMALL, NORMAL = 6.0, 7.0
"""Font sizes in points."""

GREY, DARK, PALE = "#767676", "#333333", "#d4d4d4"
"""Colours of what is neither a feature nor a class: reference lines, secondary text, separators."""

LineStyle = str | tuple[float, tuple[float, ...]]

_THEME: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib, so figures do not depend on installed fonts
    "font.size": NORMAL,
    "axes.titlesize": NORMAL,
    "axes.labelsize": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 2.5,
    "ytick.major.pad": 2.0,
    "axes.labelpad": 2.0,
    "lines.linewidth": 1.3,
    "grid.linewidth": 0.4,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "path.simplify": True,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "lvm-probe",
}

# The settings of matplotlib belong to the whole process, so threads (of the explorer) take turns.
_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def theme() -> Iterator[None]:
    """Apply the theme to what matplotlib and seaborn draw inside this block, whatever the user's own settings are."""
    with _ONE_AT_A_TIME, mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_THEME)
        yield


def blend(colour: str, other: str, share: float) -> str:
    """The colour at `share` (0 to 1) of the way from one colour to another."""
    start, end = np.array(to_rgb(colour)), np.array(to_rgb(other))
    return to_hex(start + share * (end - start))


@dataclass(frozen=True)
class CurveStyle:
    """Style of the curves and marks of a feature or gender, and its name in legends."""

    colour: str
    linestyle: LineStyle
    marker: str
    label: str

    @property
    def text_colour(self) -> str:
        """The colour, dark enough for text."""
        return blend(self.colour, "black", 0.2)


_FEATURES: dict[str, tuple[str, LineStyle, str]] = {
    "z1": ("#0072B2", "solid", "o"),
    "z2": ("#D55E00", (0, (3.2, 1.3)), "s"),
    "z3": ("#B8609B", (0, (1.6, 0.9)), "v"),
    "z1+z2": ("#3B1350", (0, (7.0, 1.4)), "D"),
    "z1+z2+z3": ("#6B3F00", (0, (7.0, 1.2, 3.0, 1.2)), "h"),
    "mel": ("#14A37F", (0, (5.5, 1.1, 1.2, 1.1)), "^"),
    "h1": ("#56A8DC", (0, (4.5, 1.0, 1.0, 1.0, 1.0, 1.0)), "P"),
    "h2": ("#C98A00", (0, (2.4, 2.0)), "X"),
    "h3": ("#8C8C1A", (0, (9.0, 2.5)), "d"),
    "mfcc": ("#9E2A4B", (0, (2.0, 1.0)), "p"),
}
_LABELS = {"mel": "Mel", "mfcc": "MFCC"}
_OTHER_COLOURS = ("#4C4C4C", "#7A5195", "#2F6B3A", "#A05A2C", "#1F5F8B", "#9E2A4B")
_OTHER_DASHES: tuple[LineStyle, ...] = (
    (0, (4.0, 1.2, 1.0, 1.2, 1.0, 1.2)),
    (0, (6.0, 2.2)),
    (0, (2.0, 1.0)),
    (0, (8.0, 1.2, 1.0, 1.2)),
    (0, (3.0, 1.0, 1.5, 1.0)),
)


def feature_style(name: str) -> CurveStyle:
    """Style of a feature, the same in every figure.

    A variant of a known feature (`z1_logms`, `z1_untrained`) keeps its hue, paler and with other dashes. The style of
    any other name depends on the name alone.
    """
    if name in _FEATURES:
        return CurveStyle(*_FEATURES[name], _LABELS.get(name, name))
    base, variant = _base_and_variant(name)
    hashed = zlib.crc32(name.encode())
    dashes = _OTHER_DASHES[hashed % len(_OTHER_DASHES)]
    if not variant:
        return CurveStyle(_OTHER_COLOURS[hashed // 7 % len(_OTHER_COLOURS)], dashes, "*", name)
    known = feature_style(base)
    label = name if "+" in name else f"{known.label} {variant}"
    return CurveStyle(blend(known.colour, "white", 0.35), dashes, known.marker, label.replace("_", " "))


def _base_and_variant(name: str) -> tuple[str, str]:
    """The known feature that a name varies, and how: (`z1`, `logms`) for `z1_logms`; otherwise the name and nothing."""
    summands = "+".join(part.partition("_")[0] for part in name.split("+"))  # z1+z2 of z1_logms+z2
    for base in (summands, name.partition("_")[0]):
        if base in _FEATURES and base != name:
            return base, name.partition("_")[2]
    return name, ""


def feature_order(names: Iterable[str]) -> list[str]:
    """Distinct names in the order of `_FEATURES`, each followed by its variants; then all others."""
    known = list(_FEATURES)

    def key(name: str) -> tuple[int, str]:
        base, _ = _base_and_variant(name)
        return (known.index(base) if base in known else len(known), name)

    return sorted(set(names), key=key)


def feature_list(names: Iterable[str]) -> str:
    """The features' labels in order: `z1, z2 and Mel`."""
    return joined(feature_style(name).label for name in feature_order(names))


_GENDERS = {
    "F": CurveStyle("#7B2D7E", "solid", "o", "women"),
    "M": CurveStyle("#C79400", (0, (4.0, 1.4)), "^", "men"),
}


def gender_style(gender: str) -> CurveStyle:
    """Style of a gender: women dark and men light when printed in grey; an unknown one is grey."""
    return _GENDERS.get(gender, CurveStyle(GREY, (0, (1.5, 1.0)), "s", gender))


@dataclass(frozen=True)
class ClassStyle:
    """Style of the marks of a class. `group` is a phone's manner of articulation, and `other` for all other classes."""

    colour: str
    marker: str
    filled: bool = True
    group: Manner | str = "other"

    @property
    def text_colour(self) -> str:
        """The colour, dark enough for text."""
        return blend(self.colour, "black", 0.45)

    def paler(self, share: float) -> str:
        """The colour mixed with this share of white."""
        return blend(self.colour, "white", share)


# For every manner the colours at both ends, and TIMIT's labels between them, related ones next to each other.
_PHONES: dict[Manner, tuple[str, str, str]] = {
    "stop": ("#07306E", "#3E8ACB", "p b t d k g dx q"),
    "closure": ("#4E9BD1", "#9CCBEA", "pcl bcl tcl dcl kcl gcl cl vcl"),
    "affricate": ("#003F3A", "#006A5E", "ch jh"),
    "fricative": ("#00785A", "#5CC9A0", "s z sh zh f v th dh"),
    "nasal": ("#6A1B78", "#CF95D6", "m em n en nx ng eng"),
    "trill": ("#8C3A00", "#C4703A", ""),
    "tap": ("#B35A1F", "#E3A06A", ""),
    "click": ("#2F2F6B", "#7A7AC4", ""),
    "approximant": ("#7C5E00", "#D9B526", ""),
    "semivowel": ("#7C5E00", "#D9B526", "l el r w y hh hv"),
    "vowel": ("#7A0C2E", "#FF9E57", "iy ih ix ey eh ae ay aa aw ao oy ow uh uw ux er axr ah ax ax-h"),
    "silence": ("#5A5A5A", "#B0B0B0", "h# pau epi sil"),
}
_MARKERS = "osD^vPXd<*>p"
# Of a manner as a whole: its colour as a share of the way between the two ends, and a mark. Vowels are the most
# numerous, and open marks hide less.
_MANNERS: dict[Manner, tuple[float, str]] = {
    "stop": (2 / 7, "o"),
    "closure": (2 / 7, "s"),
    "affricate": (1, "X"),
    "fricative": (2 / 7, "^"),
    "nasal": (5 / 6, "D"),
    "trill": (0.5, "v"),
    "tap": (0.5, "<"),
    "click": (0.5, "*"),
    "approximant": (3 / 6, "P"),
    "semivowel": (3 / 6, "P"),
    "vowel": (7 / 19, "o"),
    "silence": (1 / 3, "d"),
}
_NUMBERS = ("#2D1160", "#F8765C")
_NUMBER_MARKERS = "osDv^P"
_ORDERED: dict[str, tuple[str, ...]] = {
    "place": get_args(Place),
    "voicing": get_args(Voicing),
    "vowel-height": get_args(Height),
    "vowel-backness": get_args(Backness),
}


def class_styles(by: str, labels: Iterable[str]) -> dict[str, ClassStyle]:
    """Style of every distinct class of a target, in the order of a legend.

    Args:
        by: a target of `Question` that has classes, such as `phoneme` or `gender`.
        labels: its classes.
    """
    names = sorted(set(labels))
    match by:
        case "phoneme":
            return phone_styles(names)
        case "manner":
            return manner_styles(names)
        case "gender":
            looks = {name: gender_style(name) for name in names}
            return {name: ClassStyle(look.colour, look.marker) for name, look in looks.items()}
        case "height":
            return interval_styles(names)
        case "place" | "voicing" | "vowel-height" | "vowel-backness":
            return ordered_styles(name for name in _ORDERED[by] if name in names)
        case _:
            return other_styles(names)


def phone_styles(labels: Iterable[str]) -> dict[str, ClassStyle]:
    """Style of every distinct phone label, in the order of a legend: by manner, related phones next to each other.

    TIMIT's labels (61, 48, 39) look the same in every figure, and ARPAbet's have their colours; the mark tells a
    vowel's stress. Labels in IPA are ordered and coloured by place, height and voicing within their manner. Any other
    labels follow as the group `other`.
    """
    wanted = set(labels)
    match phones.recognised(wanted):
        case "ipa":
            styles = _ipa_styles(wanted)
        case "arpabet":
            styles = _timit_styles({label: phones.timit_symbol(label) or label for label in sorted(wanted)})
        case _:
            styles = _timit_styles({label: label for label in wanted})
    return styles | other_styles(wanted - styles.keys())


def other_styles(labels: Iterable[str]) -> dict[str, ClassStyle]:
    """Style of every distinct label that is no phone, told apart by their alphabetical order."""
    colours = [colour for colour, _, _ in _FEATURES.values()]
    return {
        label: ClassStyle(colours[i % len(colours)], *_nth_marker(0, i)) for i, label in enumerate(sorted(set(labels)))
    }


def _timit_styles(symbols: Mapping[str, str]) -> dict[str, ClassStyle]:
    """Style of every label whose symbol is TIMIT's."""
    written: dict[str, list[str]] = {}
    for label, symbol in symbols.items():
        written.setdefault(symbol, []).append(label)
    styles = {}
    for turn, (group, (dark, light, members)) in enumerate(_PHONES.items()):
        order = members.split()
        for i, symbol in enumerate(order):
            for label in written.get(symbol, []):
                stress = int(label[-1]) if label[-1] in "012" else 0
                colour = blend(dark, light, i / (len(order) - 1))
                styles[label] = ClassStyle(colour, *_nth_marker(2 * turn, i + stress), group)
    return styles


def _ipa_styles(labels: Iterable[str]) -> dict[str, ClassStyle]:
    """Style of every label in IPA that is one phone, and of silences."""
    known = {label: how for label in labels if (how := phones.articulation(label, "ipa"))}
    styles: dict[str, ClassStyle] = {}
    for turn, (group, (dark, light, _)) in enumerate(_PHONES.items()):
        members = sorted((_rank(how), label) for label, how in known.items() if how.manner == group)
        for i, (_, label) in enumerate(members):
            colour = blend(dark, light, i / max(1, len(members) - 1))
            styles[label] = ClassStyle(colour, *_nth_marker(2 * turn, i), group)
    return styles


def _rank(how: Articulation) -> tuple[int, ...]:
    """Where a phone comes within its manner: by place, then height from close to open, then voicing."""
    classes = (how.place, get_args(Place)), (how.height, get_args(Height)), (how.voicing, get_args(Voicing))
    return tuple(order.index(name) if name else len(order) for name, order in classes)


def _nth_marker(first: int, i: int) -> tuple[str, bool]:
    """The i-th of a class's marks, and whether it is filled: all shapes filled, then all of them open."""
    return _MARKERS[(first + i) % len(_MARKERS)], i // len(_MARKERS) % 2 == 0


def manner_styles(manners: Iterable[str]) -> dict[str, ClassStyle]:
    """Style of every manner of articulation among these, in the order of a legend."""
    present = set(manners)
    return {
        manner: ClassStyle(blend(*_PHONES[manner][:2], share), marker, manner != "vowel", manner)
        for manner, (share, marker) in _MANNERS.items()
        if manner in present
    }


def grouped(styles: Mapping[str, ClassStyle]) -> tuple[dict[str, str], dict[str, ClassStyle]]:
    """The group of every class, and the style of every group: manners of articulation, or else the classes themselves.

    Args:
        styles: of every class.
    """
    if {look.group for look in styles.values()} <= {"other"}:
        return {label: label for label in styles}, dict(styles)
    groups = {label: str(look.group) for label, look in styles.items()}
    looks = {manner: replace(look, group="other") for manner, look in manner_styles(groups.values()).items()}
    if "other" in groups.values():
        looks["other"] = ClassStyle(GREY, "o")
    return groups, looks


def interval_styles(labels: Iterable[str]) -> dict[str, ClassStyle]:
    """Styles of classes that are intervals of a number (`<175`, `175-185`, `>185`), ascending, from dark to light."""

    def key(label: str) -> tuple[bool, float, str]:
        number = re.search(r"\d+(\.\d+)?", label)
        return not label.startswith("<"), float(number[0]) if number else 0.0, label

    return ordered_styles(sorted(set(labels), key=key))


def ordered_styles(labels: Iterable[str]) -> dict[str, ClassStyle]:
    """Styles of classes that have an order, in that order, from dark to light."""
    names = list(labels)
    shares = np.linspace(0, 1, len(names))
    return {
        label: ClassStyle(blend(*_NUMBERS, share), _NUMBER_MARKERS[i % len(_NUMBER_MARKERS)], i < len(_NUMBER_MARKERS))
        for i, (label, share) in enumerate(zip(names, shares.tolist(), strict=True))
    }


def articulation_order(labels: Iterable[str]) -> list[str]:
    """Distinct labels by manner, then by place of articulation; labels of no known phone set come last."""
    styles = phone_styles(labels)
    groups = list(dict.fromkeys(style.group for style in styles.values()))
    label_set = phones.recognised(styles) or "timit"
    places = get_args(Place)

    def key(label: str) -> tuple[int, int]:
        place = phones.phone_class(label, "place", label_set)
        return groups.index(styles[label].group), places.index(place) if place else len(places)

    return sorted(styles, key=key)


MARKS = Path(__file__).with_name("marks.js")
"""Functions in JavaScript that draw the same marks on a page."""

# Factors that make all shapes look equally large.
_AREAS = {"s": 0.85, "D": 0.75, "*": 1.9, "p": 1.2, "P": 1.2, "X": 1.2, "d": 1.15}


def draw_marks(ax: Axes, x: Any, y: Any, style: ClassStyle, *, area: float, **options: Any) -> None:
    """Draw points with the marks of their class, of this area in points squared."""
    area *= _AREAS.get(style.marker, 1.0) * (1.0 if style.filled else 0.8)
    ax.scatter(
        x, y, s=area, marker=style.marker, facecolors=style.colour if style.filled else "none",
        edgecolors="white" if style.filled else style.colour, linewidths=0.2 if style.filled else 0.7, **options,
    )  # fmt: skip


def save(fig: Figure, path_stem: str | Path) -> list[Path]:
    """Write the figure as `path_stem`.pdf, .svg and .png, each completely or not at all; folders are made.

    The same figure gives the same bytes on every run: the files hold no dates.

    Raises:
        InputError: the folder cannot be written to.
    """
    paths = {kind: beside(path_stem, kind) for kind in _OMITTED_METADATA}
    for kind, path in paths.items():
        with write_atomically(path) as temporary:
            _write(fig, temporary, kind)
    return list(paths.values())


def save_with_data(fig: Figure, data: pd.DataFrame, path_stem: str | Path) -> list[Path]:
    """As `save`, and next to the figure the table that it was drawn from, as CSV.

    Raises:
        InputError: the folder cannot be written to.
    """
    paths = [*save(fig, path_stem), beside(path_stem, "csv")]
    write_csv(paths[-1], data)
    return paths


def pdf(fig: Figure) -> bytes:
    """The figure as the bytes of a PDF file."""
    return _bytes(fig, "pdf")


def png(fig: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    return _bytes(fig, "png")


def _bytes(fig: Figure, kind: str) -> bytes:
    file = BytesIO()
    _write(fig, file, kind)
    return file.getvalue()


_OMITTED_METADATA = {"pdf": ("CreationDate", "Creator", "Producer"), "svg": ("Date", "Creator"), "png": ("Software",)}


def _write(fig: Figure, file: Path | BytesIO, kind: str) -> None:
    with theme():
        fig.savefig(file, format=kind, dpi=DPI, metadata=dict.fromkeys(_OMITTED_METADATA[kind]))


def beside(path_stem: str | Path, kind: str) -> Path:
    """The stem with an ending; a dot inside the stem's name stays."""
    stem = Path(path_stem)
    return stem.with_name(f"{stem.name}.{kind}")
