"""Speech models of transformers with the strides of the real ones and hardly any dimensions, in folders."""

from pathlib import Path
from typing import Any

import torch

KINDS = ("wav2vec2", "hubert", "wavlm", "whisper")
LAYERS = {"wav2vec2": 3, "hubert": 3, "wavlm": 3, "whisper": 2}
DIMS = 16


def build(kind: str) -> Any:
    """A model with a head, and its feature extractor."""
    import transformers

    size = {"hidden_size": DIMS, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
    convolutions = {"conv_dim": [8] * 7, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    torch.manual_seed(5)
    match kind:
        case "wav2vec2":  # with a head that reads out letters
            return transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**size, **convolutions))
        case "hubert":
            return transformers.HubertModel(transformers.HubertConfig(**size, **convolutions))
        case "wavlm":
            return transformers.WavLMModel(transformers.WavLMConfig(**size, **convolutions))
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_layers": 2, "decoder_layers": 1}
    tokens = {"vocab_size": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    config = transformers.WhisperConfig(
        d_model=DIMS, encoder_ffn_dim=24, decoder_ffn_dim=24, suppress_tokens=[], begin_suppress_tokens=[], **heads,
        **tokens,
    )  # fmt: skip
    return transformers.WhisperForConditionalGeneration(config)


def extractor(kind: str) -> Any:
    import transformers

    if kind == "whisper":
        return transformers.WhisperFeatureExtractor()
    return transformers.Wav2Vec2FeatureExtractor(do_normalize=kind != "hubert")


def save(kind: str, folder: Path) -> Path:
    build(kind).save_pretrained(folder)
    extractor(kind).save_pretrained(folder)
    return folder
