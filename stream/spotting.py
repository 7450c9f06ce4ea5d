"""From embeddings to spottings: similarity to the gallery, and the online decision what was signed, and when.

Everything here is the same to the last bit for the same ticks, whatever the machine's load.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from engines.encoders import Encoder
from engines.errors import GalleryMismatch
from engines.ticks import TICK_HZ
from stream.clock import Tick
from stream.gallery import Gallery, Sign
from stream.hands import Hands
from stream.windows import Window

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Bar:
    """How near one gloss is right now."""

    gloss: str
    score: float  # fused cosine
    threshold: float  # the cosine that it has to beat


@dataclass(frozen=True, slots=True, kw_only=True)
class Spotted:
    """One sign was spotted."""

    gloss: str
    score: float  # fused cosine at the peak
    confidence: float  # 0..1
    start_s: float  # stream seconds
    end_s: float  # stream seconds
    peak_s: float  # stream seconds, the middle of the best window
    runner_up: tuple[str, float] | None  # the best other gloss at the peak, and its fused cosine
    per_encoder: Mapping[str, float]  # cosine of each encoder at the peak
    newest_tick: int  # index of the newest tick that the decision used


@dataclass(frozen=True, slots=True)
class Refused:
    """A gloss beat its threshold and was not spotted all the same."""

    gloss: str
    span: tuple[int, int]  # first and last tick of its best window
    excess: float  # evidence above its threshold
    reason: str  # in words


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Similarity of B windows to G glosses, in the gallery's order."""

    spans: tuple[tuple[int, int], ...]  # first and last tick of each window
    cosine: Floats  # (B, G) fused
    normal: Floats  # (B, G) fused; deviations of the impostors above their mean
    spread: Floats  # (B, G) one deviation, in units of cosine
    per_encoder: Mapping[str, Floats]  # (B, G) cosine; NaN where the encoder has no such window
    margin: Floats | None = (
        None  # (B, G) fused cosine above that of the nearest idle movement; None: none is known
    )


