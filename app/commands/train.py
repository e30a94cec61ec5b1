"""`probe train`: fit a model family to a corpus."""

from __future__ import annotations

import argparse

from lvm_probe.app.options import add_corpus, add_device, numbers, whole_numbers
from lvm_probe.app.output import Output, exclusive_output_folder
from lvm_probe.app.training.sequences import train_on_sequences
from lvm_probe.app.training.speech import train_on_speech
from lvm_probe.probing.corpora.sequences import is_sequences

SUMMARY = "train a model and keep the checkpoint with the best validation bound"
EXAMPLES = (
    "probe train cwvae --corpus TIMIT --preset tiny --out runs/first",
    "probe train vrnn --corpus TIMIT --likelihood gaussian --target linear --out runs/vrnn",
)


def options(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    model.add_argument("family", metavar="FAMILY", help="model family (`probe models` lists them)")
    model.add_argument(
        "--within-step",
        metavar="HOW",
        help="how the elements of a step depend on each other: factorised, interleave:U, random:V, rnn, masked-mlp "
        "(default: factorised)",
    )
    model.add_argument("--preset", default="small", help="size and training recipe (`probe models` lists them)")
    model.add_argument(
        "--start-from", metavar="CKPT", help="begin with the weights of this checkpoint, of the same family and sizes"
    )
    model.add_argument(
        "--encoder-weights",
        metavar="FILE",
        help="begin with the encoder of this checkpoint of CPC_audio (.pt, or .safetensors with the same names); for "
        "presets with such an encoder",
    )
    model.add_argument(
        "--freeze-encoder", action="store_true", help="do not train that encoder, or the one of --start-from"
    )
    model.add_argument(
        "--strides", type=whole_numbers, metavar="N,N", help="audio samples per step, lowest layer first, as 64,512"
    )
    model.add_argument(
        "--latents", type=whole_numbers, metavar="N,N", help="latent dimensions, lowest layer first, as 128,64"
    )
    corpus = add_corpus(
        parser,
        repeatable=True,
        help="folder of the corpus; repeatable, to train on several, all of which the options here apply to",
    )
    corpus.add_argument(
        "--domain",
        choices=("waveform", "strokes", "pianoroll", "words", "characters"),
        help="what the corpus holds (default: what its files are, and speech for folders)",
    )
    corpus.add_argument(
        "--split",
        metavar="NAME",
        help="split to train on (default: train, or everything if the corpus has no splits; for several splits give "
        "the folder of each as a --corpus)",
    )
    corpus.add_argument(
        "--hold-out",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of each corpus's speakers held out for validation, which chooses the checkpoint",
    )
    corpus.add_argument(
        "--test",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of each corpus's speakers held out for a test, which chooses nothing and is reported at the end; "
        "0 for none, as where the corpus has a test split of its own",
    )
    corpus.add_argument(
        "--weights",
        type=numbers,
        metavar="X,X",
        help="how often to draw from each --corpus, relative to the length of its audio (default: equally)",
    )
    output = parser.add_argument_group("output distribution")
    output.add_argument(
        "--likelihood",
        choices=("dmol", "gaussian"),
        help="discretized mixture of logistics, or mixture of Gaussians normalised by the training audio",
    )
    output.add_argument("--components", type=int, metavar="N", help="mixture components; 1 gaussian: plain Gaussian")
    output.add_argument(
        "--target",
        choices=("mulaw", "mulaw8", "linear"),
        help="scale on which audio is modelled; mulaw8: the 256 codes of 8-bit μ-law, while the encoder sees 16 bits",
    )
    output.add_argument("--every", type=int, metavar="M", help="keep one of M audio samples (stride-TIMIT)")
    output.add_argument(
        "--permute",
        type=int,
        metavar="N",
        help="put the audio samples of each block of N in another order (Perm-TIMIT)",
    )
    output.add_argument("--min-std", type=float, metavar="X", help="minimum standard deviation of gaussian")
    training = parser.add_argument_group("training (defaults: the preset's)")
    training.add_argument(
        "--stage",
        type=int,
        choices=(1, 2),
        default=1,
        help="2: train the decoder of the wavevae at --start-from on how it sounds, with a spectral loss and "
        "discriminators; such a checkpoint has no likelihood",
    )
    training.add_argument(
        "--adversarial", type=float, metavar="X", help="weight of the discriminators in stage 2; 0 for none"
    )
    training.add_argument(
        "--recipe",
        choices=("cpu", "gpu", "continue", "sequences", "paper", "tiny"),
        help="another recipe; continue: for --start-from, without ramps",
    )
    training.add_argument("--updates", type=int, metavar="N", help="length of the training")
    training.add_argument("--batch", type=int, metavar="N", help="segments per batch")
    training.add_argument(
        "--segment", type=int, metavar="N", help="length of a segment: audio samples, or steps of other data"
    )
    training.add_argument("--validate-every", type=int, metavar="N", help="updates between validations")
    training.add_argument("--quieter", type=float, metavar="DB", help="make segments quieter at random, by up to DB")
    training.add_argument(
        "--mangle",
        type=float,
        metavar="SHARE",
        help="change the phases of this share of segments by an all-pass filter",
    )
    training.add_argument(
        "--dequantise", action="store_true", default=None, help="add noise within a PCM value before other changes"
    )
    training.add_argument("--flip", action="store_true", default=None, help="change the sign of half of the segments")
    training.add_argument(
        "--pitch", type=float, metavar="SEMITONES", help="resample segments by up to so many semitones, up or down"
    )
    training.add_argument(
        "--dropout", type=float, metavar="SHARE", help="set this share of the features to zero; models on stacks only"
    )
    training.add_argument("--learning-rate", type=float, metavar="X", help="peak learning rate")
    training.add_argument(
        "--optimizer", choices=("adam", "muon"), help="muon: orthogonalise the steps of matrices, and Adam for the rest"
    )
    training.add_argument(
        "--kl-weight", type=float, metavar="X", help="final weight of the KL divergence; 0: autoencode without it"
    )
    training.add_argument(
        "--upper-free-nats", type=float, metavar="X", help="multiply the free nats of the layers above the lowest by X"
    )
    compute = parser.add_argument_group("computing")
    add_device(compute)
    compute.add_argument("--devices", type=int, default=1, metavar="N", help="processes that share each batch")
    compute.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        default="auto",
        help="auto: bf16 where the hardware multiplies it natively",
    )
    compute.add_argument("--compile", action="store_true", help="compile encoder and decoder (for CUDA)")
    run_folder = parser.add_argument_group("output")
    run_folder.add_argument(
        "--out", required=True, metavar="RUN", help="run folder: checkpoints, log.csv, TensorBoard events"
    )
    run_folder.add_argument("--resume", action="store_true", help="continue from the last state in the run folder")


@exclusive_output_folder
def run(args: argparse.Namespace) -> Output:
    """Train, or continue a run; the document has the best checkpoint and its validation figures."""
    if args.domain not in (None, "waveform") or any(is_sequences(path) for path in args.corpus):
        return train_on_sequences(args)
    return train_on_speech(args)
