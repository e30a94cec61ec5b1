"""All points in the discriminants of every fold that leaves one point out: many folds at once, each certified.

Without a point x of class c, r = x - m_c and y = x - m in features standardised over all n points, n' = n - 1 points
are left; with κ = n_c / (n_c - 1), V the variances of the fold, λ its intensity and μ its mean of diag(W')/V/n',

    n' B' = n B + κ r rᵀ - (n/n') y yᵀ        W' = W - κ r rᵀ        V = n/n' - (n/n'²) y²

are the scatters between and within classes, and Σ' = (1 - λ) W'/n' + λ μ diag(V). In the basis of generalised
eigenvectors of B and Σ of all points, where these are diag(θ) and I, every fold's pencil B' - σ Σ' is diagonal, with
two terms of rank one and a full but small one, for V differs from feature to feature. Folds therefore share their
matrix products. The leading eigenvectors of all points, turned against each other one by Jacobi's angles, are a first
guess, and the residual of each is corrected by the inverse of diagonal and low rank (Sherman, Morrison and Woodbury)
beside the vector itself (Olsen, Jørgensen and Simons 1990, Chemical Physics Letters 169; Sleijpen and van der Vorst
1996, SIAM Journal on Matrix Analysis and Applications 17), at first in single precision. The inverse lacks a share of
about 1/n; in double precision, what it leaves of the residual is solved for once more. Folds that stay away from their
leading eigenvectors are sent on by Rayleigh and Ritz among a few more of those of all points; and where features of a
point are far out, a few of them are put into the inverse too.

A fold counts as found when its last correction is short and its two terms, the first of a geometric series, leave less
than `_EXACT` to correct; when as many eigenvalues as there are discriminants, and a visible gap beyond, lie above the
least of them by Sylvester's law of inertia (Haynsworth 1968, Linear Algebra and its Applications 1); and when its axes
are orthogonal, as eigenvectors are. Others are left to `analysis.lda`, fold by fold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.lda import Moments, Shrinkage, intensity, moments, within_factor
from lvm_probe.analysis.shape_annotations import Bool, Float, Int

# What may be left to correct, of a discriminant's length: no more than what single precision, in which tables keep the
# features, has taken from them. Distances between projections inherit it times the root of the number of features.
_EXACT = 1e-7
# Of a discriminant's length: the longest last correction. What is of higher order in it is not worth a further step.
_SMALL = 5e-4
# Of the least eigenvalue kept: how far off the count of eigenvalues may be for what it leaves out, as is checked on
# that eigenvalue itself, and a third of the gap to the next.
_BLUR = 1e-3
# Powers of the machine's epsilon, shares of an eigenvalue: how far beside it the inverse is taken, for it has none at
# itself (farther away axes converge more slowly), and how near to it those of all points may come before the terms of
# the inverse cancel each other's digits.
_BESIDE, _CLEAR = 0.6, 0.4
# The largest cosine of two axes that count as found: eigenvectors are orthogonal, and two that have come to coincide
# are not. What is of higher order in it is not worth a Cholesky factor.
_SLANTED = 1e-5
# Corrections in single precision at most to begin with: fewer when one is as short in half of the folds, for the next
# shrinks with its square. Then in each round, in double precision at most, and spikes. Folds that are found leave, and
# the others go on among their like.
_ROUGH, _NEAR = 2, 0.03
_ROUNDS = ((1, 0), (2, 0), (4, 6))
_MOST = 0.9  # of the folds at hand: when so many are found, the others wait for the next round
_GUARDS = 3  # eigenvectors of all points, beyond those asked for, that stubborn folds are looked for among
LEAST_POINTS = 32  # with fewer, a fold is so far from the whole that most certificates fail
_MOST_DIMS = 12  # beyond, small dense solvers are as quick
_LEAST_DIGITS = 1e-6  # of a squared pivot and a variance: below, what subtraction leaves is too inexact
_ROWS_AT_ONCE = 48  # of a class or a few: the moments of others do not move
_NUMBERS_AT_ONCE = 1 << 17  # more leave the caches; of fewer the calls take longer than what they do


@dataclass(frozen=True)
class Found:
    """Some folds, each of all points but one.

    Attributes:
        rows: the points left out.
        projected: all points in the discriminants of each fold, up to a rotation and the origin.
        amounts: intensity of the shrinkage of each.
    """

    rows: Int[np.ndarray, " folds"]
    projected: Float[np.ndarray, "folds dims tokens"]
    amounts: Float[np.ndarray, " folds"]


def without_each(
    points: Float[np.ndarray, "tokens features"],
    codes: Int[np.ndarray, " tokens"],
    n_classes: int,
    dims: int,
    shrinkage: Shrinkage,
    rows: Int[np.ndarray, " folds"],
) -> Iterator[Found]:
    """The folds that could be certified, in parts; those that it leaves out need the exact route.

    Args:
        points: features as `standardised` makes them.
        codes: classes in [0, n_classes), each at least once.
        n_classes: number of classes.
        dims: discriminants, at most min(classes - 1, features).
        shrinkage: as checked.
        rows: the points to leave out, each once.
    """
    points = points[:, points.any(axis=0)]  # a constant feature takes no part
    suits = 0 < dims <= _MOST_DIMS and len(points) >= LEAST_POINTS and points.size
    whole = _Whole.of(points, codes, n_classes, shrinkage) if suits else None
    if whole is None or dims > min(n_classes - 1, points.shape[1]):
        return
    size = max(8, _NUMBERS_AT_ONCE // (dims * points.shape[1]))
    at_once = max(8, _NUMBERS_AT_ONCE // (dims * len(points)))
    left = whole.sound(rows, dims)
    left, begun = left[np.argsort(codes[left], kind="stable")], None
    for steps, spikes in _ROUNDS:
        if len(left) == 0:
            return
        missed = [(left[:0], np.empty((0, dims, points.shape[1])))]
        for part in np.array_split(np.arange(len(left)), max(1, round(len(left) / size))):
            batch = left[part]
            folds = _Folds.of(whole, batch)
            axes = folds.begun(dims) if begun is None else begun[part]
            try:
                axes, found = folds.improved(axes, steps, spikes)
            except np.linalg.LinAlgError:  # one of them is, or looks, singular
                found = np.zeros(len(batch), dtype=bool)
            again = ~found & np.isfinite(axes).all(axis=(1, 2))
            missed.append((batch[again], axes[again]))
            certain = np.flatnonzero(found)
            for some in (certain[begin : begin + at_once] for begin in range(0, len(certain), at_once)):
                projected = axes[some].reshape(-1, points.shape[1]) @ whole.scores.T
                yield Found(batch[some], projected.reshape(len(some), dims, -1), folds.amounts[some])
        left, begun = (np.concatenate(parts) for parts in zip(*missed, strict=True))


@dataclass(frozen=True)
class _Whole:
    """All points, and the basis in which their scatter between classes is diag(θ) and their covariance within is I.

    Attributes:
        points: standardised.
        codes: classes.
        moments: of all points.
        residuals: from the class means.
        squares: of the residuals.
        fourths: sums of their products over the points, (features, features).
        by_class: the points in order of class; those of class c begin at `begins[c]` and end at `begins[c + 1]`.
        begins: one more than the classes.
        shrinkage: of the covariance within classes.
        within_share: what of the covariance is the scatter within classes, (1 - λ)/n ...
        target_share: ... and what the identity, λ μ.
        basis: the eigenvectors as columns, the largest eigenvalue first.
        theta: the eigenvalues.
        scores: the points in the basis.
    """

    points: np.ndarray
    codes: np.ndarray
    moments: Moments
    residuals: np.ndarray
    squares: np.ndarray
    fourths: np.ndarray
    by_class: np.ndarray
    begins: np.ndarray
    shrinkage: Shrinkage
    within_share: float
    target_share: float
    basis: np.ndarray
    theta: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, codes: np.ndarray, n_classes: int, shrinkage: Shrinkage) -> _Whole | None:
        """None where the covariance is singular, or so nearly that a fold's may be, or all target."""
        n, p = points.shape
        if p == 1:  # nothing to choose between
            return None
        whole = moments(points, codes, n_classes)
        amount = intensity(whole, shrinkage)
        if amount == 1 or (amount == 0 and n - 1 - n_classes < p):
            return None
        try:
            factor = within_factor(whole, amount)
        except InputError:
            return None
        if (np.diag(factor) ** 2 <= _LEAST_DIGITS * (factor**2).sum(axis=1)).any():
            return None
        whitening = np.linalg.inv(factor)
        between = whitening @ whole.deviations.T
        theta, vectors = np.linalg.eigh(between @ between.T)
        if theta[-1] < _LEAST_DIGITS / n:  # no class differs from another
            return None
        basis = whitening.T @ vectors[:, ::-1]
        residuals = points - whole.means[codes]
        squares = residuals**2
        return cls(
            points=points,
            codes=codes,
            moments=whole,
            residuals=residuals,
            squares=squares,
            fourths=squares.T @ squares,
            by_class=np.argsort(codes, kind="stable"),
            begins=np.concatenate([[0], np.cumsum(whole.counts)]),
            shrinkage=shrinkage,
            within_share=(1 - amount) / n,
            target_share=amount * float(np.trace(whole.within)) / n / p,
            basis=np.ascontiguousarray(basis),
            theta=np.maximum(theta[::-1], 0),
            scores=points @ basis,
        )

    @cached_property
    def single(self) -> _Whole:
        """With the basis and its eigenvalues in single precision."""
        return replace(self, basis=self.basis.astype(np.float32), theta=self.theta.astype(np.float32))

    def sound(self, rows: Int[np.ndarray, " folds"], dims: int) -> Int[np.ndarray, " sound"]:
        """The points without which as many discriminants are left, and enough digits of every variance."""
        digits = 1 - (self.points[rows] ** 2).max(axis=1) / (len(self.points) - 1)
        classes = len(self.moments.counts) - (self.moments.counts[self.codes[rows]] == 1)
        return rows[(digits > _LEAST_DIGITS) & (classes > dims)]


