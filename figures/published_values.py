"""What `papers/001` (Havtorn et al.) prints in its tables 1, 3 and 4, to stand beside a user's own figures.

Table 5 follows from a formula and is in `models.likelihood.baselines`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Printed:
    """A row of table 1 or 3: bits per frame on TIMIT's test set. `layers` and `size` are 0 where there are none."""

    family: str
    stride: int
    layers: int
    size: int
    bits: float


TABLE_1 = (
    Printed("uniform", 1, 0, 0, 16.00),
    Printed("dmol", 1, 0, 0, 15.60),
    Printed("flac", 0, 0, 0, 8.582),
    Printed("wavenet", 1, 0, 96, 10.88),
    Printed("lstm", 1, 0, 256, 11.11),
    Printed("vrnn", 1, 1, 256, 11.09),
    Printed("srnn", 1, 1, 256, 11.19),
    Printed("wavenet", 64, 0, 96, 13.30),
    Printed("lstm", 64, 0, 256, 13.34),
    Printed("vrnn", 64, 1, 256, 12.54),
    Printed("srnn", 64, 1, 256, 12.42),
    Printed("cwvae", 64, 1, 96, 12.44),
    Printed("cwvae", 64, 2, 96, 12.17),
    Printed("cwvae", 64, 3, 96, 12.15),
    Printed("wavenet", 256, 0, 96, 14.11),
    Printed("lstm", 256, 0, 256, 14.20),
    Printed("vrnn", 256, 1, 256, 13.27),
    Printed("srnn", 256, 1, 256, 13.14),
    Printed("cwvae", 256, 1, 96, 13.11),
    Printed("cwvae", 256, 2, 96, 12.97),
    Printed("cwvae", 256, 3, 96, 12.87),
)

TABLE_3 = (
    *(Printed("wavenet", 1, 0, size, bits) for size, bits in (
        (16, 11.27), (24, 11.14), (32, 11.03), (96, 10.88), (128, 10.98), (160, 10.91),
    )),
    Printed("lstm", 1, 0, 128, 11.40),
    Printed("lstm", 1, 0, 256, 11.11),
    Printed("vrnn", 1, 1, 256, 11.09),
    Printed("srnn", 1, 1, 256, 11.19),
    Printed("lstm", 4, 0, 256, 11.65),
    *(Printed("lstm", 16, 0, 256, bits) for bits in (12.54, 12.54, 12.44)),
    Printed("wavenet", 64, 0, 96, 13.30),
    *(Printed("lstm", 64, 0, 96, bits) for bits in (13.49, 13.46, 13.40)),
    *(Printed("lstm", 64, 0, 256, bits) for bits in (13.27, 13.29, 13.31)),
    *(Printed("lstm", 64, 0, 512, bits) for bits in (13.37, 13.37, 13.41)),
    Printed("vrnn", 64, 1, 96, 12.93),
    Printed("vrnn", 64, 1, 256, 12.54),
    Printed("srnn", 64, 1, 96, 12.87),
    Printed("srnn", 64, 1, 256, 12.42),
    Printed("cwvae", 64, 1, 96, 12.44),
    Printed("cwvae", 64, 2, 96, 12.17),
    Printed("cwvae", 64, 3, 96, 12.15),
    Printed("wavenet", 256, 0, 96, 14.11),
    *(Printed("lstm", 256, 0, 256, bits) for bits in (14.20, 14.17, 14.26)),
    Printed("vrnn", 256, 1, 96, 13.51),
    Printed("vrnn", 256, 1, 256, 13.27),
    Printed("srnn", 256, 1, 96, 13.28),
    Printed("srnn", 256, 1, 256, 13.14),
    Printed("cwvae", 256, 1, 96, 13.11),
    Printed("cwvae", 256, 2, 96, 12.97),
    Printed("cwvae", 256, 3, 96, 12.87),
)  # fmt: skip
"""Without the CW-VAE of 12.10 bits at s = 64, whose layers cannot be read in our copy. LSTMs of a size differ in their
depth (1 to 3), which is no number of latent layers. For the LSTM at s = 64, table 1 prints 13.34, which is not here."""


@dataclass(frozen=True)
class PrintedNats:
    """A row of table 4: nats an utterance of TIMIT, linear PCM, normalised; `source` says whose figure it is."""

    family: str
    output: Literal["Normal", "GMM"]
    nats: int
    source: str


TABLE_4 = (
    PrintedNats("wavenet", "Normal", 74_962, "s=1, Havtorn et al."),
    PrintedNats("wavenet", "GMM", 30_188, "s=200, Aksan and Hilliges 2019"),
    PrintedNats("wavenet", "Normal", -7_443, "s=200, Aksan and Hilliges 2019"),
    PrintedNats("vrnn", "Normal", 28_982, "s=200, Chung et al. 2015"),
    PrintedNats("srnn", "Normal", 60_550, "s=200, Fraccaro et al. 2016"),
    PrintedNats("stcn", "GMM", 69_195, "s=200, Aksan and Hilliges 2019"),
    PrintedNats("stcn", "Normal", 64_913, "s=200, Aksan and Hilliges 2019"),
    PrintedNats("stcn-dense", "GMM", 71_386, "s=200, Aksan and Hilliges 2019"),
    PrintedNats("stcn-dense", "Normal", 70_294, "s=200, Aksan and Hilliges 2019"),
    PrintedNats("cwvae", "Normal", 41_629, "s=200, L=1, Havtorn et al."),
)
"""The Stochastic WaveNet (72,463) and STCN-dense-large (77,438) are none of our families."""