class Similarity:
    """Compares embeddings with a gallery: the best exemplar of each gloss, fused over the encoders."""

    def __init__(
        self, gallery: Gallery, encoders: Sequence[Encoder], *, weights: Mapping[str, float] | None = None
    ) -> None:
        """Check that gallery and encoders fit, and lay the exemplars out.

        Args:
            gallery: its encoders and those in use may differ; what both have is used.
            encoders: in use.
            weights: of each encoder in the fusion, 1 where absent; None for the encoders' own. Those of missing encoders are
                left out.

        Raises:
            GalleryMismatch: an encoder's exemplars were made by other weights, features or pose estimator, or
                gallery and encoders have nothing in common.
        """
        mend = f"run `signspot gallery rebuild --gallery {gallery.path}` (it needs no clips)"
        self._banks: dict[str, _Bank] = {}
        for encoder in encoders:
            exemplars = gallery.exemplars.get(encoder.name)
            if exemplars is None:
                continue
            if exemplars.fingerprint != encoder.fingerprint:
                raise GalleryMismatch(
                    f"the gallery {gallery.path} was made with another {encoder.name} encoder "
                    f"({exemplars.fingerprint[:12]}, in use is {encoder.fingerprint[:12]}): {mend}"
                )
            weight = encoder.fusion_weight if weights is None else weights.get(encoder.name, 1.0)
            self._banks[encoder.name] = _bank(gallery, encoder, weight)
        looking = {encoder.name for encoder in encoders if encoder.pictures}
        self._leading = [name for name in self._banks if name not in looking] or list(self._banks)
        if not self._banks:
            raise GalleryMismatch(
                f"the gallery {gallery.path} has exemplars for {', '.join(gallery.encoders) or 'no encoder'}, "
                f"in use is {', '.join(encoder.name for encoder in encoders)}: {mend}"
            )
        self._glosses = len(gallery.signs)

    @property
    def encoders(self) -> Collection[str]:
        """Names of the encoders that have a say: those in use that the gallery has exemplars of."""
        return self._banks.keys()

    def score(self, windows: Mapping[str, Sequence[Window]], embeddings: Mapping[str, Floats]) -> Scores:
        """Compare one tick's windows with every gloss.

        Encoders of pictures are asked about fewer lengths: beside others they have no windows of their own, and their
        window of the nearest length speaks for each of the others', if neither is more than twice as long.

        Args:
            windows: by encoder; an encoder that did not run on this tick is left out.
            embeddings: by encoder, (B, D), one row a window.
        """
        leading = [name for name in self._leading if windows.get(name)] or list(self._banks)
        spans = sorted({(w.start_tick, w.end_tick) for name in leading for w in windows.get(name, ())})
        shape = (len(spans), self._glosses)
        cosine, normal, spread, margin = (np.zeros(shape, np.float32) for _ in range(4))
        total, known = (np.zeros((len(spans), 1), np.float32) for _ in range(2))
        per_encoder = {}
        nearest = np.empty(1, np.float32)
        for name, bank in self._banks.items():
            own = np.full(shape, np.nan, np.float32)
            for row, place in _votes(spans, windows.get(name, ())):
                if name not in leading and not embeddings[name][row].any():
                    continue  # the signer's picture was lost: the others decide
                _nearest(embeddings[name][row], bank.vectors, bank.gloss, own[place])
                weight = np.float32(bank.weight)
                cosine[place] += weight * own[place]
                normal[place] += weight * (own[place] - bank.mean) / bank.deviation
                spread[place] += weight * bank.deviation
                total[place] += weight
                if bank.idle is not None:
                    _nearest(embeddings[name][row], bank.idle, bank.filler, nearest)
                    margin[place] += weight * (own[place] - nearest[0])
                    known[place] += weight
            per_encoder[name] = own
        for array in (cosine, normal, spread):
            array /= total
        if not known.all():
            return Scores(tuple(spans), cosine, normal, spread, per_encoder)
        return Scores(tuple(spans), cosine, normal, spread, per_encoder, margin / known)


def _votes(spans: Sequence[tuple[int, int]], windows: Sequence[Window]) -> Iterator[tuple[int, int]]:
    """Which window (its row) speaks for which span (its place): its own, else the one of the nearest length."""
    for place, (first, last) in enumerate(spans):
        length = last - first + 1
        near = [
            (abs(own - length), own, row)
            for row, window in enumerate(windows)
            if window.end_tick == last and (own := window.end_tick - window.start_tick + 1)
        ]
        if near:
            _, own, row = min(near)
            if max(own, length) <= 2 * min(own, length):
                yield row, place


@dataclass(frozen=True, slots=True, eq=False)
class _Bank:
    """One encoder's exemplars, laid out for comparison."""

    vectors: Floats  # (N, D)
    gloss: NDArray[np.int64]  # (N,) column of each exemplar
    mean: Floats  # (G,) of the impostors
    deviation: Floats  # (G,)
    weight: float
    idle: Floats | None  # (M, D) movement that is no signing: the filler model of keyword spotting
    filler: NDArray[np.int64]  # (M,) zeros: all of it is one thing


def _bank(gallery: Gallery, encoder: Encoder, weight: float) -> _Bank:
    name = encoder.name
    exemplars = gallery.exemplars[name]
    idle: Floats | None = getattr(encoder, "idle", None)
    column = {gloss: index for index, gloss in enumerate(gallery.glosses)}
    owners = np.array([column[take.gloss] for take in gallery.takes], np.int64)
    impostors = [sign.impostors.get(name) for sign in gallery.signs]
    return _Bank(
        vectors=np.ascontiguousarray(exemplars.vectors),
        gloss=owners[exemplars.takes],
        mean=np.array([one.mean if one else 0.0 for one in impostors], np.float32),
        deviation=np.array([one.deviation if one else 1.0 for one in impostors], np.float32),
        weight=weight,
        idle=None if idle is None else np.ascontiguousarray(idle),
        filler=np.zeros(0 if idle is None else len(idle), np.int64),
    )


