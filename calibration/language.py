"""Estimates an n-gram model of glosses: interpolated Kneser-Ney with one discount for each order.

Kneser and Ney, ICASSP 1995; interpolated as in Chen and Goodman, "An Empirical Study of Smoothing Techniques for
Language Modeling", 1998, section 3: p(w|h) = (c(hw) - D) / c(h) + g(h) p(w|h'), D = n1 / (n1 + 2 n2), and below the
highest order a count is the number of different glosses that stand before. Unigrams are interpolated with 1/V.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from stream.language import BEGIN, END, UNKNOWN, Gram, LanguageModel, LanguageModelError

HIGHEST = 6
DISCOUNTS = (0.1, 0.9)
"""A corpus that is so small that nothing, or everything, occurs once gives no discount, or all of a count: held within."""


def estimate(sentences: Iterable[Sequence[str]], *, order: int = 3) -> LanguageModel:
    """Estimate a model.

    Args:
        sentences: of glosses.
        order: length of the longest n-grams, 1 to 6.

    Raises:
        LanguageModelError: there is no sentence, or a gloss is one of <s>, </s> and <unk>.
        ValueError: another order.
    """
    if not 1 <= order <= HIGHEST:
        raise ValueError(f"the order must be 1 to {HIGHEST}, not {order}")
    counts = _counts(sentences, order)
    words = {gram[0] for gram in counts[0]} | {UNKNOWN}
    grams: list[dict[Gram, tuple[float, float]]] = []
    probability: dict[Gram, float] = {(word,): 1 / len(words) for word in words}
    spared: dict[Gram, float] = {}
    for length, part in enumerate(counts, 1):
        discount = _discount(part)
        total: Counter[Gram] = Counter()
        kinds: Counter[Gram] = Counter()
        for gram, count in part.items():
            total[gram[:-1]] += count
            kinds[gram[:-1]] += 1
        spared = {history: discount * kinds[history] / total[history] for history in total}
        if length > 1:
            for history, share in spared.items():
                score, _ = grams[-1].get(history, (-99.0, 0.0))
                grams[-1][history] = (score, math.log10(share))
        found = {}
        for gram, count in part.items():
            lower = probability[gram[1:]] if length > 1 else 1 / len(words)
            found[gram] = (count - discount) / total[gram[:-1]] + spared[gram[:-1]] * lower
        if length == 1:
            found[(UNKNOWN,)] = spared[()] / len(words)
        probability = found
        grams.append({gram: (math.log10(value), 0.0) for gram, value in sorted(found.items())})
    return LanguageModel(tuple(grams))


def _counts(sentences: Iterable[Sequence[str]], order: int) -> list[Counter[Gram]]:
    """Counts of the highest order, and of each lower one how many different glosses stand before.

    What begins with <s> has nothing before it: it counts as often as it occurs, as in KenLM and SRILM.
    """
    seen: list[Counter[Gram]] = [Counter() for _ in range(order)]
    any_sentence = False
    for sentence in sentences:
        any_sentence = True
        if bad := {BEGIN, END, UNKNOWN}.intersection(sentence):
            raise LanguageModelError(
                f"a gloss cannot be named {', '.join(sorted(bad))}: these mark sentences and the unknown"
            )
        padded = (BEGIN, *sentence, END)
        for end in range(1, len(padded)):
            for length in range(1, order + 1):
                if end + 1 - length >= 0:
                    seen[length - 1][padded[end + 1 - length : end + 1]] += 1
    if not any_sentence:
        raise LanguageModelError("there is no sentence to build a language model from")
    for length in range(1, order):
        before = Counter(gram[1:] for gram in seen[length])
        for gram in seen[length - 1]:
            if gram[0] != BEGIN:
                seen[length - 1][gram] = before[gram]
    return seen


def _discount(counts: Counter[Gram]) -> float:
    once = sum(count == 1 for count in counts.values())
    twice = sum(count == 2 for count in counts.values())
    if not once:
        return DISCOUNTS[0]
    return min(max(once / (once + 2 * twice), DISCOUNTS[0]), DISCOUNTS[1])
