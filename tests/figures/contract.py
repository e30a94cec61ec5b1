"""Checks for every figure: its table is enough to draw it again, to the same bytes, and nothing leaves the page."""

import io
import re
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from lvm_probe.figures import layout, style
from lvm_probe.figures.inputs import FigureInputs, FigureModule


def check_contract(module: FigureModule, inputs: FigureInputs, tmp_path: Path) -> pd.DataFrame:
    """Check the contract of `FigureModule`, and return the figure's table."""
    data = module.data(inputs)
    pd.testing.assert_frame_equal(module.data(inputs), data)
    data.to_csv(tmp_path / "data.csv", index=False)
    back = pd.read_csv(tmp_path / "data.csv")
    fig = module.figure(data)
    assert drawn(fig) == drawn(module.figure(back))
    assert_whole(fig)
    assert module.TITLE
    caption = module.caption(back, inputs)
    assert caption == module.caption(data, inputs)
    assert caption.endswith(".")
    assert not re.search(r"\bnan\b", caption)
    assert "\n" not in caption
    return data


def drawn(fig: Figure) -> list[bytes]:
    """The figure as PNG and SVG; `style.save` is tested in test_style."""
    found = []
    with style.theme():
        for kind in ("png", "svg"):
            with io.BytesIO() as file:
                fig.savefig(file, format=kind, dpi=style.DPI, metadata={"Date": None} if kind == "svg" else None)
                found.append(file.getvalue())
    return found


def assert_whole(fig: Figure) -> None:
    """Check that nothing leaves the figure."""
    box, whole = fig.get_tightbbox(layout.renderer(fig)), fig.bbox_inches
    hair = 1 / style.DPI
    assert min(box.x0, box.y0) >= -hair, box
    assert box.x1 <= whole.x1 + hair, box
    assert box.y1 <= whole.y1 + hair, box


def overlapping(texts: list[Text], fig: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that share more than half a point of both axes."""
    measure = layout.renderer(fig)
    boxes = [(text.get_text(), Text.get_window_extent(text, measure)) for text in texts if text.get_text()]
    slack = fig.dpi / 72 / 2
    return [
        (one, other)
        for i, (one, a) in enumerate(boxes)
        for other, b in boxes[:i]
        if min(a.x1, b.x1) - max(a.x0, b.x0) > slack and min(a.y1, b.y1) - max(a.y0, b.y0) > slack
    ]
