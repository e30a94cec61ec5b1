"""What the map shows and offers, without a page: names and outlines, search, thumbnails, exports, and what moved."""

import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from matplotlib.path import Path as Polygon

from lvm_probe import InputError
from lvm_probe.app.explorer import audio, class_outlines, moved, projections, recording_query, token_exports, token_grid
from lvm_probe.app.explorer.inputs import ExplorerInputs, opening_feature
from lvm_probe.app.explorer.model_computations import CheckpointFile
from lvm_probe.app.explorer.neighbours import nearest
from lvm_probe.app.explorer.recording_query import Encoded
from lvm_probe.app.explorer.token_filters import searched, word_of_each
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.probing.corpora.corpus import Utterance
from lvm_probe.probing.corpora.phones import NON_PHONEMES
from lvm_probe.probing.features import token_table
from lvm_probe.probing.features.token_table import TokenTable

COLUMNS = {
    "label": pd.Series(["s", "iy", "sh", "[x]"]),
    "word": pd.Series(["she", "She", None, "a"]),
    "utterance": pd.Series(["FAEM0_SA1", "FAEM0_SA1", "MABC0_SA1", "MABC0_SA2"]),
    "speaker": pd.Series(["FAEM0", "FAEM0", "MABC0", "MABC0"]),
}


def test_the_map_imports_nothing_that_takes_long() -> None:
    """What it imports delays the first picture."""
    code = (
        "import sys\nimport lvm_probe.app.explorer.pages.map\n"
        "slow = {'torch', 'sklearn', 'seaborn', 'scipy.stats', 'matplotlib.pyplot', 'umap'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# Names and outlines.


def test_names_stand_at_class_means_and_lines_hold_half_of_the_points() -> None:
    rng = np.random.default_rng(0)
    places = np.concatenate([rng.normal(size=(4000, 2)), rng.normal(size=(2000, 2)) * [3, 0.5] + [10, 0]])
    classes = np.repeat(np.array(["large", "small"], dtype=object), [4000, 2000])
    found = class_outlines.class_places(places, classes)
    assert [one.name for one in found] == ["large", "small"]
    for one in found:
        own = places[classes == one.name]
        np.testing.assert_allclose(one.mean, own.mean(axis=0))
        (line,) = one.lines
        # The density is smoothed, so the region is a little larger or smaller than that of half of the points.
        assert Polygon(line).contains_points(own).mean() == pytest.approx(0.5, abs=0.04)


def test_few_points_many_classes_and_points_on_a_line_have_no_outline() -> None:
    rng = np.random.default_rng(0)
    assert class_outlines.outline(rng.normal(size=(5, 2))) == ()
    assert class_outlines.outline(rng.normal(size=(50, 2)) * [1, 0]) == ()
    classes = (np.arange(3000) % 100).astype(str).astype(object)
    many = class_outlines.class_places(rng.normal(size=(3000, 2)), classes)
    assert len(many) == class_outlines.MAX_NAMED
    assert not any(one.lines for one in many)


# Search.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [0, 1, 2, 3]),
        (" , ", [0, 1, 2, 3]),
        ("s", [0]),
        ("S*", [0, 1, 2]),
        ("she", [0, 1]),
        ("she label:iy", [1]),
        ("label:iy, sh", [1, 2]),
        ("speaker:m*", [2, 3]),
        ("utterance:*_SA1 word:*", [0, 1]),
        ("[x]", [3]),
        ("nothing", []),
        ("strange:s", []),
    ],
)
def test_a_search_finds(text: str, found: list[int]) -> None:
    assert np.flatnonzero(searched(text, COLUMNS)).tolist() == found


def test_a_phone_belongs_to_the_word_around_its_middle() -> None:
    words = pd.DataFrame({
        "utterance": ["b", "a", "a"], "label": ["other", "second", "first"], "start": [0, 10, 0], "end": [9, 20, 8]
    })  # fmt: skip
    spans = {"start": [0, 7, 8, 16, 0], "end": [4, 16, 10, 30, 9]}
    tokens = pd.DataFrame({"utterance": ["a", "a", "a", "a", "c"], **spans})
    assert word_of_each(tokens, words).tolist() == ["first", "second", None, None, None]


# What moved.


def test_tokens_whose_neighbours_differ_come_first() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(300, 4))
    second = first.copy()
    strangers = np.array([5, 77, 200])
    second[strangers] = -4 * first[strangers]
    found = moved.most_moved(first, second, 5)
    assert set(found.rows[:3]) == set(strangers)
    assert (np.diff(found.shared) >= 0).all()
    same = moved.most_moved(first, 3 * first + 1, 5)  # features are standardised
    assert set(same.shared) == {5}
    with pytest.raises(InputError, match="comparing 5 neighbours"):
        moved.most_moved(first[:5], second[:5], 5)


# Sound and files.


@pytest.fixture(scope="module")
def given(small: Path) -> ExplorerInputs:
    return ExplorerInputs((), small)


