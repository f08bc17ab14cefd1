"""What goes where in the tables of the HMVAE paper."""

from papers.hmvae.network_tables import NETWORKS
from shared.report.layout import Column, Panel, Row, Stub, Table, Text, words

# The proposal that each is estimated from is the variant of its metric.
_LIKELIHOODS = tuple(
    Column(words(""), Text(rf"$\log p({latex})$", name), name, key=f"likelihood/{scored}", variant=proposal)
    for name, latex, scored, proposal in (
        ("log p(x1, x2)", r"\mathbf{x}_1, \mathbf{x}_2", "image+caption", "image+caption"),
        ("log p(x1)", r"\mathbf{x}_1", "image", "image"),
        ("log p(x2)", r"\mathbf{x}_2", "caption", "caption"),
        ("log p(x1|x2)", r"\mathbf{x}_1 \mid \mathbf{x}_2", "image|caption", "caption"),
        ("log p(x2|x1)", r"\mathbf{x}_2 \mid \mathbf{x}_1", "caption|image", "image"),
    )
)
_OF_IMAGES, _OF_CAPTIONS = words("Images from captions"), words("Captions from images")
_NEIGHBOURS = tuple(
    Column(group, words(label), f"{target} {name}", f"{target}/{name}")
    for group, target in ((_OF_IMAGES, "image"), (_OF_CAPTIONS, "caption"))
    for label, name in (("of its class", "coherence"), ("distinct", "distinct"))
)
_DATA_SETS = {"CUB": "cub_features", "Oxford Flower": "flower_features"}
_FEATURE_MODELS = {"MVAE": "mvae", "MMVAE": "mmvae", "HMVAE (this work)": "hmvae"}

table1_feature_likelihoods = Table(
    name="table1_feature_likelihoods",
    number="Table 1",
    caption=Text(
        r"Joint, marginal and crossmodal log-likelihoods of test samples, in nats: image features $\mathbf{x}_1$ and "
        r"caption features $\mathbf{x}_2$, both standardised. Below, not in the paper: of the test samples nearest to "
        r"what a model generates, as in Figs. 5 and 6, those of the condition's class and the distinct ones, in \%.",
        "Joint, marginal and crossmodal log-likelihoods of test samples, in nats: image features x1 and caption "
        "features x2, both standardised. Below, not in the paper: of the test samples nearest to what a model "
        "generates, as in Figs. 5 and 6, those of the condition's class and the distinct ones, in %.",
    ),
    panels=(
        *(
            Panel(
                title=words(data_set),
                heading=words("Model"),
                columns=_LIKELIHOODS,
                rows=tuple(
                    Row(words(name), f"{data_set}: {name}", f"{experiment}/{model}")
                    for name, model in _FEATURE_MODELS.items()
                ),
            )
            for data_set, experiment in _DATA_SETS.items()
        ),
        Panel(
            title=words("Neighbours"),
            heading=words("Model"),
            columns=_NEIGHBOURS,
            rows=tuple(
                Row(words(f"{data_set}: {name}"), f"Neighbours, {data_set}: {name}", f"{experiment}/{model}")
                for data_set, experiment in _DATA_SETS.items()
                for name, model in _FEATURE_MODELS.items()
            ),
        ),
    ),
)

_IMAGE = Text(r"$p(\mathbf{x}_1)$ vs.\ $p(\mathbf{x}_1 \mid \mathbf{x}_2)$", "images: p(x1) vs. p(x1|x2)")
_CAPTION = Text(r"$p(\mathbf{x}_2)$ vs.\ $p(\mathbf{x}_2 \mid \mathbf{x}_1)$", "captions: p(x2) vs. p(x2|x1)")
_LATENTS = Text(r"\#\,LV", "# LV")

_MEASURES = (
    Column(_IMAGE, words("FID"), "image FID", "image/fid"),
    Column(_IMAGE, words("Precision"), "image precision", "image/precision"),
    Column(_IMAGE, words("Recall"), "image recall", "image/recall"),
    Column(_IMAGE, words("F1"), "image F1", "image/f1"),
    Column(_IMAGE, words("Variance"), "image variance", "image/variance"),
    Column(_CAPTION, words("Precision"), "caption precision", "caption/precision"),
    Column(_CAPTION, words("Recall"), "caption recall", "caption/recall"),
    Column(_CAPTION, words("F1"), "caption F1", "caption/f1"),
)
_IMAGES, _CAPTIONS = (tuple(c.reported for c in _MEASURES if c.group == group) for group in (_IMAGE, _CAPTION))


_ELBO, _LISTENING = words("ELBO in nats"), words("Does the image follow the caption?")

_BESIDE = (
    Column(_ELBO, words("Both"), "ELBO of both", "elbo/both"),
    Column(_ELBO, words("Image"), "ELBO of the image", "elbo/image"),
    Column(_ELBO, words("Caption"), "ELBO of the caption", "elbo/caption"),
    Column(_LISTENING, words("Nats"), "caption nats", "listening/caption_nats"),
    Column(_LISTENING, words("r, R-G"), "colour red-green", "listening/colour_red_green"),
    Column(_LISTENING, words("r, B-Y"), "colour blue-yellow", "listening/colour_blue_yellow"),
    Column(_LISTENING, words("share, R-G"), "share red-green", "listening/share_red_green"),
    Column(_LISTENING, words("share, B-Y"), "share blue-yellow", "listening/share_blue_yellow"),
)
_MODELS = {
    "MVAE": "mvae",
    "MMVAE": "mmvae",
    "MDVAE": "mdvae",
    "HMVAE (ablation)": "hmvae_shallow",
    "MHVAE": "mhvae",
    "HMVAE (this work)": "hmvae_deep",
}


