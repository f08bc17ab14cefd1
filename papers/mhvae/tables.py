"""What goes where in the tables of the MHVAE paper: metrics in rows, models in columns."""

from shared.report.layout import Column, Panel, Row, Stub, Table, Text, words

_NO_GROUP = words("")
_IMAGE = Text(r"$\log p(\mathbf{x}_1)$", "log p(x1)")
_JOINT = Text(r"$\log p(\mathbf{x}_1, \mathbf{x}_2)$", "log p(x1,x2)")
_CONDITIONAL = Text(r"$\log p(\mathbf{x}_1 \mid \mathbf{x}_2)$", "log p(x1|x2)")


_MODELS = ("JMVAE", "MVAE", "MHVAE")
# FashionMNIST: the paper's numbers of the MVAE fit what the released code of that baseline gives, see README.md
_WITH_RELEASED = ("JMVAE", "MVAE", "MVAE (released)", "MHVAE")


def _column(experiment: str, name: str) -> Column:
    model, _, released = name.partition(" ")
    return Column(_NO_GROUP, words(name), model, run=f"{experiment}/{model.lower()}", variant=released, name=name)


def _panel(experiment: str, other: str, sign: str, models: tuple[str, ...]) -> Panel:
    """other: the name of the second modality; sign: the letter that the paper gives it."""
    both, joint = f"I,{sign}", f"likelihood/image+{other}"
    return Panel(
        title=words(""),
        heading=words("Metric"),
        stub=Stub(words("Input")),
        columns=tuple(_column(experiment, name) for name in models),
        rows=(
            Row(_IMAGE, "log p(x1) from I", key="likelihood/image", variant="image", stub="I"),
            Row(_JOINT, "log p(x1,x2) from I", key=joint, variant="image", stub="I"),
            Row(_JOINT, f"log p(x1,x2) from {sign}", key=joint, variant=other, stub=sign),
            Row(_JOINT, f"log p(x1,x2) from {both}", key=joint, variant=f"image+{other}", stub=both),
            Row(_CONDITIONAL, f"log p(x1|x2) from {sign}", key=f"likelihood/image|{other}", variant=other, stub=sign),
        ),
    )


def _table(
    number: str, experiment: str, data_set: str, other: str, sign: str, models: tuple[str, ...] = _MODELS
) -> Table:
    caption = (
        f"Log-likelihoods on {data_set}, in nats. Latent variables are estimated from the input: image (I), {other} "
        f"({sign}) or both."
    )
    if models == _WITH_RELEASED:
        caption += " MVAE (released): estimated as the released code of that baseline does."
    return Table(
        name=f"{number.replace(' ', '').lower()}_{experiment}",
        number=number,
        caption=words(caption),
        panels=(_panel(experiment, other, sign, models),),
    )


_ALL = (
    _table("Table 1", "mnist", "MNIST", "label", "L"),
    _table("Table 2", "fashion_mnist", "FashionMNIST", "label", "L", _WITH_RELEASED),
    _table("Table 3", "celeba", "CelebA", "attributes", "A"),
)
TABLES = {table.name: table for table in _ALL}
