"""Encoders of open_clip: OpenAI CLIP, LAION, DataComp, SigLIP, EVA02, multilingual ones (xlm-roberta, nllb).

Code: github.com/mlfoundations/open_clip. Papers: Radford et al. 2021 (arXiv 2103.00020), Cherti et al. 2023
(2212.07143), Zhai et al. 2023 (SigLIP, 2303.15343), Sun et al. 2023 (EVA-CLIP, 2303.15389).
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.errors import RecipeError
from stages.common.encoder import Facts, Frame, Front, Precision, Tokens, Towers
from stages.common.encoder_torch import Batch, Ints, Parts, TorchTowers, device_of, precision_of
from stages.common.hub import go_offline
from stages.common.open_clip_source import Source, resolve
from stages.common.torchvision_cure import cure_torchvision
from stages.common.weight_files import WANTED, digests

if TYPE_CHECKING:
    import torch

# A text is cut before it is tokenised: the tokenizer's time grows with the square of a word's length. No
# token of CLIP's vocabulary stands for more than 28 bytes, so what is cut is beyond the context.
_LONGEST_TOKEN = 32
_LONGEST_TEXT = 65_536  # characters before cleaning
_KNOWN_WORDS = 100_000  # that the tokenizer may remember, some 30 MB


@dataclass(frozen=True)
class OpenClip:
    """A model of open_clip by name and weights: a tag, a file, a folder; or `local-dir:/folder`.

    A folder has `open_clip_config.json`, weights, and the tokenizer's files where the model's is not CLIP's
    own; a text tower of transformers also needs `<its name>/config.json`. With local weights no hub is asked:
    HF_HUB_OFFLINE is set unless the environment says otherwise.

    Two things differ from open_clip. A file's transform is that of the model's published weights where they
    agree (open_clip takes OpenAI's for all files). Weights that were trained with QuickGELU run with it under
    any of the model's names (open_clip warns and runs them with GELU).
    """

    model: str
    weights: str

    def source(self) -> Source:
        """Looked up anew each time: files come and go while a recipe is written."""
        return resolve(self.model, self.weights)

    def facts(self) -> Facts:
        """From the package's configurations or the folder's."""
        source = self.source()
        return Facts(int(source.model["embed_dim"]), source.image_size)

    def assets(self) -> Mapping[str, str]:
        """SHA-256 of each file, by its name; of weights by tag the tag."""
        source = self.source()
        tag = {"weights": source.tag} if source.tag else {}
        return tag | digests(source.files(), "weights")

    def notices(self) -> frozenset[str]:
        """Model and weights; licences of weights differ, and open_clip does not tell them."""
        source = self.source()
        return frozenset({f"{source.label}, by open_clip (MIT); weights have a licence of their own"})

    def front(self) -> Front:
        """On a worker: nothing of the model is built."""
        return _Front(self.source())

    def towers(self, precision: Precision, gpu: bool) -> Towers:
        """All weights are cast; torch sums in float32 within a layer."""
        source = self.source()
        device, dtype = device_of(gpu), precision_of(precision, gpu)
        model = _load(source).to(device=device, dtype=dtype)
        return TorchTowers(_parts(model, source), device, dtype)


class _Front:
    """See `Front`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._resize = source.resize
        if source.text.get("hf_tokenizer_name"):
            # a file that is missing is told at once; CLIP's own tokenizer is in the package
            self._tokenizer = _tokenizer(source)
        # each call sets padding and length in the tokenizer itself
        self._lock = threading.Lock()

    @cached_property
    def _tokenizer(self) -> Any:
        return _tokenizer(self._source)  # half a second, and images need none

    @cached_property
    def _first_words(self) -> dict[Any, Any]:
        return dict(getattr(self._tokenizer, "cache", {}))  # the special ones

    def pixels(self, frame: Frame) -> Frame:
        """As the model's own transform up to ToTensor."""
        return self._resize(frame)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """`tokens`: int64 (n, context)."""
        if not texts:
            return {"tokens": np.zeros((0, self._tokenizer.context_length), dtype=np.int64)}
        with self._lock:
            known = self._first_words  # looked at before the first text
            found = self._tokenizer([text[:_LONGEST_TEXT] for text in texts]).numpy()
            if len(getattr(self._tokenizer, "cache", ())) > _KNOWN_WORDS:
                self._tokenizer.cache = dict(known)
        return {"tokens": found.astype(np.int64, copy=False)}


def _imported(source: Source) -> Any:
    """open_clip; offline with local weights, said before the hub's library reads the environment."""
    if source.file is not None:
        go_offline()
    cure_torchvision()
    import open_clip

    return open_clip


def _tokenizer(source: Source) -> Any:
    """open_clip's own for the model, from the local folder where it has the files."""
    text = source.text
    named = text.get("hf_tokenizer_name")
    context = int(text.get("context_length", 77))
    more = dict(text.get("tokenizer_kwargs") or {})
    open_clip = _imported(source)
    if not named:
        tokenizer = open_clip.SimpleTokenizer(context_length=context, **more)
        clean = tokenizer.clean_fn
        tokenizer.clean_fn = lambda text: clean(text)[: context * _LONGEST_TOKEN]
        return tokenizer
    local = source.tokenizer_folder()
    mode = text.get("tokenizer_mode")
    try:
        return open_clip.tokenizer.HFTokenizer(
            str(local or named),
            context_length=context,
            tokenizer_mode=mode,
            local_files_only=local is not None,
            **more,
        )
    except ImportError as error:
        raise RecipeError(
            "model", f"{source.name} needs a package: {error}", "pip install 'mmcurate[clip]'"
        ) from error
    except (OSError, ValueError) as error:
        raise RecipeError(
            "model", f"{source.name} has the tokenizer {named}: {_first_line(error)}", _wanted(source)
        ) from error


def _wanted(source: Source) -> str:
    if source.folder is None:
        return "the hub cannot be reached, and its cache does not hold it"
    return f"{source.folder} must hold {WANTED}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _load(source: Source) -> torch.nn.Module:
    """The model with its weights, float32 on the CPU; RecipeError where they are not its own."""
    open_clip = _imported(source)
    from safetensors import SafetensorError

    more: dict[str, Any] = {}
    if name := source.text.get("hf_model_name"):
        place = source.text_folder()
        more["text_cfg"] = source.text | {"hf_model_name": str(place or name), "hf_model_pretrained": False}
    try:
        model: torch.nn.Module = open_clip.create_model(
            source.name,
            pretrained=str(source.file or source.tag),
            force_quick_gelu=source.quick_gelu,
            weights_only=True,
            pretrained_text=False,
            **more,
        )
    except pickle.UnpicklingError as error:
        raise RecipeError(
            "weights",
            f"{source.file} holds more than tensors, and is not loaded",
            "save its state_dict as safetensors (safetensors.torch.save_file)",
        ) from error
    except (RuntimeError, OSError, ValueError, KeyError, EOFError, SafetensorError) as error:
        hint = f"its text tower's config.json belongs into {source.folder}/{name}" if name else ""
        raise RecipeError(
            "weights", f"{source.name} cannot be loaded from {source.file or source.tag}: {error}", hint
        ) from error
    return model.eval().requires_grad_(False)


def _parts(model: Any, source: Source) -> Parts:
    tower = getattr(model, "text", model)
    pool = str(getattr(tower, "pool_type", None) or getattr(tower, "text_pool_type", None))
    # Causal, and pooled where the text ends: what comes behind is never looked at.
    causal = getattr(tower, "attn_mask", None) is not None and getattr(tower, "cls_emb", None) is None
    cut = causal and pool in ("argmax", "eos") and not getattr(tower, "use_pad_mask", False)

    def texts(batch: Batch) -> torch.Tensor:
        if cut:
            return _encode_cut(tower, batch["tokens"], pool)
        return model.encode_text(batch["tokens"])  # type: ignore[no-any-return]

    return Parts(
        dim=int(source.model["embed_dim"]),
        mean=source.transform["mean"],
        std=source.transform["std"],
        images=model.encode_image,
        texts=texts,
        lengths=partial(_lengths, eos=_eos(tower) if pool == "eos" else None) if cut else None,
    )


def _eos(tower: Any) -> int | None:
    found: int | None = getattr(tower, "eos_id", getattr(tower, "text_eos_id", None))
    return found


def _lengths(tokens: Tokens, eos: int | None) -> Ints:
    """Tokens up to the one that is pooled: the highest id, or the first `eos`."""
    ids = tokens["tokens"]
    ends: Ints = (ids if eos is None else ids == eos).argmax(axis=1)
    return ends + 1


def _encode_cut(tower: Any, tokens: torch.Tensor, pool: str) -> torch.Tensor:
    """`encode_text` of open_clip's CLIP and of its TextTransformer, for texts shorter than the context.

    Their own forward adds all positions and takes the whole causal mask; here both are cut to the width of
    `tokens`. The rest are the tower's own modules.
    """
    import torch

    width = tokens.shape[1]
    kind = tower.transformer.get_cast_dtype()
    x = tower.token_embedding(tokens).to(kind) + tower.positional_embedding[:width].to(kind)
    x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:width, :width]))
    marked = tokens if pool == "argmax" else tokens.eq(_eos(tower) or 0).int()
    ends = marked.argmax(dim=-1)
    x = x[torch.arange(len(x), device=x.device), ends]
    projection = tower.text_projection
    if projection is None:
        return x  # type: ignore[no-any-return]
    return projection(x) if isinstance(projection, torch.nn.Linear) else x @ projection  # type: ignore[no-any-return]
