"""What happens to files: bits that flip, blocks that are lost or come twice, ends that are cut off."""

import random
from collections.abc import Iterator


def damaged(whole: bytes, count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """So many damaged versions of a file, none of which is the file itself, and what was done to each."""
    rng = random.Random(seed)
    kinds = ("bit", "byte", "zeros", "swap", "lost", "twice", "cut", "more")
    done = 0
    while done < count:
        kind, at = kinds[done % len(kinds)], rng.randrange(len(whole))
        size = min(rng.choice((1, 4, 32, 512, 4096)), len(whole) // 2)
        block, other = whole[at : at + size], rng.randrange(len(whole) - size)
        content = {
            "bit": whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :],
            "byte": whole[:at] + rng.randbytes(1) + whole[at + 1 :],
            "zeros": whole[:at] + bytes(len(block)) + whole[at + size :],
            "swap": whole[:at] + whole[other : other + len(block)] + whole[at + size :],
            "lost": whole[:at] + whole[at + size :],
            "twice": whole[:at] + block + whole[at:],
            "cut": whole[:at],
            "more": whole + rng.randbytes(size),
        }[kind]
        if content != whole:
            done += 1
            yield f"{kind} of {size} at {at}", content
