"""What goes where in the tables of the MHVAE paper: metrics in rows, models in columns."""

from shared.report.layout import Column, Panel, Row, Stub, Table, Text, words
from shared.run import spec

_NO_GROUP = words("")
_IMAGE = Text(r"$\log p(\mathbf{x}_1)$", "log p(x1)")
_JOINT = Text(r"$\log p(\mathbf{x}_1, \mathbf{x}_2)$", "log p(x1,x2)")
_CONDITIONAL = Text(r"$\log p(\mathbf{x}_1 \mid \mathbf{x}_2)$", "log p(x1|x2)")


def _panel(experiment: str, other: str, sign: str) -> Panel:
    """other: the name of the second modality; sign: the letter that the paper gives it."""
    both, joint = f"I,{sign}", f"likelihood/image+{other}"
    return Panel(
        title=words(""),
        heading=words("Metric"),
        stub=Stub(words("Input")),
        columns=tuple(
            Column(_NO_GROUP, words(name), name, run=f"{experiment}/{name.lower()}")
            for name in ("JMVAE", "MVAE", "MHVAE")
        ),
        rows=(
            Row(_IMAGE, "log p(x1) from I", key="likelihood/image", variant="image", stub="I"),
            Row(_JOINT, "log p(x1,x2) from I", key=joint, variant="image", stub="I"),
            Row(_JOINT, f"log p(x1,x2) from {sign}", key=joint, variant=other, stub=sign),
            Row(_JOINT, f"log p(x1,x2) from {both}", key=joint, variant=f"image+{other}", stub=both),
            Row(_CONDITIONAL, f"log p(x1|x2) from {sign}", key=f"likelihood/image|{other}", variant=other, stub=sign),
        ),
    )


def _table(number: str, experiment: str, data_set: str, data: str, other: str, sign: str) -> Table:
    """data: what a run's description of the paper's data says. other, sign: as `_panel` has them."""
    paper = spec.resolve("mhvae", experiment, "mhvae", "paper", 0)
    caption = (
        f"Log-likelihoods on {data_set}, in nats. Latent variables are estimated from the input: image (I), {other} "
        f"({sign}) or both."
    )
    return Table(
        name=f"{number.replace(' ', '').lower()}_{experiment}",
        number=number,
        caption=words(caption),
        panels=(_panel(experiment, other, sign),),
        # Sections 3.1.1 to 3.1.3: the whole evaluation part of the data, after full training.
        protocol=(
            f"{paper['evaluation']['points']} data points",
            f"{paper['evaluation']['importance_samples']} importance samples",
            f"trained for {paper['training']['epochs']} epochs",
        ),
        data=(data,),
    )


_ALL = (
    _table("Table 1", "mnist", "MNIST", "MNIST, grey values", "label", "L"),
    _table("Table 2", "fashion_mnist", "FashionMNIST", "FashionMNIST, grey values", "label", "L"),
    _table("Table 3", "celeba", "CelebA", "CelebA, 18 attributes", "attributes", "A"),
)
TABLES = {table.name: table for table in _ALL}
