from dataclasses import replace

import pandas as pd
import pytest

from lvm_probe import InputError
from lvm_probe.figures import zerospeech
from tests.figures import contract
from tests.figures.speech import demo, inputs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    two = demo().select(speakers=[speaker.id for speaker in demo().speakers[:2]])
    return contract.check_contract(zerospeech, inputs(corpus=two), tmp_path_factory.mktemp("zerospeech"))


def test_what_is_drawn(data: pd.DataFrame) -> None:
    assert data["layer"].unique().tolist() == ["z1", "z2", "mel", "mfcc"]
    fig = zerospeech.figure(data)
    titles = [ax.get_title(loc="left") for ax in fig.axes]
    assert titles[:2] == ["phonemes\nwithin speakers", "phonemes\nacross speakers"]
    assert [text.get_text() for text in fig.axes[0].get_yticklabels()] == ["z1", "z2", "Mel", "MFCC"]
    points = [line.get_xdata()[0] for line in fig.axes[0].lines if len(line.get_xdata()) == 1]
    wanted = data[(data["unit"] == "phoneme") & (data["speakers"] == "within")]["error"]
    assert points == (100 * wanted).tolist()
    assert not contract.overlapping([ax.title for ax in fig.axes], fig)


def test_several_contexts_have_panels_of_their_own(data: pd.DataFrame) -> None:
    fig = zerospeech.figure(pd.concat([data, data.assign(context="any")]))
    assert fig.axes[1].get_title(loc="left") == "phonemes\nacross speakers, within context"


def test_left_out() -> None:
    with pytest.raises(InputError, match="give the corpus, --corpus"):
        zerospeech.data(inputs(corpus=None))
    without = replace(demo(), utterances=tuple(replace(one, phonemes=()) for one in demo().utterances[:2]))
    with pytest.raises(InputError, match="no phones"):
        zerospeech.data(inputs(corpus=without))
