"""The one look of all figures: sizes, fonts, colours and marks, and files that repeat byte for byte.

Colours start from M. Okabe and K. Ito's set (https://jfly.uni-koeln.de/color/), which stays apart under the
common kinds of colour blindness. No two things are told apart by colour alone: curves also differ in their
dashes, phonemes in their marks.
"""

import re
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from lvm_probe.models.io.files import write_atomically
from lvm_probe.probing.corpora.phones import TIMIT48, TIMIT61, Manner, manner

ONE_COLUMN = 3.4
"""Width of a figure in one column of a page, in inches."""

TWO_COLUMNS = 7.0
"""Width of a figure across both columns, in inches."""

DPI = 200
"""Of PNG files."""

SMALL, NORMAL = 6.0, 7.0
"""Font sizes in points."""

GREY = "#767676"
"""Of what is neither a feature nor a phoneme: majority lines, leaders, silence."""

_MARGIN = 0.05  # inches between text and the edge of the figure

LineStyle = str | tuple[float, tuple[float, ...]]

_RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that every machine draws the same
    "font.size": NORMAL,
    "axes.titlesize": NORMAL,
    "axes.labelsize": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
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

# matplotlib's settings belong to the whole process; threads (of the explorer) take turns.
_TURN = threading.RLock()


@contextmanager
def applied() -> Iterator[None]:
    """The style inside this block, whatever the user's settings; those are back after it."""
    with _TURN, mpl.rc_context():
        mpl.rcdefaults()
        for key, value in _RC.items():
            mpl.rcParams[key] = value
        yield


class FeatureLook(NamedTuple):
    """How curves of a feature look."""

    colour: str
    linestyle: LineStyle
    label: str


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
}
_SPARE_COLOURS = ("#4C4C4C", "#7A5195", "#2F6B3A", "#A05A2C", "#1F5F8B", "#9E2A4B")
_SPARE_DASHES: tuple[LineStyle, ...] = (
    (0, (4.0, 1.2, 1.0, 1.2, 1.0, 1.2)),
    (0, (6.0, 2.2)),
    (0, (2.0, 1.0)),
    (0, (8.0, 1.2, 1.0, 1.2)),
    (0, (3.0, 1.0, 1.5, 1.0)),
)


