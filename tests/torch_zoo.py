"""A zoo of `transformers` architectures for the PyTorch frontend: tiny configurations with random weights.

`ZOO` maps a name to an `Architecture`: how its model is built, example inputs by argument name, and the axes that are
dynamic. Weights and inputs are seeded, so that a figure can be looked into twice.

A cache of keys and values is a nested input, one leaf a layer and kind. Their names are the path in torch's pytree:
`transformers` registers a `DynamicCache` as `{"key_cache": [...], "value_cache": [...]}`, so that they are called
`past_key_values.key_cache.0`, `past_key_values.value_cache.0`, and so on, as inputs and as outputs. The cache is built
of plain layers: one that drops keys outside a sliding window counts its tokens in Python, which no graph can follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Axes = dict[int, str]
Settings = dict[str, Any]

Sizes = Mapping[str, int]

SIZES = {"batch": 2, "time": 7, "past": 5, "target": 6, "samples": 1600, "texts": 3, "images": 2}  # of the examples
IMAGE, LAYERS = 32, 2


@dataclass(frozen=True)
class Architecture:
    """One row. type: the `model_type` of `transformers`; auto: its class that makes a model of a configuration."""

    type: str
    kind: str
    auto: str
    inputs: Callable[[Any, Sizes], dict[str, Any]]  # the configuration, sizes -> tensors by argument name
    axes: Mapping[str, Axes]
    settings: Settings = field(default_factory=dict)

    def build(self) -> tuple[Any, dict[str, Any], dict[str, Axes]]:
        """The model in eval mode, its example inputs, and its dynamic axes by the name of the leaf."""
        import torch
        import transformers

        config = transformers.CONFIG_MAPPING[self.type](**self.settings)
        config.use_cache = self.kind == "cache"
        torch.manual_seed(0)
        model = getattr(transformers, self.auto).from_config(config).eval()
        with torch.no_grad():  # the usual 0.02 hides a wrong attention; a bias of 0 hides a lost one
            for parameter in model.parameters():
                parameter.add_(0.15 * torch.randn_like(parameter))
            for name, buffer in model.named_buffers():
                if name.endswith(("running_mean", "running_var")):
                    buffer.add_(0.4 * torch.rand_like(buffer))
        inputs = self.inputs(model.config, SIZES)
        return model, inputs, {name: dict(self.axes[name.partition(".")[0]]) for name in leaf_names(inputs)}


def leaf_names(inputs: Mapping[str, Any]) -> list[str]:
    """Names of the tensors in `inputs`: the path in torch's pytree, joined by dots."""
    import torch
    from torch.utils import _pytree as pytree

    found = []
    for path, leaf in pytree.tree_flatten_with_path(dict(inputs))[0]:
        if isinstance(leaf, torch.Tensor):
            keys = [getattr(k, "key", getattr(k, "idx", getattr(k, "name", None))) for k in path]
            found.append(".".join(str(k) for k in keys))
    return found


# -- inputs -----------------------------------------------------------------------------------------------------------
def _tokens(batch: int, time: int, seed: int = 1) -> Any:
    import torch

    return torch.randint(3, 90, (batch, time), generator=torch.Generator().manual_seed(seed))


def _mask(batch: int, time: int) -> Any:
    """1 where there is a token; the last of several sequences ends with padding."""
    import torch

    mask = torch.ones(batch, time, dtype=torch.int64)
    if batch > 1 and time > 1:
        mask[-1, -1] = 0
    return mask


def _noise(*shape: int) -> Any:
    import torch

    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def text(config: Any, sizes: Sizes, batch: str = "batch") -> dict[str, Any]:
    shape = sizes[batch], sizes["time"]
    return {"input_ids": _tokens(*shape), "attention_mask": _mask(*shape)}


