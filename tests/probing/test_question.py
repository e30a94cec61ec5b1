from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.probing.corpora.phones import LabelSet, PhoneSet
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.questions import question as question_module
from lvm_probe.probing.questions.question import TARGETS, TOKEN_MEASURES, Question, default_protocol


def test_defaults_hold_out_what_would_give_the_answer_away() -> None:
    assert {target: default_protocol(target) for target in TARGETS} == {
        "phoneme": "utterance", "manner": "utterance", "place": "utterance", "voicing": "utterance",
        "vowel-height": "utterance", "vowel-backness": "utterance", "word": "speaker+prompt", "gender": "speaker",
        "height": "speaker", "height-cm": "speaker", "dialect": "speaker", "speaker": "utterance",
        "age": "speaker", **dict.fromkeys(TOKEN_MEASURES, "utterance"),
    }  # fmt: skip
    assert Question().protocol == "utterance"
    assert Question(method="abx").protocol == "within"


def test_fields_have_one_form() -> None:
    question = Question(features="z1", speakers="FVMH0", ks=5, target="phoneme")  # type: ignore[arg-type]
    assert question.features == (Feature(("z1",)),)
    assert (question.speakers, question.ks) == (("FVMH0",), (5,))
    assert Question(ks=np.arange(1, 3), features=["z1", "z1", "z1 + z2"]) == Question(
        ks=(1, 2), features=("z1", "z1+z2")
    )
    assert hash(Question(features=["z1"], height_edges=[185, 175], target="height")) == hash(
        Question(features=("z1",), target="height")
    )
    assert replace(question, method="lda", ks=None).features == question.features


def test_phone_sets_are_those_of_the_corpora() -> None:
    assert question_module._KNOWN["phones"] == get_args(PhoneSet)
    assert question_module._KNOWN["phone_set"] == get_args(LabelSet)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"target": "phonemes"}, "target is 'phonemes'; choose one of phoneme, manner, place, voicing, vowel-height, "),
        ({"method": "svm"}, "method is 'svm'; choose one of knn, lda, logistic, mdl, ridge, abx"),
        ({"protocol": "grouped"}, "protocol is 'grouped'; choose one of paper, nested, utterance, speaker"),
        ({"phones": "timit40"}, "phones is 'timit40'; choose one of timit61"),
        ({"phone_set": "sampa", "target": "manner"}, "phone_set is 'sampa'; choose one of timit, arpabet, ipa"),
        ({"phone_set": "ipa"}, "phone_set: phonemes that are not folded need none; leave it out"),
        ({"phone_set": "ipa", "target": "gender"}, "phone_set: only for the targets phoneme, manner, place, voicing, "),
        ({"gender": "female"}, "gender is 'female'; choose one of F, M"),
        ({"features": ("z1", "")}, "feature '': not the name of a feature"),
        ({"features": "z1,mel"}, r"feature 'z1,mel': not the name .* a tuple such as \('z1', 'mel'\)"),
        ({"target": "height-cm"}, "knn cannot predict height-cm, .*; for height-cm use ridge, or predict its classes"),
        ({"target": "height-cm", "method": "lda"}, "lda cannot predict height-cm"),
        (
            {"target": "height-cm", "method": "ridge", "lda_dims": 2},
            "lda_dims: only for the methods knn",
        ),
        ({"method": "ridge"}, "ridge cannot predict phoneme, only height-cm, age, .*; for phoneme use knn or lda"),
        (
            {"method": "ridge", "target": "voicing"},
            "for voicing use knn or lda or logistic or mdl or abx, or predict voiced",
        ),
        ({"method": "lda", "target": "f0"}, "lda cannot predict f0, .*; for f0 use ridge"),
        ({"method": "ridge", "target": "f1", "protocol": "nested"}, "nested is not for f1, .*use utterance or speaker"),
        (
            {"method": "abx", "target": "gender"},
            "abx cannot predict gender, .*; for gender use knn or lda or logistic or mdl",
        ),
        ({"method": "abx", "protocol": "nested"}, "abx has no protocol nested; choose within or across"),
        ({"protocol": "within"}, "knn has no protocol within; choose paper or nested or utterance or speaker"),
        ({"method": "lda", "ks": (5,)}, "ks: only for the methods knn, not for lda; leave it out"),
        ({"method": "abx", "permutations": 5}, "permutations: only for the methods knn, lda, logistic, mdl, ridge"),
        ({"distance": "euclidean"}, "distance: only for the methods abx, not for knn"),
        (
            {"target": "gender", "protocol": "utterance"},
            "other utterances of the speaker, who has the same",
        ),
        ({"target": "speaker", "protocol": "speaker"}, "holds out the very speaker"),
        ({"target": "speaker", "rows": "speaker"}, "none could be recognised"),
        ({"target": "phoneme", "rows": "utterance"}, "rows: phoneme differs from token to token; leave rows out"),
        (
            {"target": "gender", "phones": "timit39"},
            "phones: only for the targets phoneme, manner, place",
        ),
        ({"target": "gender", "min_count": 3}, "min_count: only for the targets phoneme"),
        ({"target": "gender", "rows": "speaker", "protocol": "nested"}, "nested is the protocol speaker; use that"),
        ({"target": "gender", "normalise": "speaker"}, "over each speaker's rows it removes what tells speakers apart"),
        ({"target": "height", "height_edges": ()}, "one height in cm or more"),
        ({"target": "height", "height_edges": (180, 180)}, "all different"),
        ({"ks": ()}, r"ks are \[\]"),
        ({"ks": "1,5"}, "ks: '1,5' is not a whole number"),
        ({"ks": 2.7}, "ks: 2.7 is not a whole number"),
        ({"permutations": "5"}, "permutations: '5' is not a whole number"),
        ({"seed": 1.5}, "seed: 1.5 is not a whole number"),
        ({"control": None}, "control: None is not a whole number"),
        ({"target": "height", "height_edges": "tall"}, "height_edges: 'tall' is not a number"),
        ({"target": "height", "height_edges": [None]}, "height_edges: None is not a number"),
        ({"permutations": -1}, "permutations is -1; give 0 or more"),
        ({"shrinkage": 2.0}, "shrinkage is 2.0; give ledoit-wolf, none, or a number from 0 to 1"),
        ({"shrinkage": "auto"}, "shrinkage is 'auto'"),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_question_is_made(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        Question(**fields)
    assert "\n" not in str(caught.value)