@numba.njit(cache=True)
def _nearest(embedding: Floats, vectors: Floats, gloss: NDArray[np.int64], best: Floats) -> None:
    """Cosine of the best exemplar of each gloss into `best` (G,).

    A plain loop: BLAS promises the same bits for neither another alignment nor another number of threads.
    """
    best[:] = -1.0
    for n in range(vectors.shape[0]):
        cosine = 0.0
        for d in range(vectors.shape[1]):
            cosine += float(embedding[d]) * float(vectors[n, d])
        if cosine > best[gloss[n]]:
            best[gloss[n]] = cosine


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the online decision is made."""

    hold_ticks: int = 9  # so long after its best window a sign is decided, unless a better one comes
    repeat_ticks: int = 8  # a gloss that comes again sooner than this after its end is the same sign, held
    overlap: float = 0.4  # spans that share more than this of the shorter one are one sign
    soften: float = (
        0.5  # evidence below the peak at which a window's say about begin and end has fallen to 1/e
    )
    edge: float = (
        0.4  # share of that say that puts the begin earlier, and the end later, than what is reported
    )
    steepness: float = 0.5  # of the confidence, per unit of evidence above the threshold


RULES = Rules()
LEAD = 0.6
"""Weight of a gloss's lead over the best other gloss, beside its own score (see `Rivals.evidence`)."""


class Rivals:
    """Whom each gloss has to beat: every other gloss but its kin."""

    def __init__(self, signs: Sequence[Sign]) -> None:
        column = {sign.gloss: index for index, sign in enumerate(signs)}
        self._exempt = {
            column[sign.gloss]: [
                column[sign.gloss],
                *(column[other] for other in sign.kin if other in column),
            ]
            for sign in signs
            if sign.kin
        }

    def evidence(self, normal: Floats) -> Floats:
        """How much speaks for each gloss: its normalised score, and its lead over the best rival.

        A window that is like many signs at once is no good example of any. A lone gloss leads over the impostors'
        mean.

        Args:
            normal: (B, G) deviations above the impostors' mean.

        Returns:
            (B, G)
        """
        if normal.shape[1] < 2 or not len(normal):
            return np.asarray(normal + LEAD * normal, np.float32)
        second, first = np.partition(normal, -2, axis=1)[:, -2:].T
        best_other = np.where(normal == first[:, None], second[:, None], first[:, None])
        for column, exempt in self._exempt.items():
            others = np.delete(normal, exempt, axis=1)
            best_other[:, column] = others.max(axis=1) if others.shape[1] else 0.0
        return np.asarray(normal + LEAD * (normal - best_other), np.float32)


def refined(spans: NDArray[np.int64], weights: NDArray[np.float64], rules: Rules) -> tuple[float, float]:
    """Begin and end of a sign as the windows that speak for it have them, in ticks; the end is one past the last.

    `Hands.settled` then moves them to where the hands go over from sign to sign.

    They are no averages: windows that hold less than the whole sign score well too, those that hold more do not. So
    the begin is where the earlier 40% of the windows' say end, and the end where the later 40% begin. On the StartASL
    sentences that fits better than means (closed F1 0.83 instead of 0.78, with cosines alone), on the strokes of the
    synthetic signer about as well (0.76 instead of 0.77).

    Args:
        spans: (N, 2) first and last tick of each window.
        weights: (N,) its say, positive.
        rules: the spotter's.
    """
    return (
        _weighted_quantile(spans[:, 0], weights, rules.edge),
        _weighted_quantile(spans[:, 1] + 1, weights, 1 - rules.edge),
    )


def _weighted_quantile(values: NDArray[np.int64], weights: NDArray[np.float64], share: float) -> float:
    """The value below which a share of the weight lies; between the middles of neighbours, in proportion."""
    order = np.argsort(values, kind="stable")
    ordered = weights[order]
    middles = (np.cumsum(ordered) - ordered / 2) / ordered.sum()
    return float(np.interp(share, middles, values[order]))