def continued(config: Any, sizes: Sizes) -> dict[str, Any]:
    """A decoder with cached steps and new ones."""
    from transformers import DynamicCache
    from transformers.integrations.executorch import register_dynamic_cache_export_support

    register_dynamic_cache_export_support()
    config = config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    if config.model_type == "falcon":
        heads = 1 if config.multi_query else config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    batch, time, past = sizes["batch"], sizes["time"], sizes["past"]
    layers = [(_noise(batch, heads, past, width), _noise(batch, heads, past, width)) for _ in range(LAYERS)]
    return {
        "input_ids": _tokens(batch, time),
        "attention_mask": _mask(batch, past + time),
        "past_key_values": DynamicCache(layers),
    }


def pair(config: Any, sizes: Sizes) -> dict[str, Any]:
    """An encoder and its decoder."""
    return text(config, sizes) | {"decoder_input_ids": _tokens(sizes["batch"], sizes["target"], 3)}


def image(config: Any, sizes: Sizes, batch: str = "batch") -> dict[str, Any]:
    side = 64 if config.model_type == "mobilevitv2" else IMAGE  # after five halvings it takes patches of 2 by 2
    return {"pixel_values": _noise(sizes[batch], 3, side, side)}


def text_and_image(config: Any, sizes: Sizes) -> dict[str, Any]:
    return text(config, sizes, "texts") | image(config, sizes, "images")


def boxes(config: Any, sizes: Sizes) -> dict[str, Any]:
    """Words on a page. A valid box has its corners in order, which random ones have not: all are one point."""
    found = text(config, sizes)
    return found | {"bbox": (found["input_ids"] * 0 + 5)[..., None].repeat(1, 1, 4)}


def wave(config: Any, sizes: Sizes) -> dict[str, Any]:
    return {"input_values": _noise(sizes["batch"], sizes["samples"])}


def spectrum(config: Any, sizes: Sizes) -> dict[str, Any]:
    """A spectrogram of the one length that the model admits, and the start of its transcript."""
    features = _noise(sizes["batch"], config.num_mel_bins, 2 * config.max_source_positions)
    return {"input_features": features, "decoder_input_ids": _tokens(sizes["batch"], sizes["target"])}


B, BT = {0: "batch"}, {0: "batch", 1: "time"}
TEXT = {"input_ids": BT, "attention_mask": BT}
CACHE = {"input_ids": BT, "attention_mask": {0: "batch", 1: "past + time"}, "past_key_values": {0: "batch", 2: "past"}}
PAIR = TEXT | {"decoder_input_ids": {0: "batch", 1: "target"}}
TOWERS = {name: {0: "texts", 1: "time"} for name in TEXT} | {"pixel_values": {0: "images"}}
WAVE = {"input_values": {0: "batch", 1: "samples"}}
SPECTRUM = {"input_features": B, "decoder_input_ids": {0: "batch", 1: "target"}}

