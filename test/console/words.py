"""What the tests of the console serve."""

import time


def most_common(text: str, n: int = 3) -> list[str]:
    """The words that a text has most often."""
    words = text.split()
    print(f"{len(words)} words")
    return sorted(set(words), key=lambda word: (-words.count(word), word))[:n]


def square(x: int) -> int:
    """The square of a number; some take their time, some fail."""
    if x % 1000 == 7:
        print(f"{x} is not liked here")
        print("<script>document.title = 'printed'</script>")
        raise ValueError(f"{x} <b>cannot</b> be squared")
    if x % 100 == 0:
        time.sleep(0.01)
    return x * x


class Splitter:
    """Splits texts."""

    separator: str = ","

    def split(self, text: str) -> list[str]:
        return text.split(self.separator)
