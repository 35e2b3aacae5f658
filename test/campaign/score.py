"""The function that the campaign's jobs call: notes each number that it is given."""

import os

SEEN = os.environ["CAMPAIGN_SEEN"]


def score(n: int) -> int:
    with open(SEEN, "a", encoding="ascii") as seen:
        seen.write(f"{n}\n")
    if n % 10 == 7:
        raise ValueError(f"{n} is refused")
    return n * n
