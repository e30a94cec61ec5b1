import pytest

from lvm_probe import InputError
from lvm_probe.probing.features.feature import Feature


def test_a_feature_is_parsed_once() -> None:
    feature = Feature.parse(" z1_logms + z2 ")
    assert (feature.parts, feature.name, str(feature)) == (("z1_logms", "z2"), "z1_logms+z2", "z1_logms+z2")
    assert Feature.parse(feature) is feature
    assert feature.is_among({"z1_logms", "z2", "mel"})
    assert not feature.is_among({"z1_logms"})


@pytest.mark.parametrize("name", ["", "z1+", "+", "z1,z2"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="not the name of a feature"):
        Feature.parse(name)
