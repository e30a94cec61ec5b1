"""Phonemes in the plane of two linear discriminants: the left half of the paper's figure 3.

The paper shows the tokens that its axes were fitted to. In many dimensions those fall into clusters even when
the features know nothing, so here the axes are fitted to half of the utterances and the other half is shown.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lvm_probe import InputError
from lvm_probe.analysis.lda import checked_dims, discriminants
from lvm_probe.analysis.moments import moments, moments_without, standardised
from lvm_probe.analysis.shape_annotations import Bool, Float, Int
from lvm_probe.analysis.shrinkage import Shrinkage, checked_shrinkage, intensity
from lvm_probe.figures import style
from lvm_probe.probing.corpora.phones import NON_PHONEMES
from lvm_probe.probing.features.token_table import TokenTable, write_csv

COLUMNS = ("x", "y", "label", "held_out")

Looks = Mapping[str, style.PhoneLook]

_MARK_AREA = 10.0  # points squared
# So that all shapes look equally large.
_SHARES = {"s": 0.85, "D": 0.75, "*": 1.9, "p": 1.2, "P": 1.2, "X": 1.2, "d": 1.15}
_LEGEND_LINE = 7.6  # points
_LEGEND_COLUMN = 36.0  # points
_PER_ROW = 3  # panels side by side


def half_of_utterances(utterances: Sequence[str], *, seed: int = 0) -> Bool[np.ndarray, " tokens"]:
    """Which tokens belong to a random half of the utterances (the larger half of an odd number).

    Args:
        utterances: of every token.
        seed: of the choice.

    Raises:
        InputError: fewer than two utterances.
    """
    names = np.unique(np.asarray(utterances, dtype=str))
    if len(names) < 2:
        raise InputError("tokens of one utterance leave none to hold out; give two utterances, or fit on all")
    chosen = np.random.default_rng(seed).permutation(names)[: (len(names) + 1) // 2]
    return np.isin(np.asarray(utterances, dtype=str), chosen)


def project(
    points: Float[np.ndarray, "tokens dims"],
    labels: Sequence[str],
    fit_rows: Bool[np.ndarray, " tokens"] | Int[np.ndarray, " rows"],
    *,
    dims: int = 2,
    shrinkage: Shrinkage = "ledoit-wolf",
) -> Float[np.ndarray, "tokens axes"]:
    """All points on the leading discriminants of some of them, about the mean of those.

    The unit is the standard deviation within classes. Of either axis the end that has the farther class mean
    is positive, and of a single axis the end that has the last class, for the sign of a discriminant means nothing.

    Args:
        points: features, any unit.
        labels: class of every token.
        fit_rows: the tokens that the axes are fitted to, as a mask or as indices: of `half_of_utterances`.
        dims: how many discriminants.
        shrinkage: of the covariance within classes.

    Raises:
        InputError (of probing or analysis): values that are not finite, no more classes than `dims` or no class
            of two tokens among those fitted, or a singular covariance.
    """
    _check_points(points, labels)
    fitted = np.zeros(len(points), dtype=bool)
    fitted[fit_rows] = True
    # Classes that only the other tokens have take no part in the fit.
    classes, codes = np.unique(np.asarray(labels, dtype=str)[fitted], return_inverse=True)
    space = standardised(np.asarray(points, dtype=float))
    checked_dims(dims, len(classes), space.shape[1])
    fold = moments(space[fitted], codes, len(classes))
    axes = discriminants(fold, intensity(fold, checked_shrinkage(shrinkage)), dims)
    means = (fold.means - fold.mean) @ axes
    ends = means[-1] if dims == 1 else means[np.abs(means).argmax(axis=0), np.arange(dims)]
    return (space - fold.mean) @ (axes * np.where(ends < 0, -1.0, 1.0))


def project_held_out(
    points: Float[np.ndarray, "tokens dims"],
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    dims: int = 2,
    shrinkage: Shrinkage = "ledoit-wolf",
) -> Float[np.ndarray, "tokens axes"]:
    """Every group's points on the discriminants of all other groups, in one orientation, about the mean of all points.

    Each fold has axes of its own, in units of its standard deviation within classes. They are turned, or mirrored, so
    that the class means of the points they were fitted to lie as near as they can to those of `project` on all points:
    orthogonal Procrustes (Schönemann 1966), of one axis a matter of its sign. A fold's turn follows from the fold and
    from a target that is the same for all folds, so that no label helps to place its own point. The mean of all points
    knows no label either; about the mean of its fold, a point would appear farther from the classes that it is not of.

    Args:
        points: features, any unit.
        labels: class of every token.
        groups: what is held out together: the speaker of every token.
        dims: how many discriminants.
        shrinkage: of the covariance within classes.

    Raises:
        InputError (of probing or analysis): a class of one group, which has no place without it; or as `project`.
    """
    target_points = project(points, labels, np.ones(len(points), dtype=bool), dims=dims, shrinkage=shrinkage)
    classes, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    _, places = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    for code, name in enumerate(classes):
        if (count := len(np.unique(places[codes == code]))) < 2:
            raise InputError(
                f"class {name} has {count} speaker, and holding that one out leaves none; give two or more"
            )
    target = np.array([target_points[codes == code].mean(axis=0) for code in range(len(classes))])
    space = standardised(np.asarray(points, dtype=float))  # so that the mean of all points is 0
    folds = [np.flatnonzero(places == place) for place in range(places.max() + 1)]
    at = np.empty_like(target_points)
    for some, fold in moments_without(space, codes, len(classes), folds):
        axes = discriminants(fold, intensity(fold, checked_shrinkage(shrinkage)), dims)
        left, _, right = np.linalg.svd((fold.means @ axes).mT @ target)
        for rows, turned in zip(some, axes @ left @ right, strict=True):
            at[rows] = space[rows] @ turned
    return at


def _check_points(points: np.ndarray, labels: Sequence[str]) -> None:
    if len(points) != len(labels):
        raise InputError(f"{len(points)} points, but {len(labels)} labels; give one label a point")
    if not np.isfinite(points).all():
        raise InputError("points hold NaN or infinity; extract the features again")


def prepare(
    points: Float[np.ndarray, "tokens dims"],
    labels: Sequence[str],
    utterances: Sequence[str],
    *,
    fit: Literal["half", "all"] = "half",
    shrinkage: Shrinkage = "ledoit-wolf",
    seed: int = 0,
) -> pd.DataFrame:
    """The table that `draw` wants: x, y, label, held_out, one row per token.

    Args:
        points: features, any unit.
        labels: class of every token.
        utterances: utterance of every token.
        fit: fit the axes to half of the utterances, or to all tokens as the paper does.
        shrinkage: of the covariance within classes.
        seed: of the choice of utterances.

    Raises:
        InputError (of probing or analysis): as `project` and `half_of_utterances`.
    """
    fitted = half_of_utterances(utterances, seed=seed) if fit == "half" else np.ones(len(points), dtype=bool)
    at = project(points, labels, fitted, shrinkage=shrinkage)
    return pd.DataFrame({"x": at[:, 0], "y": at[:, 1], "label": list(labels), "held_out": ~fitted})


def draw(ax: Axes, data: pd.DataFrame, *, looks: Looks | None = None, area: float = _MARK_AREA) -> None:
    """Draw tokens with the mark of their class, and each class's label at the mean of its tokens.

    Held-out tokens are drawn in full and give the means; the others are faint. Where no token is held out
    (the paper's way), all are drawn in full. Labels are pushed apart, and a thin line leads to the mean.

    Args:
        ax: where; its limits are set here, so its size must be final.
        data: columns x, y, label and held_out.
        looks: of the labels; None: as phonemes.
        area: of a mark, in points squared.

    Raises:
        InputError: columns missing, no rows, or values that are not finite.
    """
    data = _checked(data)
    full = data[data["held_out"]] if data["held_out"].any() else data
    looks = looks or style.phone_looks(data["label"])
    with style.applied():
        for label, look in looks.items():
            faint = data[(data["label"] == label) & ~data.index.isin(full.index)]
            pale = style.blend(look.colour, "white", 0.72)
            _marks(ax, faint["x"], faint["y"], look._replace(colour=pale), area=0.5 * area, zorder=1)
        for label, look in looks.items():
            shown = full[full["label"] == label]
            _marks(ax, shown["x"], shown["y"], look, area=area, zorder=2)
        for axis, low, high in (("x", data["x"].min(), data["x"].max()), ("y", data["y"].min(), data["y"].max())):
            room = 0.06 * max(high - low, 1e-6)
            ax.set(**{f"{axis}lim": (low - room, high + room)})
        for scale in (ax.xaxis, ax.yaxis):
            scale.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        ax.set_xlabel("LDA 1")
        ax.set_ylabel("LDA 2")
        _label_means(ax, full, looks)


def figure(data: pd.DataFrame, *, feature: str = "", speaker: str = "", width: float = style.ONE_COLUMN) -> Figure:
    """The scatter with its legend by manner of articulation, and a title that says what the axes were fitted to.

    Args:
        data: what `prepare` gives.
        feature: named in the title and on the axes.
        speaker: named in the title.
        width: in inches; the height follows.

    Raises:
        InputError: as `draw`.
    """
    data = _checked(data)
    looks = style.phone_looks(data["label"])
    subject = ", ".join(part for part in (style.feature_look(feature).label if feature else "", speaker) if part)
    axes = fitted_on(data)
    shown = said(data)
    rows = _legend_rows(looks)
    with style.applied():
        caption = style.wrapped(shown, width - 0.1, style.SMALL)
        title = style.wrapped(f"{subject}: {axes}" if subject else axes, width - 0.1, style.NORMAL)
        foot = style.foot_height(caption)
        head = 0.08 + 0.13 * (title.count("\n") + 1)
        left, below, right = 0.44, 0.32, 0.1 + 2 * _LEGEND_COLUMN / 72
        across = width - left - right
        tall = max(min(across * 1.08, 3.8), len(rows) * _LEGEND_LINE / 72)
        fig = Figure(figsize=(width, foot + below + tall + head), dpi=style.DPI)
        ax = style.axes_in(fig, left, foot + below, across, tall)
        draw(ax, data)
        if feature:
            ax.set_xlabel(f"LDA 1 ({style.feature_look(feature).label})")
            ax.set_ylabel(f"LDA 2 ({style.feature_look(feature).label})")
        high = fig.get_figheight()
        fig.text(0.05 / width, 1 - 0.05 / high, title, fontsize=style.NORMAL, va="top")
        style.foot(fig, caption)
        key = style.axes_in(fig, width - right + 0.08, foot + below, right - 0.08, tall)
        _draw_legend(key, rows, looks)
    return fig


def panels(
    data: pd.DataFrame,
    axes: str,
    text: str,
    *,
    looks: Looks | None = None,
    draw_one: Callable[[Axes, pd.DataFrame], None] | None = None,
) -> Figure:
    """One scatter for each feature across both columns, up to three side by side, with one legend below all.

    Args:
        data: as `prepare` gives, of several features, with the column `feature`.
        axes: to what they were fitted, for the titles.
        text: what the reader has to know, said below the panels.
        looks: of the labels; None: as phonemes, in groups by manner of articulation.
        draw_one: draws a panel; None: `draw`.

    Raises:
        InputError: as `draw`.
    """
    if "feature" not in data:
        raise InputError("points lack the column feature; give those of one feature to draw")
    data = _checked(data)
    features = style.feature_order(data["feature"])
    looks = looks or style.phone_looks(data["label"])
    wide = style.TWO_COLUMNS - 0.1
    legend = _flowing_legend(looks, 72 * wide)
    with style.applied():
        text = style.wrapped(text, wide, style.SMALL)
        key_height = (len(legend) * _LEGEND_LINE + 4) / 72
        foot = style.foot_height(text)
        fig, places = style.grid(len(features), per_row=_PER_ROW, tall=3.0, foot=foot + key_height)
        for ax, feature in zip(places, features, strict=True):
            (draw_one or draw)(ax, data[data["feature"] == feature])
            ax.set_title(f"{style.feature_look(feature).label}: {axes}", pad=4)
        _draw_flowing_legend(style.axes_in(fig, 0.05, foot, wide, key_height), legend, looks)
        style.foot(fig, text)
    return fig


def fitted_on(data: pd.DataFrame) -> str:
    """To what the axes of tokens were fitted, in words, for a title."""
    return f"axes fitted on {'other tokens' if data['held_out'].any() else 'these very tokens'}"


def said(data: pd.DataFrame) -> str:
    """What a scatter of one feature shows, in words."""
    held_out = int(data["held_out"].sum())
    full = data[data["held_out"]] if held_out else data
    text = f"{len(full):,} tokens of {full['label'].nunique()} classes. Labels mark class means."
    if held_out:
        return f"{text} Faint: the {len(data) - held_out:,} tokens that the axes were fitted on."
    return f"{text} The paper's way: axes flatter the tokens that they were fitted on."


def write(data: pd.DataFrame, path_stem: str | Path, *, feature: str = "", speaker: str = "",
          width: float = style.ONE_COLUMN) -> list[Path]:  # fmt: skip
    """Save `figure` as PDF, SVG and PNG, and beside them the points it drew as CSV."""
    paths = style.save(figure(data, feature=feature, speaker=speaker, width=width), path_stem)
    table = style.beside(path_stem, "csv")
    write_csv(table, _checked(data))
    return [*paths, table]


def draw_speaker(
    table: TokenTable, speaker: str, feature: str, path_stem: str | Path, *, fit: Literal["half", "all"] = "half"
) -> list[Path]:
    """Save the scatter of one speaker's phonemes in a feature of a token table, without the silences; with CSV.

    Args:
        table: the token table.
        speaker: its id.
        feature: one, or several joined by `+`.
        path_stem: of the files.
        fit: as `prepare`.

    Raises:
        InputError (of probing or analysis): no such tokens or feature, or as `prepare` and `style.save`.
    """
    tokens = table.tokens
    silent = tokens["label"].isin(NON_PHONEMES)
    some = ((tokens["speaker"] == speaker) & (tokens["unit"] == "phoneme") & ~silent).to_numpy()
    if not some.any():
        raise InputError(f"{table.path}: no phonemes of speaker {speaker}; name one that it has")
    own = table.select(some)
    labels, utterances = own.tokens["label"].tolist(), own.tokens["utterance"].tolist()
    data = prepare(own.matrix(feature), labels, utterances, fit=fit)
    return write(data, path_stem, feature=feature, speaker=speaker)


def _checked(data: pd.DataFrame) -> pd.DataFrame:
    if missing := [name for name in COLUMNS if name not in data]:
        raise InputError(f"points lack the columns {', '.join(missing)}; give what prepare returns")
    if data.empty or not np.isfinite(data[["x", "y"]].to_numpy(float)).all():
        raise InputError(f"{len(data)} points: none, or some are not finite; extract the features again")
    return data.assign(label=data["label"].astype(str), held_out=data["held_out"].astype(bool)).reset_index(drop=True)


def _marks(ax: Axes, x: pd.Series, y: pd.Series, look: style.PhoneLook, *, area: float, zorder: float) -> None:
    area *= _SHARES.get(look.marker, 1.0) * (1.0 if look.filled else 0.8)
    ax.scatter(x, y, s=area, marker=look.marker, facecolors=look.colour if look.filled else "none",
               edgecolors="white" if look.filled else look.colour, linewidths=0.2 if look.filled else 0.7,
               zorder=zorder)  # fmt: skip


def _label_means(ax: Axes, shown: pd.DataFrame, looks: Looks) -> None:
    fig = ax.get_figure(root=True)
    if fig is None:
        raise ValueError("these axes are in no figure")
    means = shown.groupby("label")[["x", "y"]].mean()
    measure, point = style.renderer(fig), fig.dpi / 72
    texts = [
        ax.annotate(
            label, (x, y), xytext=(0, 0), textcoords="offset points", ha="center", va="center", zorder=4,
            fontsize=style.SMALL, fontweight="bold", color=style.blend(looks[label].colour, "black", 0.45),
            bbox={"boxstyle": "square,pad=0.04", "facecolor": "white", "edgecolor": "none", "alpha": 0.6},
            arrowprops={"arrowstyle": "-", "color": style.GREY, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 0},
        )
        for label, x, y in zip(means.index.astype(str), means["x"], means["y"], strict=True)
    ]  # fmt: skip
    anchors = ax.transData.transform(means.to_numpy(float))
    boxes = [text.get_window_extent(measure) for text in texts]  # of the text; nothing is moved yet
    sizes = np.array([[box.width, box.height] for box in boxes]) + 1.4 * point
    marks = ax.transData.transform(shown[["x", "y"]].to_numpy(float))
    frame = ax.get_window_extent(measure)
    bounds = np.array([[frame.x0, frame.y0], [frame.x1, frame.y1]])
    places = spread(anchors, sizes, bounds, marks=marks, mark_size=np.sqrt(_MARK_AREA) * point)
    for text, place, anchor in zip(texts, places, anchors, strict=True):
        dx, dy = (place - anchor) / point
        text.set_position((dx, dy))
        if np.hypot(dx, dy) < style.SMALL and text.arrow_patch is not None:
            text.arrow_patch.set_visible(False)


def spread(
    anchors: Float[np.ndarray, "boxes 2"],
    sizes: Float[np.ndarray, "boxes 2"],
    bounds: Float[np.ndarray, "2 2"],
    *,
    marks: Float[np.ndarray, "marks 2"] | None = None,
    mark_size: float = 0.0,
) -> Float[np.ndarray, "boxes 2"]:
    """Centres for boxes near their anchors that do not overlap, inside the bounds, if there is room.

    Boxes that overlap push each other apart, half the overlap each, mostly along the axis that needs less. A weak
    pull towards the anchors, and a weak push off the marks, fade out halfway. Nothing here is random.

    Args:
        anchors: where each box would like its centre.
        sizes: width and height of each box.
        bounds: lower and upper corner.
        marks: centres of what the boxes had better not hide.
        mark_size: width and height of a mark.
    """
    # Boxes on the very same anchor need a direction: a spiral of a hair's breadth tells them apart.
    turn = 2.4 * np.arange(len(anchors))
    centres = anchors + 1e-3 * np.sqrt(turn)[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
    reach = (sizes[:, None] + sizes[None]) / 2
    reach[np.arange(len(reach)), np.arange(len(reach))] = 0  # a box does not push itself
    rounds = 800
    for i in range(rounds):
        wish = max(0.0, 1 - 2 * i / rounds)
        push = 0.5 * _pushes(centres, centres, reach)
        if not wish and not push.any():
            break
        push += wish * 0.04 * (anchors - centres)
        if marks is not None:
            push += wish * 0.15 * _pushes(centres, marks, (sizes[:, None] + mark_size) / 2)
        centres = np.clip(centres + push, bounds[0] + sizes / 2, bounds[1] - sizes / 2)
    return centres


def _pushes(
    centres: Float[np.ndarray, "boxes 2"],
    others: Float[np.ndarray, "others 2"],
    reach: Float[np.ndarray, "boxes #others 2"],
) -> Float[np.ndarray, "boxes 2"]:
    """The sum over the others of what moves each box off them, mostly along the axis that needs less."""
    # Two in one place (the bounds can bring that about) part by their order.
    later = np.where(np.arange(len(centres))[:, None] > np.arange(len(others)), 1.0, -1.0)
    apart = [centres[:, None, axis] - others[:, axis] for axis in (0, 1)]
    x, y = (np.clip(reach[..., axis] - np.abs(apart[axis]), 0, None) for axis in (0, 1))
    overlaps = (x > 0) & (y > 0)
    # A little along the other axis too, or full columns against the bounds would stay as they are.
    shares = (np.where(x > y, 0.1, 1.0) * x * overlaps, np.where(y > x, 0.1, 1.0) * y * overlaps)
    sides = (np.where(gap == 0, later, np.sign(gap)) for gap in apart)
    return np.column_stack([(side * share).sum(axis=1) for side, share in zip(sides, shares, strict=True)])


def _legend_rows(looks: Looks) -> list[tuple[str, str]]:
    """Rows of two columns, read down: the names of groups as `=name`, labels, and empty cells."""
    groups = list(dict.fromkeys(look.group for look in looks.values()))
    cells: list[str] = []
    starts: list[int] = []
    for group in groups:
        starts.append(len(cells))
        cells += [f"={group}"] if groups != ["other"] else []
        cells += [label for label, look in looks.items() if look.group == group]
    half = (len(cells) + 1) // 2
    nearest = min(starts, key=lambda start: abs(start - half))
    if abs(nearest - half) <= 4:  # worth it, to keep groups whole
        half = nearest
    first, second = cells[:half], cells[half:]
    length = max(len(first), len(second))
    pad = [""] * length
    return list(zip((first + pad)[:length], (second + pad)[:length], strict=True))


def _draw_legend(ax: Axes, rows: list[tuple[str, str]], looks: Looks) -> None:
    """The rows from the top of these axes downward, in points."""
    wide, tall = _in_points(ax)
    ax.set(xlim=(0, wide), ylim=(-tall, 0))
    ax.axis("off")
    for i, row in enumerate(rows):
        for column, cell in enumerate(row):
            _draw_cell(ax, column * _LEGEND_COLUMN, -(i + 0.5) * _LEGEND_LINE, cell, looks)


def _flowing_legend(looks: Looks, width: float) -> list[list[tuple[float, str]]]:
    """Lines of (place in points, cell), read across: the names of groups as `=name`, and labels.

    A group goes to the next line where it does not fit into what is left of this one; one longer than a line is
    broken between labels, and set in.
    """
    groups = list(dict.fromkeys(look.group for look in looks.values()))
    lines: list[list[tuple[float, str]]] = [[]]
    x = 0.0
    for group in groups:
        cells = [
            (label, 14.0 + 72 * style.text_width(label, style.SMALL)) for label in looks if looks[label].group == group
        ]
        if groups != ["other"]:
            cells.insert(0, (f"={group}", 6.0 + 72 * style.text_width(group, style.SMALL)))
        if lines[-1] and x + sum(size for _, size in cells) > width:
            lines.append([])
            x = 0.0
        for cell, size in cells:
            if lines[-1] and x + size > width:
                lines.append([])
                x = 12.0
            lines[-1].append((x, cell))
            x += size
        x += 8.0
    return lines


def _draw_flowing_legend(ax: Axes, lines: list[list[tuple[float, str]]], looks: Looks) -> None:
    """The lines from the top of these axes downward, in points."""
    wide, tall = _in_points(ax)
    ax.set(xlim=(0, wide), ylim=(-tall, 0))
    ax.axis("off")
    for i, line in enumerate(lines):
        for x, cell in line:
            _draw_cell(ax, x, -(i + 0.5) * _LEGEND_LINE, cell, looks)


def _in_points(ax: Axes) -> tuple[float, float]:
    """Width and height of axes."""
    box = ax.get_window_extent()
    dpi = ax.get_figure(root=True).dpi  # type: ignore[union-attr]
    return box.width / dpi * 72, box.height / dpi * 72


def _draw_cell(ax: Axes, x: float, y: float, cell: str, looks: Looks) -> None:
    """A cell of a legend: the name of a group as `=name`, a label after its mark, or nothing."""
    if cell.startswith("="):
        ax.text(x, y, cell[1:], fontsize=style.SMALL, fontstyle="italic", va="center_baseline", color="#333333")
    elif cell:
        _marks(ax, pd.Series([x + 4]), pd.Series([y]), looks[cell], area=_MARK_AREA, zorder=2)
        ax.text(x + 10, y, cell, fontsize=style.SMALL, va="center_baseline")
