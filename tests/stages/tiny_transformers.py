"""Small Hugging Face folders with random weights: model, image processor, tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tiny_encoders import TEXTS, sentence_tokenizer, spread

KINDS = ("clip", "siglip", "chinese_clip", "altclip")
_SMALL = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
_VISION = {**_SMALL, "image_size": 64, "patch_size": 16}


def transformers_folder(folder: Path, kind: str) -> Path:
    """A folder of the kind (`model_type`)."""
    import torch
    import transformers as tf

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    tokenizer = {
        "clip": bpe_tokenizer,
        "siglip": sentence_tokenizer,
        "chinese_clip": word_tokenizer,
        "altclip": sentence_tokenizer,
    }[kind](folder)
    text = {**_SMALL, "vocab_size": max(len(tokenizer), 400)}
    size = {"shortest_edge": 64}
    crop = {"height": 64, "width": 64}
    processor: Any
    config: Any
    if kind == "clip":
        text |= {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
        config = tf.CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=48)
        processor = tf.CLIPImageProcessorPil(size=size, crop_size=crop)
    elif kind == "siglip":
        config = tf.SiglipConfig(text_config=text, vision_config=_VISION)
        processor = tf.SiglipImageProcessorPil(size=crop)
    elif kind == "chinese_clip":
        config = tf.ChineseCLIPConfig(text_config=text, vision_config=_VISION, projection_dim=48)
        processor = tf.ChineseCLIPImageProcessorPil(size={"shortest_edge": 72}, crop_size=crop)
    else:
        text |= {"project_dim": 64, "pad_token_id": 1}
        config = tf.AltCLIPConfig(text_config=text, vision_config=_VISION, projection_dim=48)
        processor = tf.CLIPImageProcessorPil(size=size, crop_size=crop)
    model = tf.AutoModel.from_config(config).eval()
    model.load_state_dict(spread(model))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def bpe_tokenizer(folder: Path) -> Any:
    """CLIP's class over a small vocabulary of bytes."""
    from transformers import CLIPTokenizer

    letters = [chr(c) for c in range(33, 127)]
    words = [*letters, *(f"{c}</w>" for c in letters), "do", "dog</w>", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\nd o\ndo g</w>\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=77)


def word_tokenizer(folder: Path) -> Any:
    """BERT's, over the characters of the texts."""
    from transformers import BertTokenizer

    characters = sorted({c for text in TEXTS for c in text.lower() if not c.isspace()})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *(f"##{c}" for c in characters)]
    (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
    return BertTokenizer.from_pretrained(folder)
