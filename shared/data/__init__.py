"""Data sets: the ledger of external files, one module per data set, and the stand-ins."""