@dataclass(frozen=True)
class _Folds:
    """Some folds in the basis of all points. With R and Y the point's r and y there,

        B' = grown diag(θ) + lost_r R Rᵀ - lost_y Y Yᵀ        Σ' = scale I + basisᵀ diag(change) basis - lost R Rᵀ

    Attributes:
        whole: all points.
        amounts: the intensities.
        grown, lost_y: numbers, the same in all folds.
        lost_r, lost, scale: one number a fold, (folds, 1).
        change: (folds, features).
        diagonal: that of Σ' without the term of R, (folds, features).
        pair: R and Y, (folds, 2, features).
    """

    whole: _Whole
    amounts: np.ndarray
    grown: float
    lost_y: float
    lost_r: np.ndarray
    lost: np.ndarray
    scale: np.ndarray
    change: np.ndarray
    diagonal: np.ndarray
    pair: np.ndarray

    @classmethod
    def of(cls, whole: _Whole, rows: np.ndarray) -> _Folds:
        n, p = whole.points.shape
        left = n - 1
        y, r = whole.points[rows], whole.residuals[rows]
        members = whole.moments.counts[whole.codes[rows]]
        kappa = (members / np.maximum(members - 1, 1))[:, None]  # of a singleton r is 0
        variances = n / left * (1 - y**2 / left)
        inverses = 1 / variances
        mu = (inverses @ np.diag(whole.moments.within) - kappa[:, 0] * (inverses * r**2).sum(axis=1)) / left / p
        amounts = _intensities(whole, rows, inverses, kappa[:, 0], mu)
        scale = ((1 - amounts) / left / whole.within_share)[:, None]
        change = (amounts * mu)[:, None] * variances - scale * whole.target_share
        return cls(
            whole=whole,
            amounts=amounts,
            grown=n / left,
            lost_y=n / left**2,
            lost_r=kappa / left,
            lost=(1 - amounts)[:, None] * kappa / left,
            scale=scale,
            change=change,
            diagonal=scale + change @ whole.basis**2,
            pair=np.stack([r @ whole.basis, whole.scores[rows]], axis=1),
        )

    def begun(self, dims: int) -> Float[np.ndarray, "folds dims features"]:
        """A guess after its first corrections, in single precision.

        The guess turns each leading eigenvector of all points against each other one as if there were only these two,
        in the pencil without its small full term.
        """
        single = self.single
        r, y = single.pair[:, 0], single.pair[:, 1]
        between = single.grown * single.whole.theta + single.lost_r * r**2 - single.lost_y * y**2
        within = single.diagonal - single.lost * r**2
        values = (between / within)[:, :dims]
        axes = ((single.lost_r + single.lost * values) * r[:, :dims])[..., None] * r[:, None]
        axes -= (single.lost_y * y[:, :dims])[..., None] * y[:, None]
        axes = _tangents(axes, values[..., None] * within[:, None] - between[:, None])
        split = _Split.of(single, 0)
        for _ in range(_ROUGH):
            axes, length = single._turned(split, axes)
            if (length < _NEAR).mean() >= 0.5:
                break
        return axes.astype(np.float64)

    def improved(
        self, axes: Float[np.ndarray, "folds dims features"], steps: int, spikes: int
    ) -> tuple[Float[np.ndarray, "folds dims features"], Bool[np.ndarray, " folds"]]:
        """The axes after corrections, and which folds are found: of these the axes are orthogonal and wᵀΣ'w = 1.

        Args:
            axes: approximate eigenvectors as rows.
            steps: corrections at most.
            spikes: see `_Split`.
        """
        split = _Split.of(self, spikes)
        if spikes:
            axes = self._among_more(axes)
        for step in range(steps):
            gram, values, correction, found = self._correction(split, axes)
            axes = axes - correction
            if step == steps - 1 or found.mean() > _MOST:
                break
        turns, orthogonal = _orthonormal(gram)
        return turns @ axes, found & orthogonal & _leading(split, values)

    def _among_more(self, axes: np.ndarray) -> np.ndarray:
        """The leading Ritz vectors of the space of these axes and of a few more eigenvectors of all points."""
        dims, features = axes.shape[1:]
        more = np.tile(np.eye(min(_GUARDS, features - dims), features, dims), (len(axes), 1, 1))
        axes = np.concatenate([axes, more], axis=1)
        between, within = self._products(axes)
        return _ritz(between @ axes.mT, within @ axes.mT)[:, :dims] @ axes

    def _turned(self, split: _Split, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The axes corrected once, after every two were turned against each other as if there were only these.

        And how long the correction was.
        """
        between, within = self._products(axes)
        turned = _turns(between @ axes.mT, within @ axes.mT)
        axes, between, within = turned @ axes, turned @ between, turned @ within
        norms = np.vecdot(axes, within)
        values = np.vecdot(axes, between) / norms
        between -= values[..., None] * within
        correction = _Olsen.of(split, values, within).solved(between)
        length = _length(correction, norms)
        correction *= np.minimum(1, 1 / length)[:, None, None]
        axes -= correction
        return axes, length

    def _correction(
        self, split: _Split, axes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, Bool[np.ndarray, " folds"]]:
        """What to take from axes, where it is enough, their Rayleigh quotients, and products with Σ' of what remains.

        In the order of products, quotients, correction, enough.
        """
        between, within = self._products(axes)
        norms = np.vecdot(axes, within)
        values = np.vecdot(axes, between) / norms
        between -= values[..., None] * within
        olsen = _Olsen.of(split, values, within)
        correction = olsen.solved(between)
        first = _length(correction, norms)
        correction *= np.minimum(1, 1 / first)[:, None, None]
        short = correction.astype(np.float32)  # of the products few digits are needed
        solved, moved = self.single._products(short)
        solved -= moved * values[..., None].astype(np.float32)
        between -= solved
        more = olsen.solved(between)
        second = _length(more, norms)
        correction += more
        cross = within @ correction.mT
        gram = within @ axes.mT - cross - cross.mT + short @ moved.mT
        return gram, values, correction, (first < _SMALL) & (second**2 < _EXACT * first)

    @cached_property
    def single(self) -> _Folds:
        """The same in single precision, as far as products and corrections need it."""
        names = ("lost_r", "lost", "scale", "change", "diagonal", "pair")
        return replace(self, whole=self.whole.single, **{name: getattr(self, name).astype("f4") for name in names})

    def _products(self, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows times B' and Σ', of which the full term, small beside the others, is single in any case."""
        shape, single = axes.shape, self if axes.dtype == np.float32 else self.single
        along = axes @ self.pair.mT
        weights = np.concatenate([self.lost_r, np.full_like(self.lost_r, -self.lost_y)], axis=1)
        between = (along * weights[:, None]) @ self.pair
        between += axes * (self.grown * self.whole.theta)
        features = (axes.astype(np.float32, copy=False).reshape(-1, shape[2]) @ single.whole.basis.T).reshape(shape)
        features *= single.change[:, None]
        along *= np.concatenate([-self.lost, np.zeros_like(self.lost)], axis=1)[:, None]
        within = along @ self.pair
        within += (features.reshape(-1, shape[2]) @ single.whole.basis).reshape(shape)
        within += self.scale[..., None] * axes
        return between, within


def _length(corrections: np.ndarray, norms: np.ndarray) -> Float[np.ndarray, " folds"]:
    """Of the longest correction of each fold, as a share of its axis; never 0."""
    return np.maximum(np.sqrt((np.vecdot(corrections, corrections) / norms).max(axis=1)), 1e-30)


def _leading(split: _Split, values: Float[np.ndarray, "folds dims"]) -> np.ndarray:
    """Whether the eigenvalues are the largest, if no two axes have the same, and apart from the next."""
    dims, least = values.shape[1], values.min(axis=1)
    shifts = least[:, None] * np.array([1 + _BLUR, 1 - _BLUR, 1 - 3 * _BLUR])
    above = split.inverses(shifts, clear=1e-3 * _BLUR).above()
    separated = least > _LEAST_DIGITS * values.max(axis=1)
    return separated & (above[:, 0] < dims) & (above[:, 1] == dims) & (above[:, 2] == dims)


def _orthonormal(gram: Float[np.ndarray, "folds dims dims"]) -> tuple[np.ndarray, Bool[np.ndarray, " folds"]]:
    """What to multiply axes of these products by to make them orthonormal, and where they nearly are orthogonal.

    Elsewhere it is the identity.
    """
    one = np.eye(gram.shape[1])
    norms = np.sqrt(np.maximum(np.diagonal(gram, axis1=1, axis2=2), np.finfo(gram.dtype).tiny))
    slants = gram / (norms[:, :, None] * norms[:, None]) - one
    orthogonal = (np.abs(slants) < _SLANTED).all(axis=(1, 2))
    turns = (one - slants / 2) / norms[:, None]
    turns[~orthogonal] = one
    return turns, orthogonal


@dataclass(frozen=True)
class _Split:
    """The pencils B' - σ Σ' as a diagonal and terms of low rank, D + U S Uᵀ, but for a remainder.

    The columns of U are R, Y, and the features that change most; the remainder is what the other features' changes
    put off the diagonal.

    Attributes:
        folds: the folds.
        columns: U, transposed: (folds, rank, features).
        diagonal: of Σ' without what is in U, (folds, features).
        constant, slope: S is constant + slope σ, each (folds, rank).
        crosses: products of two columns, (folds, rank rank, features).
    """

    folds: _Folds
    columns: np.ndarray
    diagonal: np.ndarray
    constant: np.ndarray
    slope: np.ndarray
    crosses: np.ndarray

    @classmethod
    def of(cls, folds: _Folds, spikes: int) -> _Split:
        columns, diagonal, change = folds.pair, folds.diagonal, folds.change
        slope = np.concatenate([folds.lost, np.zeros_like(folds.lost)], axis=1)
        constant = np.concatenate([folds.lost_r, np.full_like(folds.lost, -folds.lost_y)], axis=1)
        if spikes and change.any():
            half = change.shape[1] // 2
            middle = np.partition(change, half, axis=1)[:, half, None]
            most = np.argsort(-np.abs(change - middle), axis=1)[:, :spikes]
            size = np.take_along_axis(change, most, axis=1) - middle
            size = np.where(np.abs(size) > 1e-9, size, 1e-9)  # S has an inverse
            rows = folds.whole.basis[most]
            columns = np.concatenate([columns, rows], axis=1)
            diagonal = diagonal - np.einsum("ij,ijk,ijk->ik", size, rows, rows)
            slope = np.concatenate([slope, -size], axis=1)
            constant = np.concatenate([constant, np.zeros_like(size)], axis=1)
        crosses = (columns[:, :, None] * columns[:, None]).reshape(len(columns), -1, columns.shape[2])
        return cls(folds, columns, diagonal, constant, slope, crosses)

    def inverses(self, shifts: Float[np.ndarray, "folds shifts"], clear: float) -> _Inverses:
        """Those of D + U S Uᵀ, where elements of D nearer to 0 than such a share of the shift are so far from it."""
        theta = self.folds.whole.theta
        shifts = np.maximum(shifts, 1e-9 * theta[0])
        diagonal = shifts[..., None] * self.diagonal[:, None]
        np.subtract(self.folds.grown * theta, diagonal, out=diagonal)
        least = clear * shifts[..., None]
        np.copyto(diagonal, least, where=np.abs(diagonal) < least)
        inverse = np.divide(1, diagonal, out=diagonal)
        weights = self.constant[:, None] + self.slope[:, None] * shifts[..., None]
        rank = self.columns.shape[1]
        core = (inverse @ self.crosses.mT).reshape(*shifts.shape, rank, rank)
        place = np.arange(rank)
        core[..., place, place] += 1 / weights
        return _Inverses(self.columns, inverse, weights, core)


@dataclass(frozen=True)
class _Inverses:
    """(D + U S Uᵀ)⁻¹ = D⁻¹ - D⁻¹ U C⁻¹ Uᵀ D⁻¹, C = S⁻¹ + Uᵀ D⁻¹ U, for several shifts of every fold."""

    columns: np.ndarray
    inverse: np.ndarray
    weights: np.ndarray
    core: np.ndarray

    def above(self) -> Int[np.ndarray, "folds shifts"]:
        """How many eigenvalues lie above each shift, by the signs of D, S and C."""
        return (self.inverse > 0).sum(axis=2) + _negative(self.core) - (self.weights < 0).sum(axis=2)


@dataclass(frozen=True)
class _Olsen:
    """Corrections of axes w of approximate eigenvalues σ: the part c beside w of (B' - σ Σ')⁻¹ times a residual.

    Attributes:
        inverses: those of the split pencils, a little beside σ.
        within: s = Σ'w.
        cross: Uᵀ D⁻¹ s, (folds, dims, rank).
        inner: C⁻¹ times that.
        size: sᵀ (B' - σ Σ')⁻¹ s, (folds, dims).
    """

    inverses: _Inverses
    within: np.ndarray
    cross: np.ndarray
    inner: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, split: _Split, values: np.ndarray, within: np.ndarray) -> _Olsen:
        epsilon = float(np.finfo(values.dtype).eps)
        inverses = split.inverses(values * (1 + epsilon**_BESIDE), epsilon**_CLEAR)
        scaled = within * inverses.inverse
        cross = scaled @ inverses.columns.mT
        inner = _solved(inverses.core, cross)
        return cls(inverses, within, cross, inner, np.vecdot(scaled, within) - np.vecdot(cross, inner))

    def solved(self, residual: np.ndarray) -> np.ndarray:
        """The corrections, of which sᵀc = 0: D⁻¹ (r - β s - U (C⁻¹ Uᵀ D⁻¹ r - β C⁻¹ Uᵀ D⁻¹ s)) for a residual r."""
        columns, correction = self.inverses.columns, residual * self.inverses.inverse
        inner = _solved(self.inverses.core, correction @ columns.mT)
        share = (np.vecdot(correction, self.within) - np.vecdot(self.cross, inner)) / self.size
        inner -= share[..., None] * self.inner
        spread = inner @ columns
        spread += share[..., None] * self.within
        spread *= self.inverses.inverse
        correction -= spread
        return correction


