"""torchaudio's class of speech models, with the strides of the real ones and hardly any dimensions."""

from torch import nn
from torchaudio.models import wav2vec2_model

LAYERS = 9


def tiny() -> nn.Module:
    return wav2vec2_model(
        extractor_mode="group_norm",
        extractor_conv_layer_config=[(4, 10, 5), *[(4, 3, 2)] * 4, *[(4, 2, 2)] * 2],
        extractor_conv_bias=False,
        encoder_embed_dim=8,
        encoder_projection_dropout=0.1,
        encoder_pos_conv_kernel=4,
        encoder_pos_conv_groups=2,
        encoder_num_layers=LAYERS,
        encoder_num_heads=2,
        encoder_attention_dropout=0.1,
        encoder_ff_interm_features=16,
        encoder_ff_interm_dropout=0.1,
        encoder_dropout=0.1,
        encoder_layer_norm_first=False,
        encoder_layer_drop=0.5,
        aux_num_out=None,
    )
