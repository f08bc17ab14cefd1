"""Which module reads or makes a data set. Imports nothing: the workflow asks before it loads any of them."""

# Data set and source -> module with `load(spec, data_root)`. A data set joins by a line here.
LOADERS = {
    ("oxford_flower", "official"): "shared.data.oxford_flower",
    ("oxford_flower", "drawn"): "shared.data.drawn_flowers",
    ("mnist", "official"): "shared.data.mnist",
    ("mnist", "digits"): "shared.data.digits",
    ("fashion_mnist", "official"): "shared.data.mnist",
    ("fashion_mnist", "drawn"): "shared.data.drawn_garments",
    ("celeba", "official"): "shared.data.celeba",
    ("celeba", "drawn"): "shared.data.drawn_faces",
}
