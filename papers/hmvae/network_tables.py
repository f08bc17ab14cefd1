"""Tables 3 and 5 to 8 of the HMVAE paper: its networks as printed beside those built."""

import re

from shared.report.layout import Text, TextColumn, TextTable, words

# How the paper writes what the package calls ...; the first that fits. It prints no reshaping.
_NOTATION = (
    (r"Input (.+)", r"Input R^{\1}"),
    (r"Linear (\d+)-(\d+)", r"Dense(\1, \2)"),
    (r"Conv2d (\d+)-(\d+), (\d+)x\3, stride (\d+), pad (\d+)", r"Conv(\1, \2, \3, \4, \5)"),
    (r"ConvTranspose2d (\d+)-(\d+), (\d+)x\3, stride (\d+), pad (\d+)", r"ConvT(\1, \2, \3, \4, \5)"),
    (r"BatchNorm2d \d+", "BatchNorm"),
    (r"SiLU", "Swish"),
    (r"(Unf|F)latten.*", ""),
    (r"Bernoulli", "Sigmoid [in the likelihood]"),
    (r"g (.+)", r"g R^{\1}"),
    (r"z_image_1 (.+)", r"z_1 R^{\1}"),
    (r"z_caption_1 (.+)", r"z_2 R^{\1}"),
)
# Table 5 prints the output padding of transposed convolutions, too.
_TABLE5 = tuple((pattern, form[:-1] + ", 0)" if form.startswith("ConvT") else form) for pattern, form in _NOTATION)


def notation(text: str, forms: tuple[tuple[str, str], ...] = _NOTATION) -> str:
    """A layer of the package, as architecture.json has it, as the paper writes it; as it is, if it prints no such."""
    return next((found.expand(form) for pattern, form in forms if (found := re.fullmatch(pattern, text))), text)


def _networks(name: str, number: str, caption: Text, columns: tuple[TextColumn, ...], **more: object) -> TextTable:
    return TextTable(name, number, caption, columns, **({"notation": notation} | more))


def _coders(run: str, image_decoder: tuple[str, ...] = ("decoders.image",)) -> tuple[TextColumn, ...]:
    """Encoders and decoders of both modalities, in the order of the paper's columns."""
    parts = {
        "Image encoder": ("encoders.image",),
        "Image decoder": image_decoder,
        "Caption encoder": ("encoders.caption",),
        "Caption decoder": ("decoders.caption",),
    }
    return tuple(TextColumn(words(label), label, run, of_run) for label, of_run in parts.items())


def _latents(run: str, *names: str) -> TextColumn:
    return TextColumn(words("Latent variables"), "Latent variables", run, tuple(f"latents.{name}" for name in names))


_MHVAE = "oxford_flower/mhvae"

NETWORKS = (
    _networks(
        "table3_feature_networks",
        "Table 3",
        words("CUB and Oxford Flower, features: networks of the MVAE and the MMVAE."),
        (*_coders("flower_features/mvae"), _latents("flower_features/mvae", "g")),
    ),
    _networks(
        "table5_flat_networks",
        "Table 5",
        words("Oxford Flower: networks of the MVAE and the MMVAE."),
        _coders("oxford_flower/mvae", ("decoders.image", "likelihoods.image")),
        notation=lambda text: notation(text, _TABLE5),
    ),
    _networks(
        "table6_mdvae_networks",
        "Table 6",
        words("Oxford Flower: networks of the MDVAE."),
        (*_coders("oxford_flower/mdvae"), _latents("oxford_flower/mdvae", "g", "z_image_1", "z_caption_1")),
    ),
    _networks(
        "table7_mhvae_lower_networks",
        "Table 7",
        words("Oxford Flower: networks of the MHVAE between data, hidden states and modality-specific variables."),
        tuple(
            TextColumn(Text(latex, plain), plain, _MHVAE, (part,))
            for latex, plain, part in (
                (r"Lower encoder: $x_1 \to h_1$", "Lower encoder: x_1 -> h_1", "lower_encoders.image"),
                (r"Lower decoder: $z_1 \to x_1$", "Lower decoder: z_1 -> x_1", "lower_decoders.image"),
                (r"Lower encoder: $x_2 \to h_2$", "Lower encoder: x_2 -> h_2", "lower_encoders.caption"),
                (r"Lower decoder: $z_2 \to x_2$", "Lower decoder: z_2 -> x_2", "lower_decoders.caption"),
            )
        ),
    ),
    _networks(
        "table8_mhvae_upper_networks",
        "Table 8",
        words("Oxford Flower: networks of the MHVAE between hidden states and latent variables."),
        (
            TextColumn(
                Text(r"Upper encoder: $h \to g$", "Upper encoder: h -> g"),
                "Upper encoder: h -> g",
                _MHVAE,
                ("upper_encoder",),
            ),
            _latents(_MHVAE, "z_image_1", "z_caption_1"),
            *(
                TextColumn(
                    Text(rf"{label}: ${arrow} \to z_{i}$", f"{label}: {arrow} -> z_{i}"),
                    f"{label}: {arrow} -> z",
                    _MHVAE,
                    (f"{parts}.{modality}",),
                    name=f"{label}: {arrow} -> z_{i}",
                )
                for label, arrow, parts in (("Upper decoder", "g", "upper_decoders"), ("Encoder", "h", "private_heads"))
                for i, modality in ((1, "image"), (2, "caption"))
            ),
        ),
    ),
)
