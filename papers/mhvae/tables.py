"""What goes where in the tables of the MHVAE paper: metrics in rows, models in columns."""

from shared.report.layout import Column, Panel, Row, Stub, Table, Text, words

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


def _table(
    name: str, number: str, data_set: str, data: str, panel: Panel, second: str, samples: int, epochs: int
) -> Table:
    caption = (
        f"Log-likelihoods on {data_set}, in nats. Latent variables are estimated from the input: image (I), {second} "
        f"or both, with {samples} importance samples."
    )
    return Table(
        name=name,
        number=number,
        caption=words(caption),
        panels=(panel,),
        # Sections 3.1.1 to 3.1.3: the whole evaluation part of the data, after full training.
        protocol=("all data points", f"{samples} importance samples", f"trained for {epochs} epochs"),
        data=(data,),
    )


table1_mnist = _table(
    "table1_mnist", "Table 1", "MNIST", "MNIST, grey values", _panel("mnist", "label", "L"), "label (L)", 5000, 500
)
table2_fashion_mnist = _table(
    "table2_fashion_mnist",
    "Table 2",
    "FashionMNIST",
    "FashionMNIST, grey values",
    _panel("fashion_mnist", "label", "L"),
    "label (L)",
    5000,
    500,
)
table3_celeba = _table(
    "table3_celeba",
    "Table 3",
    "CelebA",
    "CelebA, 18 attributes",
    _panel("celeba", "attributes", "A"),
    "attributes (A)",
    500,
    50,
)

TABLES = {table.name: table for table in (table1_mnist, table2_fashion_mnist, table3_celeba)}