@pytest.fixture(scope="module")
def tokens(given: ExplorerInputs) -> pd.DataFrame:
    utterance = given.corpus.utterances[0]
    rows = [
        {"token_id": f"t{i}", "utterance": utterance.id, "speaker": utterance.speaker.id, "label": f"../{one.label}",
         "start": one.start, "end": one.end, "sample_rate": utterance.sample_rate}
        for i, one in enumerate(utterance.phonemes[1:4])
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_zip_holds_a_wav_of_each_token_and_a_list(given: ExplorerInputs, tokens: pd.DataFrame) -> None:
    with zipfile.ZipFile(BytesIO(token_exports.snippets(given, tokens))) as archive:
        listed = pd.read_csv(archive.open("tokens.csv"))
        assert set(archive.namelist()) == {"tokens.csv", *listed["file"]}
        assert not any("/" in name for name in archive.namelist())
        row = tokens.iloc[1]
        expected = audio.clip(given.utterance(row["utterance"]), row["start"], row["end"])
        assert archive.read(listed["file"][1]) == expected


def test_a_thumbnail_is_a_small_picture_with_low_frequencies_below(given: ExplorerInputs) -> None:
    utterance = given.corpus.utterances[0]
    vowel = max(utterance.phonemes, key=lambda one: one.samples if one.label in ("iy", "aa", "ae", "ah") else 0)
    image = imread(BytesIO(token_grid.thumbnail(utterance, vowel.start, vowel.end)))
    assert image.shape == (56, 80, 4)
    brightness = image[..., :3].sum(axis=(1, 2))
    assert brightness[28:].sum() > brightness[:28].sum()
    pause = next(one for one in utterance.phonemes if one.label == "h#")
    silence = imread(BytesIO(token_grid.thumbnail(utterance, pause.start, pause.end)))
    assert silence[..., :3].mean() < image[..., :3].mean()


# A recording of the user's own.


@pytest.fixture(scope="module")
def table(latents: Path) -> TokenTable:
    return token_table.load(latents)


def text_grid(utterance: Utterance) -> bytes:
    seconds = utterance.samples / utterance.sample_rate
    lines = ['"ooTextFile"', '"TextGrid"', f"0 {seconds} <exists> 1"]
    lines += [f'"IntervalTier" "phones" 0 {seconds} {len(utterance.phonemes)}']
    for one in utterance.phonemes:
        lines.append(f'{one.start / utterance.sample_rate} {one.end / utterance.sample_rate} "{one.label}"')
    return "\n".join(lines).encode()


def encode(table: TokenTable, tiny: Path, name: str, wav: bytes, grid: bytes | None, unit: str = "phoneme") -> Encoded:
    file = CheckpointFile.of(checkpoint.load(str(tiny)))
    return recording_query.encode(file, table.extraction, name, wav, grid, unit, progress=lambda share: None)


def test_a_recording_of_the_corpus_is_encoded_as_in_the_table_and_is_nearest_to_itself(
    table: TokenTable, tiny: Path, given: ExplorerInputs
) -> None:
    utterance = given.corpus.utterances[0]
    wav = audio.wav(audio.samples(utterance), utterance.sample_rate)
    found = encode(table, tiny, f"{utterance.id}.wav", wav, text_grid(utterance))
    own = (table.tokens["utterance"] == utterance.id) & ~table.tokens["label"].isin(NON_PHONEMES)
    rows = np.flatnonzero(own.to_numpy())
    assert [one.label for one in found.segments] == table.tokens["label"].iloc[rows].tolist()
    assert found.notices == ()
    for feature in ("z1", "z1_logms", "z2", "mel"):
        # One recording at a time or several: sums in another order, rounded to float32.
        np.testing.assert_allclose(found.features[feature], table.features[feature][rows], rtol=1e-4, atol=1e-5)
    points = table.features["z2"].astype(np.float64)
    near, distances = recording_query.nearest_tokens(points, found.features["z2"][3], 5)
    assert near[0] == rows[3]
    assert distances[0] == pytest.approx(0, abs=1e-3)
    np.testing.assert_array_equal(near[1:], nearest(points, int(rows[3]), 4)[0])


def test_without_a_text_grid_a_recording_is_one_segment(table: TokenTable, tiny: Path, given: ExplorerInputs) -> None:
    utterance = given.corpus.utterances[0]
    wav = audio.wav(audio.samples(utterance), utterance.sample_rate)
    found = encode(table, tiny, "../../evil name.wav", wav, None)
    assert [(one.label, one.start, one.end) for one in found.segments] == [("recording", 0, len(found.pcm))]
    assert found.features["z1"].shape == (1, table.extraction["features"]["z1"])


def test_a_recording_that_cannot_be_used_is_named_without_its_folder(table: TokenTable, tiny: Path) -> None:
    long = audio.wav(np.zeros(31 * 16000, np.int16), 16000)
    for wav, grid, message in (
        (b"no audio", None, r"^mine\.wav: unreadable as audio"),
        (long, None, r"^mine: 31\.0 s long; cut it"),
        (audio.wav(np.zeros(16000, np.int16), 16000), b"nothing", r"^mine\.TextGrid: not a usable TextGrid"),
    ):
        with pytest.raises(InputError, match=message):
            encode(table, tiny, "mine.wav", wav, grid)


def test_a_new_point_is_placed_by_the_axes_of_the_map(table: TokenTable) -> None:
    points, labels = table.features["mel"].astype(np.float64), table.tokens["label"].to_numpy(dtype=object)
    new = np.array([0, 7, 20])
    for found in (
        projections.lda_projection(points, table.tokens, labels, "phoneme"),
        projections.pca_projection(points),
    ):
        placed = recording_query.place_among(points, found.places, points[new], linear=True)
        np.testing.assert_allclose(placed, found.places[new], atol=1e-6)  # least squares of an exact relation
    near = recording_query.place_among(points, found.places, points[new], linear=False)
    assert np.abs(near - found.places[new]).max() < np.ptp(found.places, axis=0).max()


def test_a_map_opens_with_all_layers(table: TokenTable) -> None:
    assert opening_feature(table) == "z1_logms+z2"