def feature_look(name: str) -> FeatureLook:
    """Colour, line style and label of a feature, the same in every figure.

    A variant of a known feature (`z1_logms`, `z1_untrained`) keeps its hue, paler and with dashes of its own.
    Other names get a look that depends on nothing but the name.
    """
    if name in _FEATURES:
        colour, linestyle, _ = _FEATURES[name]
        return FeatureLook(colour, linestyle, "Mel" if name == "mel" else name)
    base, variant = _variant(name)
    dashes = _SPARE_DASHES[zlib.crc32(name.encode()) % len(_SPARE_DASHES)]
    if variant:
        said = name if "+" in name else f"{feature_look(base).label} {variant}"
        return FeatureLook(blend(_FEATURES[base][0], "white", 0.35), dashes, said.replace("_", " "))
    return FeatureLook(_SPARE_COLOURS[zlib.crc32(name.encode()) // 7 % len(_SPARE_COLOURS)], dashes, name)


def _variant(name: str) -> tuple[str, str]:
    """The known feature that a name varies and what it adds: `z1`, `logms` of `z1_logms`; else the name and nothing."""
    joined = "+".join(part.partition("_")[0] for part in name.split("+"))  # z1+z2 of z1_logms+z2
    for base in (joined, name.partition("_")[0]):
        if base in _FEATURES and base != name:
            return base, name.partition("_")[2]
    return name, ""


def feature_marker(name: str) -> str:
    """The feature's mark, for points and sparse curves."""
    return _FEATURES.get(_variant(name)[0], ("", "", "*"))[2]


def feature_order(names: Iterable[str]) -> list[str]:
    """Distinct names in the order of the table above, each followed by its variants; then all others."""
    known = list(_FEATURES)

    def place(name: str) -> tuple[int, str]:
        base, _ = _variant(name)
        return (known.index(base) if base in known else len(known), name)

    return sorted(set(names), key=place)


class PhoneLook(NamedTuple):
    """How points of a phoneme look. `group` is its manner of articulation, or `other` for unknown labels."""

    colour: str
    marker: str
    filled: bool
    group: Manner | str


# Per manner the colours at both ends, and the labels between them, related ones side by side.
_MANNERS: dict[Manner, tuple[str, str, str]] = {
    "stop": ("#07306E", "#3E8ACB", "p b t d k g dx q"),
    "closure": ("#4E9BD1", "#9CCBEA", "pcl bcl tcl dcl kcl gcl cl vcl"),
    "affricate": ("#003F3A", "#006A5E", "ch jh"),
    "fricative": ("#00785A", "#5CC9A0", "s z sh zh f v th dh"),
    "nasal": ("#6A1B78", "#CF95D6", "m em n en nx ng eng"),
    "semivowel": ("#7C5E00", "#D9B526", "l el r w y hh hv"),
    "vowel": ("#7A0C2E", "#FF9E57", "iy ih ix ey eh ae ay aa aw ao oy ow uh uw ux er axr ah ax ax-h"),
    "silence": ("#5A5A5A", "#B0B0B0", "h# pau epi sil"),
}
_SHAPES = "osD^vPXd<*>p"


def phone_look(label: str) -> PhoneLook:
    """Colour and mark of one phoneme (or any other label), the same in every figure."""
    return phone_looks([label])[label]


def phone_looks(labels: Iterable[str]) -> dict[str, PhoneLook]:
    """Colour and mark of every distinct label, in the order of a legend: by manner, related ones together.

    TIMIT's labels (61, 48, 39) always look the same. Labels outside them (other alphabets, genders) follow
    as group `other`, told apart from each other by their order.
    """
    wanted = set(labels)
    looks: dict[str, PhoneLook] = {}
    for turn, (group, (dark, light, members)) in enumerate(_MANNERS.items()):
        order = members.split()
        for i, label in enumerate(order):
            if label in wanted:
                colour = blend(dark, light, i / (len(order) - 1))
                looks[label] = _phone_look(i, 2 * turn, colour, group)
    others = sorted(wanted - looks.keys())
    for i, label in enumerate(others):
        looks[label] = _phone_look(i, 0, list(_FEATURES.values())[i % len(_FEATURES)][0], "other")
    return looks


def _phone_look(i: int, first: int, colour: str, group: str) -> PhoneLook:
    """The i-th mark of a class whose marks begin at `first`: all shapes filled, then all of them open."""
    return PhoneLook(colour, _SHAPES[(first + i) % len(_SHAPES)], i // len(_SHAPES) % 2 == 0, group)


class GenderLook(NamedTuple):
    """How curves and marks of a gender look, and what they are called."""

    colour: str
    linestyle: LineStyle
    marker: str
    label: str


_GENDERS = {
    "F": GenderLook("#7B2D7E", "solid", "o", "women"),
    "M": GenderLook("#C79400", (0, (4.0, 1.4)), "^", "men"),
}
_ORDERED = ("#2D1160", "#F8765C")
_ORDERED_SHAPES = "osDv^P"


def gender_look(gender: str) -> GenderLook:
    """Colour, line style, mark and name of a gender, dark and light in grey; an unknown one is grey."""
    return _GENDERS.get(gender, GenderLook(GREY, (0, (1.5, 1.0)), "s", gender))


def ordered_looks(labels: Iterable[str]) -> dict[str, PhoneLook]:
    """Looks of classes that are intervals of a number (`<175`, `175-185`, `>185`), ascending, from dark to light."""

    def place(label: str) -> tuple[bool, float, str]:
        number = re.search(r"\d+(\.\d+)?", label)
        return not label.startswith("<"), float(number[0]) if number else 0.0, label

    ascending = sorted(set(labels), key=place)
    looks = {}
    for i, label in enumerate(ascending):
        colour = blend(*_ORDERED, i / max(len(ascending) - 1, 1))
        marker = _ORDERED_SHAPES[i % len(_ORDERED_SHAPES)]
        looks[label] = PhoneLook(colour, marker, i < len(_ORDERED_SHAPES), "other")
    return looks


def check_phone_table() -> None:
    """Raise ValueError unless every TIMIT label stands once in the table above, under its own manner."""
    listed = [(label, group) for group, (_, _, labels) in _MANNERS.items() for label in labels.split()]
    if {label for label, _ in listed} != TIMIT61 | TIMIT48 or len(listed) != len(TIMIT61 | TIMIT48):
        raise ValueError("the table of phoneme looks lacks or repeats a label")
    if wrong := [label for label, group in listed if manner(label) != group]:
        raise ValueError(f"{wrong} stand under another manner than their own")


def blend(one: str, other: str, share: float) -> str:
    """The colour at `share` (0 to 1) of the way from one to the other."""
    (r, g, b), (to_r, to_g, to_b) = to_rgb(one), to_rgb(other)
    return to_hex((r + share * (to_r - r), g + share * (to_g - g), b + share * (to_b - b)))


def axes_in(fig: Figure, left: float, bottom: float, width: float, height: float, **kwargs: Any) -> Axes:
    """Axes at a place in inches from the lower left corner of the figure."""
    across, up = fig.get_size_inches()
    return fig.add_axes((left / across, bottom / up, width / across, height / up), **kwargs)


def grid(n: int, *, per_row: int, tall: float, foot: float, between: float = 0.42) -> tuple[Figure, list[Axes]]:
    """A figure across both columns with n axes in rows, filled from the upper left; room for titles and ticks.

    Args:
        n: how many.
        per_row: side by side at most; fewer axes are wider.
        tall: height of the axes, in inches, at most 1.02 of their width.
        foot: what to leave free below all, in inches.
        between: axes of one row, in inches.
    """
    left, right, below, head = 0.38, 0.06, 0.34, 0.22
    columns = min(n, per_row)
    rows = -(-n // columns)
    across = (TWO_COLUMNS - left - right - between * (columns - 1)) / columns
    tall = min(tall, 1.02 * across)
    fig = Figure(figsize=(TWO_COLUMNS, foot + rows * (below + tall + head)), dpi=DPI)
    places = [divmod(i, columns) for i in range(n)]
    return fig, [
        axes_in(
            fig,
            left + column * (across + between),
            foot + (rows - 1 - row) * (below + tall + head) + below,
            across,
            tall,
        )
        for row, column in places
    ]


def renderer(fig: Figure) -> RendererAgg:
    """What measures text of this figure, in pixels at the figure's dpi."""
    canvas = fig.canvas if isinstance(fig.canvas, FigureCanvasAgg) else FigureCanvasAgg(fig)
    return canvas.get_renderer()


def text_width(text: str, size: float) -> float:
    """Width of a line of text at this font size, in inches."""
    with applied():
        fig = Figure(dpi=DPI)
        return fig.text(0, 0, text, fontsize=size).get_window_extent(renderer(fig)).width / DPI


def wrapped(text: str, width: float, size: float) -> str:
    """The text broken between words into lines of at most `width` inches at this font size."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def foot(fig: Figure, text: str) -> None:
    """Write wrapped text along the lower edge, where `foot_height` of it was left free."""
    across, up = fig.get_size_inches()
    fig.text(_MARGIN / across, _MARGIN / up, text, fontsize=SMALL, va="bottom", linespacing=1.15, color="#333333")


def foot_height(text: str) -> float:
    """Height in inches of what `foot` writes, with its margin."""
    return _MARGIN + 0.115 * (text.count("\n") + 1) if text else 0.0


def save(fig: Figure, path_stem: str | Path) -> list[Path]:
    """Write the figure as `path_stem`.pdf, .svg and .png, each whole or not at all; folders are made.

    The same figure gives the same bytes on every run: nothing in the files tells the time.

    Raises:
        InputError: the folder cannot be written to.
    """
    paths = {kind: beside(path_stem, kind) for kind in _UNSAID}
    for kind, path in paths.items():
        with write_atomically(path) as temporary:
            _write(fig, temporary, kind)
    return list(paths.values())


def pdf(fig: Figure) -> bytes:
    """The figure as a PDF file's bytes."""
    file = BytesIO()
    _write(fig, file, "pdf")
    return file.getvalue()


_UNSAID = {"pdf": ("CreationDate", "Creator", "Producer"), "svg": ("Date", "Creator"), "png": ("Software",)}


def _write(fig: Figure, file: Path | BytesIO, kind: str) -> None:
    with applied():
        fig.savefig(file, format=kind, dpi=DPI, metadata=dict.fromkeys(_UNSAID[kind]))


def beside(path_stem: str | Path, kind: str) -> Path:
    """The stem with an ending; a dot inside the stem's name stays."""
    stem = Path(path_stem)
    return stem.with_name(f"{stem.name}.{kind}")
