"""Which module reads or makes a data set. Light: the workflow asks before it loads any of them."""

from dataclasses import dataclass

from shared.errors import InputError


@dataclass(frozen=True)
class Source:
    """module: has `load(spec, data_root)`. groups: of the ledger, whose files it reads; a stand-in reads none."""

    module: str
    groups: tuple[str, ...] = ()


# By data set and source. A data set joins by a line here.
LOADERS = {
    ("oxford_flower", "official"): Source("shared.data.oxford_flower", ("oxford_flower",)),
    ("oxford_flower", "drawn"): Source("shared.data.drawn_flowers"),
    ("cub", "official"): Source("shared.data.cub", ("cub",)),
    ("cub", "drawn"): Source("shared.data.drawn_birds"),
    ("mnist", "official"): Source("shared.data.mnist", ("mnist",)),
    ("mnist", "digits"): Source("shared.data.digits"),
    ("fashion_mnist", "official"): Source("shared.data.mnist", ("fashion_mnist",)),
    ("fashion_mnist", "drawn"): Source("shared.data.drawn_garments"),
    ("celeba", "official"): Source("shared.data.celeba", ("celeba",)),
    ("celeba", "drawn"): Source("shared.data.drawn_faces"),
}


def source_of(name: str, source: str) -> Source:
    """InputError: there is no such data set, or not from this source."""
    try:
        return LOADERS[name, source]
    except KeyError:
        known = ", ".join(f"{name} ({source})" for name, source in LOADERS)
        raise InputError(f"data set `{name}` with source `{source}` is unknown; there are {known}") from None