@dataclass(slots=True)
class _Candidate:
    """A gloss that beats its threshold, and the best window seen for it so far."""

    column: int
    span: tuple[int, int]
    excess: float  # evidence above the threshold
    cosine: float
    runner_up: tuple[int, float] | None  # column, cosine
    per_encoder: dict[str, float]
    support: list[tuple[int, int, float]]  # spans that speak for it, and by how much they beat the threshold


class Spotter:
    """Decides online which sign was signed, each once, as soon as nothing better can be expected."""

    def __init__(
        self,
        gallery: Gallery,
        *,
        rules: Rules = RULES,
        refused: Callable[[Refused], None] | None = None,
    ) -> None:
        """Start with nothing in view.

        Args:
            gallery: its glosses, thresholds and kin.
            rules: how to decide.
            refused: told of every gloss that beat its threshold in vain.
        """
        self.thresholds = np.array([sign.threshold + sign.nudge for sign in gallery.signs], np.float32)
        self._glosses = gallery.glosses
        self._rules = rules
        self._refused = refused
        self._rivals = Rivals(gallery.signs)
        self._newest = -1
        self._bars: tuple[Bar, ...] = ()
        self._pending: dict[int, _Candidate] = {}
        self._told: list[_Candidate] = []  # what was reported lately
        self._hands = Hands()

    def bars(self) -> tuple[Bar, ...]:
        """The five glosses that were nearest at the newest scored tick, the best first."""
        return self._bars

    def reset(self) -> None:
        """Forget everything: the next tick has nothing to do with the last one."""
        self._pending.clear()
        self._told.clear()
        self._hands.reset()
        self._bars = ()

    def flush(self) -> list[Spotted]:
        """Nothing more comes: decide what is still open."""
        return self._decide(everything=True)

    def push(self, tick: Tick, scores: Scores) -> list[Spotted]:
        """Take in one tick and the scores of the windows that end at it, if any were computed.

        Returns:
            The signs that are sure now, the earliest first.
        """
        self._newest = tick.index
        self._hands.push(tick.index, tick.landmarks)
        if scores.spans:
            excess = self.excess(scores)
            self._show(scores, excess)
            best = excess.argmax(axis=0)
            for column in np.flatnonzero(excess[best, np.arange(excess.shape[1])] > 0):
                self._consider(int(column), int(best[column]), scores, excess)
            if self._refused is not None and scores.margin is not None:
                self._tell_idle(scores, excess)
        return self._decide()

    def excess(self, scores: Scores) -> Floats:
        """Evidence (B, G) above the thresholds; below 0 where some idle movement is nearer than the sign.

        The idle movements are what speech recognition calls a filler model (Rohlicek et al., "Continuous hidden
        Markov modeling for speaker-independent word spotting", 1989): a keyword has to beat it.
        """
        excess = self._raw_excess(scores)
        if scores.margin is None:
            return excess
        return np.where(scores.margin > 0, excess, np.minimum(excess, scores.margin))

    def _raw_excess(self, scores: Scores) -> Floats:
        return np.asarray(self._rivals.evidence(scores.normal) - self.thresholds, np.float32)

    def _tell_idle(self, scores: Scores, excess: Floats) -> None:
        """Tell of glosses that would have been considered if no idle movement were nearer."""
        raw = self._raw_excess(scores)
        for row, column in np.argwhere((raw > 0) & (excess <= 0)):
            self._refuse(
                int(column), scores.spans[row], float(raw[row, column]), "a movement without a sign is nearer"
            )

    def _show(self, scores: Scores, excess: Floats) -> None:
        best = excess.argmax(axis=0)
        top = np.argsort(-excess[best, np.arange(excess.shape[1])], kind="stable")[:5]
        self._bars = tuple(
            Bar(
                self._glosses[column],
                float(scores.cosine[best[column], column]),
                float(
                    scores.cosine[best[column], column]
                    - excess[best[column], column] / (1 + LEAD) * scores.spread[best[column], column]
                ),
            )
            for column in top
        )

    def _consider(self, column: int, row: int, scores: Scores, excess: Floats) -> None:
        span, strength = scores.spans[row], float(excess[row, column])
        told = next((one for one in self._told if self._covers(one, column, span)), None)
        if told is not None:
            if told.column != column:
                self._refuse(
                    column, span, strength, f"{self._glosses[told.column]} was reported for that time"
                )
            return
        known = self._pending.get(column)
        if known is not None:
            near = self._same(span, known.span)
            if near:
                known.support.append((*span, strength))
            if strength <= known.excess:
                return  # worse, or apart from a better one that has to be decided first
        support = known.support if known is not None and near else [(*span, strength)]
        second = np.delete(np.arange(len(self._glosses)), column)
        runner_up = None
        if len(second):
            other = int(second[scores.normal[row, second].argmax()])
            runner_up = (other, float(scores.cosine[row, other]))
        self._pending[column] = _Candidate(
            column=column,
            span=span,
            excess=strength,
            cosine=float(scores.cosine[row, column]),
            runner_up=runner_up,
            per_encoder={
                name: float(own[row, column])
                for name, own in scores.per_encoder.items()
                if not np.isnan(own[row, column])
            },
            support=support,
        )

    def _refuse(self, column: int, span: tuple[int, int], excess: float, reason: str) -> None:
        if self._refused is not None:
            self._refused(Refused(self._glosses[column], span, excess, reason))

    def _covers(self, told: _Candidate, column: int, span: tuple[int, int]) -> bool:
        """Whether what was told leaves no room for another sign; its own gloss has to come at another time."""
        if told.column == column:
            return span[0] - told.span[1] <= self._rules.repeat_ticks
        return self._same(told.span, span)

    def _same(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        shared = min(one[1], other[1]) - max(one[0], other[0]) + 1
        return shared > self._rules.overlap * (min(one[1] - one[0], other[1] - other[0]) + 1)

    def _decide(self, *, everything: bool = False) -> list[Spotted]:
        sure: list[Spotted] = []
        for candidate in sorted(self._pending.values(), key=lambda one: (-one.excess, one.column)):
            if self._pending.get(candidate.column) is not candidate:
                continue  # a better one took its place in this very loop
            if not everything and self._newest - candidate.span[1] < self._rules.hold_ticks:
                continue
            rivals = [
                other
                for other in self._pending.values()
                if other is not candidate and self._same(other.span, candidate.span)
            ]
            if any(other.excess > candidate.excess for other in rivals):
                continue  # that one is not old enough to be decided
            del self._pending[candidate.column]
            for other in rivals:
                del self._pending[other.column]
                self._refuse(
                    other.column, other.span, other.excess, f"beaten by {self._glosses[candidate.column]}"
                )
            sure.append(self._spotted(candidate))
            self._told = [*self._told[-8:], candidate]
        return sorted(sure, key=lambda one: (one.start_s, one.gloss))

    def _spotted(self, candidate: _Candidate) -> Spotted:
        start, end = candidate.span
        says = np.array([strength for _, _, strength in candidate.support])
        weight = np.exp((says - candidate.excess) / self._rules.soften)
        spans = np.array([(start, end) for start, end, _ in candidate.support], np.int64)
        first, last = self._hands.settled(*refined(spans, weight, self._rules))
        runner_up = candidate.runner_up
        return Spotted(
            gloss=self._glosses[candidate.column],
            score=candidate.cosine,
            confidence=float(1 / (1 + np.exp(-self._rules.steepness * candidate.excess))),
            start_s=first / TICK_HZ,
            end_s=last / TICK_HZ,
            peak_s=(start + end + 1) / 2 / TICK_HZ,
            runner_up=(self._glosses[runner_up[0]], runner_up[1]) if runner_up else None,
            per_encoder=candidate.per_encoder,
            newest_tick=self._newest,
        )