# -- configurations: what is called alike in most of them, then the rows ----------------------------------------------
SMALL = {"num_hidden_layers": LAYERS, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
WORDS = {"vocab_size": 99, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LM = SMALL | WORDS
GQA = LM | {"num_key_value_heads": 2, "head_dim": 8}
EXPERTS = GQA | {"num_experts_per_tok": 2, "num_local_experts": 4, "moe_intermediate_size": 16}
NARROW = WORDS | {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "decoder_start_token_id": 1}
NARROW |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
T5 = WORDS | {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "num_decoder_layers": 2}
PATCHES = SMALL | {"image_size": IMAGE, "patch_size": 8}
SWIN = {"image_size": IMAGE, "patch_size": 2, "embed_dim": 8, "depths": [2, 1], "num_heads": [1, 2], "window_size": 4}
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8, "num_stages": 2}
FUNNEL = {"vocab_size": 99, "block_sizes": [1, 1], "block_repeats": [1, 1], "num_decoder_layers": 1, "d_model": 32}
FUNNEL |= {"n_head": 4, "d_head": 8, "d_inner": 64, "architectures": ["FunnelModel"]}
SPEECH = SMALL | {"conv_dim": (16, 16), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_feat_extract_layers": 2}
SPEECH |= {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4, "vocab_size": 32}

ENCODERS: dict[str, Settings] = {
    "albert": {"embedding_size": 16},
    "bert": {},
    "big_bird": {"attention_type": "original_full"},
    "camembert": {},
    "convbert": {"embedding_size": 16, "head_ratio": 2},
    "data2vec-text": {},
    "deberta": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
    "distilbert": {"n_layers": 2, "dim": 32, "n_heads": 4, "hidden_dim": 64},
    "electra": {"embedding_size": 16},
    "ernie": {},
    "esm": {"token_dropout": False, "position_embedding_type": "rotary", "mask_token_id": 4},
    "eurobert": {},
    "flaubert": {"emb_dim": 32, "n_layers": 2, "n_heads": 4},
    "ibert": {},
    "megatron-bert": {},
    "mobilebert": {"embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 4, "cls_token_id": 1, "sep_token_id": 2},
    "mpnet": {},
    "nomic_bert": {},
    "nystromformer": {"num_landmarks": 1, "segment_means_seq_len": 1},
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "roberta": {},
    "roberta-prelayernorm": {},
    "roformer": {"embedding_size": 16},
    "squeezebert": {
        "embedding_size": 32,
        "q_groups": 2,
        "k_groups": 2,
        "v_groups": 2,
        "intermediate_groups": 2,
        "output_groups": 2,
    },
    "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 4},
    "xlm-roberta": {},
    "xlm-roberta-xl": {},
    "xmod": {"default_language": "en_XX"},
}
PAGES: dict[str, Settings] = {"layoutlm": {}, "lilt": {"hidden_size": 48, "channel_shrink_ratio": 4}}
DECODERS: dict[str, Settings] = {
    "apertus": GQA,
    "arcee": GQA,
    "biogpt": LM,
    "bloom": {"n_layer": 2, "n_head": 4},
    "codegen": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
    "cohere": GQA,
    "cohere2": GQA | {"sliding_window": 4, "sliding_window_pattern": 2},
    "diffllama": GQA,
    "ernie4_5": GQA,
    "exaone4": GQA | {"sliding_window": 4, "sliding_window_pattern": 2},
    "falcon": {},
    "gemma": GQA,
    "gemma2": GQA | {"sliding_window": 4},
    "gemma3_text": GQA | {"sliding_window": 4, "sliding_window_pattern": 2},
    "glm": GQA,
    "glm4": GQA,
    "gpt2": {},
    "gpt_bigcode": {},
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 4},
    "gpt_neox": {},
    "gptj": {"rotary_dim": 4},
    "granite": GQA,
    "helium": GQA,
    "hunyuan_v1_dense": GQA,
    "llama": GQA,
    "ministral": GQA | {"sliding_window": 4},
    "mistral": GQA | {"sliding_window": 4},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 64},
    "nemotron": GQA,
    "olmo": GQA,
    "olmo2": GQA,
    "olmo3": GQA | {"sliding_window": 4},
    "openai-gpt": {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "persimmon": {},
    "phi": {"num_key_value_heads": 2},
    "phi3": GQA,
    "qwen2": GQA,
    "qwen3": GQA,
    "seed_oss": GQA,
    "smollm3": GQA,
    "stablelm": {"num_key_value_heads": 2},
    "starcoder2": GQA,
    "xglm": {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64},
}
MIXTURES: dict[str, Settings] = {
    "deepseek_v3": {"n_routed_experts": 4, "n_group": 2, "topk_group": 1, "q_lora_rank": 16, "kv_lora_rank": 8}
    | {"head_dim": 4, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8, "first_k_dense_replace": 1}
    | {"num_key_value_heads": 4},
    "ernie4_5_moe": {"moe_num_experts": 4, "moe_k": 2, "moe_layer_start_index": 1},
    "glm4_moe": {"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1},
    "gpt_oss": {"sliding_window": 4},
    "granitemoe": {},
    "mixtral": {},
    "olmoe": {"num_experts": 4},
    "phimoe": {},
    "qwen2_moe": {"num_experts": 4, "shared_expert_intermediate_size": 16},
    "qwen3_moe": {"num_experts": 4},
}
CACHED = (
    *("bloom", "cohere", "falcon", "gemma", "gemma2", "gemma3_text", "glm4", "gpt2", "gpt_neo", "gpt_neox", "gptj"),
    *("granite", "llama", "mistral", "nemotron", "olmo2", "opt", "phi", "phi3", "qwen2", "qwen3", "smollm3"),
    *("stablelm", "starcoder2", "gpt_oss", "granitemoe", "mixtral", "olmoe", "qwen2_moe", "qwen3_moe"),
)
PAIRS: dict[str, Settings] = {
    "bart": NARROW,
    "blenderbot": NARROW,
    "blenderbot-small": NARROW,
    "longt5": T5 | {"local_radius": 3, "encoder_attention_type": "local"},
    "m2m_100": NARROW,
    "marian": NARROW,
    "mbart": NARROW,
    "mt5": T5,
    "pegasus": NARROW,
    "plbart": NARROW,
    "prophetnet": WORDS
    | {"hidden_size": 32, "num_encoder_layers": 2, "num_decoder_layers": 2, "decoder_start_token_id": 1}
    | {"num_encoder_attention_heads": 4, "num_decoder_attention_heads": 4, "encoder_ffn_dim": 64}
    | {"decoder_ffn_dim": 64, "ngram": 2, "num_buckets": 8, "relative_max_distance": 16},
    "switch_transformers": T5 | {"num_experts": 4, "expert_capacity": 64},
    "t5": T5,
    "umt5": T5,
}  # fmt: skip
VISION: dict[str, Settings] = {
    "beit": PATCHES | {"use_relative_position_bias": True},
    "bit": STAGES | {"num_groups": 4},
    "clip_vision_model": PATCHES,
    "convnext": STAGES | {"patch_size": 4},
    "convnextv2": STAGES | {"patch_size": 4},
    "cvt": {"embed_dim": [8, 16], "num_heads": [1, 2], "depth": [1, 2], "patch_sizes": [7, 3], "patch_stride": [4, 2]}
    | {"patch_padding": [2, 1], "cls_token": [False, True], "mlp_ratio": [2.0, 2.0], "attention_drop_rate": [0.0, 0.0]}
    | {"drop_rate": [0.0, 0.0], "drop_path_rate": [0.0, 0.0], "qkv_bias": [True, True], "kernel_qkv": [3, 3]}
    | {"qkv_projection_method": ["dw_bn", "dw_bn"], "padding_kv": [1, 1], "stride_kv": [2, 2], "padding_q": [1, 1]}
    | {"stride_q": [1, 1]},
    "data2vec-vision": PATCHES,
    "deit": PATCHES,
    "dinov2": PATCHES,
    "dinov2_with_registers": PATCHES,
    "dinov3_vit": PATCHES,
    "efficientnet": {
        "image_size": IMAGE,
        "hidden_dim": 320,
        "kernel_sizes": [3, 5],
        "in_channels": [32, 16],
        "out_channels": [16, 24],
    }
    | {
        "strides": [1, 2],
        "num_block_repeats": [1, 1],
        "expand_ratios": [1, 6],
        "width_coefficient": 0.25,
        "depthwise_padding": [1],
    },
    "focalnet": {"image_size": IMAGE, "embed_dim": 8, "depths": [1, 1], "focal_levels": [2, 2], "focal_windows": [3, 3]}
    | {"hidden_sizes": [8, 16]},
    "hiera": {
        "image_size": [IMAGE, IMAGE],
        "embed_dim": 8,
        "depths": [1, 1, 1],
        "num_heads": [1, 1, 2],
        "num_query_pool": 2,
    },
    "ijepa": PATCHES,
    "levit": {"image_size": IMAGE, "hidden_sizes": [16, 16, 32], "num_attention_heads": [1, 2, 2], "depths": [1, 1, 1]}
    | {"key_dim": [8, 8, 8]},
    "mobilenet_v1": {"image_size": IMAGE, "depth_multiplier": 0.25},
    "mobilenet_v2": {"image_size": IMAGE, "depth_multiplier": 0.25},
    "mobilevit": {"image_size": IMAGE, "hidden_sizes": [16, 16, 16], "neck_hidden_sizes": [8, 8, 16, 16, 16, 16, 32]}
    | {"num_attention_heads": 2},
    "mobilevitv2": {"image_size": 64, "width_multiplier": 0.125},
    "poolformer": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
    "pvt": {
        "image_size": IMAGE,
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 2, 2],
    },
    "pvt_v2": {
        "image_size": IMAGE,
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 2, 2],
    },
    "regnet": STAGES | {"groups_width": 4},
    "resnet": STAGES,
    "segformer": {
        "image_size": IMAGE,
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 2, 2],
    },
    "siglip_vision_model": PATCHES,
    "swiftformer": {"image_size": IMAGE, "embed_dims": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
    "swin": SWIN,
    "swinv2": SWIN,
    "vit": PATCHES,
    "vit_msn": PATCHES,
    "yolos": PATCHES | {"image_size": [IMAGE, IMAGE], "num_detection_tokens": 4},
}
SPEECHES: dict[str, Settings] = {
    "data2vec-audio": {"conv_pos_kernel_size": 9},
    "hubert": {},
    "sew": {"squeeze_factor": 2},
    "unispeech": {},
    "unispeech-sat": {},
    "wav2vec2": {},
    "wav2vec2-conformer": {"max_source_positions": 400, "conv_depthwise_kernel_size": 7},
    "wavlm": {"max_bucket_distance": 80, "num_buckets": 32},
}
TOWER = {"text_config": LM, "vision_config": PATCHES, "projection_dim": 16}
SPEECH_TO_TEXT = NARROW | {"num_mel_bins": 8, "max_source_positions": 30, "max_target_positions": 64}


def _zoo() -> Iterator[tuple[str, Architecture]]:
    lm, seq2seq = "AutoModelForCausalLM", "AutoModelForSeq2SeqLM"
    for name, own in ENCODERS.items():
        yield name, Architecture(name, "encoder", "AutoModel", text, TEXT, LM | own)
    yield "clip_text_model", Architecture("clip_text_model", "encoder", "AutoModel", text, TEXT, LM)
    yield "funnel", Architecture("funnel", "encoder", "AutoModel", text, TEXT, FUNNEL)
    for name, own in PAGES.items():
        yield name, Architecture(name, "encoder", "AutoModel", boxes, TEXT | {"bbox": BT}, LM | own)
    for name, own in DECODERS.items():
        yield name, Architecture(name, "decoder", lm, text, TEXT, LM | own)
    for name, own in MIXTURES.items():
        yield name, Architecture(name, "experts", lm, text, TEXT, EXPERTS | own)
    for name in CACHED:
        settings = LM | DECODERS[name] if name in DECODERS else EXPERTS | MIXTURES[name]
        yield f"{name} cached", Architecture(name, "cache", lm, continued, CACHE, settings)
    for name, own in PAIRS.items():
        yield name, Architecture(name, "pair", seq2seq, pair, PAIR, own)
    yield "whisper", Architecture("whisper", "pair", "AutoModelForSpeechSeq2Seq", spectrum, SPECTRUM, SPEECH_TO_TEXT)
    for name, own in VISION.items():
        yield name, Architecture(name, "vision", "AutoModel", image, {"pixel_values": B}, own)
    for name in ("clip", "siglip"):
        yield name, Architecture(name, "towers", "AutoModel", text_and_image, TOWERS, TOWER)
    for name, own in SPEECHES.items():
        yield name, Architecture(name, "speech", "AutoModel", wave, WAVE, SPEECH | own)


ZOO = dict(_zoo())