def _solved(core: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The solutions of stacks of symmetric systems; of two unknowns each, nearly always, by Cramer's rule."""
    if core.shape[-1] != 2:
        return np.linalg.solve(core, right[..., None])[..., 0]
    a, b, c = core[..., 0, 0], core[..., 0, 1], core[..., 1, 1]
    x, y = right[..., 0], right[..., 1]
    solved = np.empty_like(right)
    np.subtract(c * x, b * y, out=solved[..., 0])
    np.subtract(a * y, b * x, out=solved[..., 1])
    determinant = (a * c - b * b)[..., None]
    return np.divide(solved, determinant, out=solved, where=determinant != 0)  # else no correction worth the name


def _negative(core: np.ndarray) -> np.ndarray:
    """How many eigenvalues of each symmetric matrix are negative."""
    if core.shape[-1] == 2:
        a, b, c = core[..., 0, 0], core[..., 0, 1], core[..., 1, 1]
        return np.where(a * c < b * b, 1, 2 * (a + c < 0))
    scale = np.sqrt(np.abs(core).max(axis=-1))  # for the digits; a sign does not depend on it
    return (np.linalg.eigvalsh(core / scale[..., None] / scale[..., None, :]) < 0).sum(axis=-1)


def _ritz(between: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Eigenvectors as rows, that of the largest eigenvalue first, with wᵀΣw = 1, of stacks of small pencils.

    Σ is raised a little, so that axes which have come to coincide do not stop the others.
    """
    place = np.arange(within.shape[1])
    within[:, place, place] *= 1 + np.sqrt(np.finfo(within.dtype).eps)
    inverse = np.linalg.inv(np.linalg.cholesky(within))
    return np.linalg.eigh(inverse @ between @ inverse.mT)[1][:, :, ::-1].mT @ inverse


def _turns(between: np.ndarray, within: np.ndarray) -> np.ndarray:
    """What to multiply stacks of axes by, to turn every two of each against each other in these pencils."""
    place = np.arange(within.shape[1])
    norms = np.sqrt(within[:, place, place])
    scales = norms[:, :, None] * norms[:, None]
    between, within = between / scales, within / scales
    values = between[:, place, place]
    turns = _tangents(between - values[..., None] * within, values[..., None] - values[:, None])
    turns /= norms[:, None]
    return turns


def _tangents(products: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Of the angles that make the off-diagonal products of symmetric two by two matrices 0 (Jacobi); 1 on the diagonal.

    Args:
        products: of the axes j = 1, 2, ... with all axes k, (folds, j, k).
        gaps: between the eigenvalues of j and k.
    """
    turned = gaps + np.copysign(np.sqrt(gaps**2 + 4 * products**2), gaps)
    tangents = np.divide(2 * products, turned, out=np.zeros_like(products), where=turned != 0)
    place = np.arange(tangents.shape[1])
    tangents[:, place, place] = 1
    return tangents


def _intensities(
    whole: _Whole, rows: np.ndarray, inverses: np.ndarray, kappa: np.ndarray, mu: np.ndarray
) -> Float[np.ndarray, " folds"]:
    """What `analysis.lda.intensity` says of each fold.

    The residuals that remain in the class of the point held out move by r / (n_c - 1).
    """
    if whole.shrinkage != "ledoit-wolf":
        return np.full(len(rows), intensity(whole.moments, whole.shrinkage))
    n, p = whole.points.shape
    left = n - 1
    r, within = whole.residuals[rows], whole.moments.within
    scaled = inverses * r
    own = (scaled * r).sum(axis=1)
    squared_norms = (inverses @ within**2 * inverses).sum(axis=1)
    squared_norms += kappa * (kappa * own**2 - 2 * (scaled @ within * scaled).sum(axis=1))
    squared_norms /= left**2

    # Sums of |e/σ|⁴ as if no residual had moved; then what moves in the classes of a few rows.
    fourths = (inverses @ whole.fourths * inverses).sum(axis=1)
    for some in np.array_split(np.arange(len(rows)), -(-len(rows) // _ROWS_AT_ONCE)):
        codes = whole.codes[rows[some]]
        near = whole.by_class[whole.begins[codes.min()] : whole.begins[codes.max() + 1]]
        norms = inverses[some] @ whole.squares[near].T
        members = np.maximum(whole.moments.counts[codes] - 1, 1)[:, None]
        moved = scaled[some] @ whole.residuals[near].T
        moved *= 2 / members
        moved += own[some, None] / members**2
        moved *= whole.codes[near] == codes[:, None]
        np.copyto(moved, -norms, where=near == rows[some, None])
        fourths[some] += np.einsum("ij,ij->i", moved, moved + 2 * norms)

    distances = squared_norms - p * mu**2
    errors = (fourths / left - squared_norms) / left
    return np.clip(np.divide(errors, distances, out=np.zeros(len(rows)), where=distances > 0), 0, 1)