def _means(modality: int, levels: int) -> Text:
    """Heading of a row in which a modality's first `levels` latent variables are set to their means."""
    last = "" if levels == 1 else rf", \dots, z_{{{modality},{levels}}}" if levels > 2 else f", z_{{{modality},2}}"
    plain = "" if levels == 1 else f"..z{modality}{levels}"
    return Text(rf"$\{{z_{{{modality},1}}{last}\}}$", f"{{z{modality}1{plain}}}")


def _sampled(label: Text, reported: str, columns: tuple[str, ...], variant: str = "") -> Row:
    """A row of Table 2 (b): the deep HMVAE, with some latent variables set to their means in the variants."""
    return Row(label, reported, "oxford_flower/hmvae_deep", variant, columns=columns)


table2_oxford_flower = Table(
    name="table2_oxford_flower",
    number="Table 2",
    caption=Text(
        r"Oxford Flower: all models maximise the likelihood of images $\mathbf{x}_1$ and caption feature "
        r"vectors $\mathbf{x}_2$. (a) Models, with their number of latent variables (\#\,LV). (b) Hierarchy "
        r"of the deep HMVAE: the latent variables on the left are set to their means. (c) Not in the paper, test "
        r"split: bounds; nats that an image's bound loses with another class's caption; correlation $r$ of the colour "
        r"of image and samples; share of the samples' colour variance that lies between captions.",
        "Oxford Flower: all models maximise the likelihood of images x1 and caption feature vectors x2. "
        "(a) Models, with their number of latent variables (# LV). (b) Hierarchy of the deep HMVAE: the "
        "latent variables on the left are set to their means. (c) Not in the paper, test split: bounds; nats that an "
        "image's bound loses with another class's caption; correlation r of the colour of image and samples; share of "
        "the samples' colour variance that lies between captions.",
    ),
    panels=(
        Panel(
            title=words("(a) Models"),
            heading=words("Model"),
            stub=Stub(_LATENTS, "latent variables"),
            columns=_MEASURES,
            rows=tuple(Row(words(name), name, f"oxford_flower/{run}") for name, run in _MODELS.items()),
        ),
        Panel(
            title=words("(b) Hierarchy of the deep HMVAE"),
            heading=words("Mean over"),
            stub=Stub(words("Layers"), "effective layers"),
            columns=_MEASURES,
            rows=(
                _sampled(words("images: none"), "(b) image: all sampled", _IMAGES),
                _sampled(_means(1, 1), "(b) image: means of z_{1,1}", _IMAGES, "mean:1"),
                _sampled(_means(1, 2), "(b) image: means of z_{1,1..2}", _IMAGES, "mean:1-2"),
                _sampled(_means(1, 3), "(b) image: means of z_{1,1..3}", _IMAGES, "mean:1-3"),
                _sampled(_means(1, 4), "(b) image: means of z_{1,1..4}", _IMAGES, "mean:1-4"),
                _sampled(words("captions: none"), "(b) caption: all sampled", _CAPTIONS),
                _sampled(_means(2, 1), "(b) caption: means of z_{2,1}", _CAPTIONS, "mean:1"),
            ),
        ),
        Panel(
            title=words("(c) Beside the paper's measures"),
            heading=words("Model"),
            stub=Stub(words("")),
            columns=_BESIDE,
            rows=tuple(Row(words(name), f"(c) {name}", f"oxford_flower/{run}") for name, run in _MODELS.items()),
        ),
    ),
)

_COUNTS = (
    Column(words(""), _LATENTS, "latent variables", "architecture/latent_variables"),
    Column(words(""), Text(r"\#\,Params (M)", "# Params (M)"), "parameters", "architecture/parameters"),
)

table4_parameters = Table(
    name="table4_parameters",
    number="Table 4",
    caption=Text(
        r"Image generation on Oxford Flower: latent variables (\#\,LV) and trainable parameters.",
        "Image generation on Oxford Flower: latent variables (# LV) and trainable parameters.",
    ),
    panels=(
        Panel(
            title=words(""),
            heading=words("Model"),
            columns=_COUNTS,
            rows=(
                Row(words("MVAE"), "MVAE", "oxford_flower/mvae"),
                Row(words("MMVAE"), "MMVAE", "oxford_flower/mmvae"),
                Row(words("MDVAE"), "MDVAE", "oxford_flower/mdvae"),
                Row(words("MHVAE"), "MHVAE", "oxford_flower/mhvae"),
                Row(words("HMVAE (shallow)"), "HMVAE (shallow)", "oxford_flower/hmvae_shallow"),
                Row(words("HMVAE (this work)"), "HMVAE (this work)", "oxford_flower/hmvae_deep"),
            ),
        ),
    ),
)

TABLES = {
    table.name: table for table in (table1_feature_likelihoods, table2_oxford_flower, table4_parameters, *NETWORKS)
}
