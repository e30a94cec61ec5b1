"""Passes in chunks: the same trajectories and distributions as one pass, and no more of the full rate at once."""

import pytest
import torch

from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.likelihood.chunks import chunks, cut
from tests.models import miniature
from tests.models.miniature import MODELS
from tests.models.test_cwvae_cell import flat
from tests.models.test_family import noise_for

EVERY = pytest.mark.parametrize("name", MODELS)


@EVERY
@torch.no_grad()
def test_chunks_put_together_are_the_pass(name) -> None:
    model = miniature.model(name).double()
    coarsest = model.coarsest_stride
    pcm, lengths = miniature.batch([1_531, 700, 3])
    pcm = model.pad(pcm)
    noise = noise_for(model, 1_531, 3)
    whole = model(pcm, lengths, noise)
    for size in sorted({max(coarsest, 240), 2 * coarsest + 221, 5_000}):
        pieces = list(chunks(model, pcm, lengths, noise, size))
        rounded = -(-size // coarsest) * coarsest
        assert [p.pcm.shape[1] for p in pieces[:-1]] == [rounded] * (len(pieces) - 1)
        assert len(pieces) == -(-pcm.shape[1] // rounded)
        assert torch.equal(torch.cat([p.pcm for p in pieces], 1), pcm)
        assert sum(p.lengths for p in pieces).tolist() == lengths.tolist()
        for start, piece in zip(range(0, pcm.shape[1], rounded), pieces, strict=True):
            assert piece.lengths.tolist() == [min(max(n - start, 0), rounded) for n in (1_531, 700, 3)]
        parameters = torch.cat([p.output.parameters for p in pieces], 1)
        inside = torch.arange(pcm.shape[1]) < lengths.unsqueeze(1)
        # Double precision; products of other shapes add in another order.
        torch.testing.assert_close(parameters[inside], whole.output.parameters[inside], rtol=1e-9, atol=1e-9)
        for l, stride in enumerate(model.strides):
            joined = zip(*(flat(p.layers[l]) for p in pieces), strict=True)
            for ours, wanted in zip(joined, flat(whole.layers[l]), strict=True):
                for row, length in enumerate((1_531, 700, 3)):
                    steps = -(-length // stride)
                    torch.testing.assert_close(torch.cat(ours)[:steps, row], wanted[:steps, row], rtol=1e-9, atol=1e-9)


@EVERY
@torch.no_grad()
def test_a_chunk_may_be_a_single_step(name) -> None:
    model = miniature.model(name).double()
    samples = 7 * model.coarsest_stride
    pcm, lengths = miniature.batch([samples])
    noise = noise_for(model, samples, 1)
    pieces = list(chunks(model, pcm, lengths, noise, 1))
    assert len(pieces) == 7
    ours = torch.cat([piece.output.parameters for piece in pieces], 1)
    torch.testing.assert_close(ours, model(pcm, lengths, noise).output.parameters, rtol=1e-9, atol=1e-9)


def test_a_batch_no_longer_than_a_chunk_is_one_pass_to_the_bit() -> None:
    model = miniature.model("cwvae-3")
    pcm, lengths = miniature.batch([900, 400])
    pcm, noise = model.pad(pcm), noise_for(model, 900, 2)
    (piece,) = chunks(model, pcm, lengths, noise, pcm.shape[1])
    assert torch.equal(piece.output.parameters, model(pcm, lengths, noise).output.parameters)


@torch.no_grad()
def test_only_a_window_is_at_the_full_rate_however_long_the_audio(monkeypatch) -> None:
    model = miniature.model("cwvae-2")
    assert isinstance(model, CWVAE)
    encoded, decoded = [], []
    encode, decode = model.encode, model.decode

    def watched_encode(pcm, lengths):
        encoded.append(pcm.shape[1])
        return encode(pcm, lengths)

    def watched_decode(features, layers, lengths):
        decoded.append(len(layers[0].z) * model.strides[0])
        return decode(features, layers, lengths)

    monkeypatch.setattr(model, "encode", watched_encode)
    monkeypatch.setattr(model, "decode", watched_decode)
    pcm, lengths = miniature.batch([20 * 512])
    assert len(list(chunks(model, pcm, lengths, noise_for(model, 20 * 512, 1), 512))) == 20
    ahead = -(-max(model.encode_reach) // 512) * 512
    assert max(encoded) == 512 + 2 * ahead
    assert max(decoded) == 3 * 512  # one coarsest step on either side


def test_a_cut_of_an_encoding_takes_every_rate_at_its_own_steps() -> None:
    encoding = tuple(torch.arange(n).float().view(n, 1, 1) for n in (64, 16, 4))
    parts = cut(encoding, 1_024, 256, 768)
    assert [p.flatten().tolist() for p in parts] == [
        list(range(16, 48)), list(range(4, 12)), [1, 2],
    ]  # fmt: skip
