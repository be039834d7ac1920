"""A backward written by hand, statement by statement: which gradient is the first wrong one?

The forward is plain statements that end in a loss; the backward is plain statements that set dh for
an intermediate h. Each gradient is judged by central differences: the intermediate is moved, the
forward's statements after it run again. Judged from the loss on, in the order in which the chain
rule needs them, the first that is wrong has right ones before it, so the mistake is in its own
statements. It is then put right, and the backward is run again with it: what is still wrong further
down is wrong of itself, and what is not only followed.
"""

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from handgrad import kinks
from handgrad.arrays import Array
from handgrad.gradcheck.causes import Trouble, likely_cause
from handgrad.gradcheck.findings import ChainCheck, WrongGradient
from handgrad.gradcheck.running import Backward, Chain, Version
from handgrad.gradcheck.statements import Program, Source


def first_wrong(
    forward: Source,
    backward: Source,
    values: Mapping[str, Any],
    *,
    loss: str = "loss",
    named: str = "d{}",
    tolerance: float = 1e-6,
    step: float = 1e-5,
    samples: int | None = None,
) -> ChainCheck:
    """Find the first wrong gradient of a backward that is written out in statements.

    Parameters
    ----------
    forward, backward : str, sequence of str, or function
        The statements; of a function, those in its body. The forward ends in a number; the
        backward may use all that the forward made. ``np`` is known in both. ``print`` is left out.
    values : mapping
        What the forward starts from: parameters, inputs, labels, sizes. Names that it does not use
        are ignored, so a notebook may pass ``globals()``. Arrays are copied, of float64.
    loss : str, default 'loss'
        The name of the number.
    named : str, default 'd{}'
        How gradients are called: 'dh' is that of h; 'grad_{}' for grad_h.
    tolerance, step : floats
        As in `check_gradients`: relative to the largest entry of a gradient, but to 1e-3 at least.
    samples : int, optional
        Look at so many entries of each gradient, evenly spread; default all.

    Returns
    -------
    ChainCheck
        ``first`` is the first WrongGradient or None; printed, it says what is wrong, where, and
        where the numbers bear it out the likely cause.

    Raises
    ------
    ValueError
        Where the forward does not run or is no function of its values alone, or the backward has
        no gradient of anything in it.

    Notes
    -----
    A name that the forward binds several times (``h = x @ W``, then ``h = np.maximum(h, 0)``) has
    a gradient at each; the backward then sets dh once for each, the last one first. Entries at a
    kink are treated as in `check_gradients`.

    A gradient that is zero whatever the numbers are (that of a maximum which is subtracted from
    the logits) is right with either sign.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> values = {"x": rng.standard_normal((4, 3)), "W": rng.standard_normal((3, 2)),
    ...           "b": np.zeros(2), "t": np.ones((4, 2))}
    >>> forward = '''
    ... h = x @ W + b
    ... a = np.tanh(h)
    ... loss = ((a - t) ** 2).mean()
    ... '''
    >>> backward = '''
    ... da = 2 * (a - t) / a.size
    ... dh = (1 - a ** 2) * da
    ... db = dh.sum(axis=1)
    ... dW = x.T @ dh
    ... '''
    >>> print(first_wrong(forward, backward, values))  # doctest: +NORMALIZE_WHITESPACE
    db is wrong: it has shape (4,), but b has (2,).
      line 4: db = dh.sum(axis=1)
      Likely cause: a sum goes over the wrong axis: `dh.sum(axis=0)` in place of
      `dh.sum(axis=1)` would be right.
    Right with the wrong ones put right: da, dh, dW.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # the statements run thousands of times
        programs = Program(forward, "forward"), Program(backward, "backward")
        chain = Chain(*programs, values, loss, named)
        return _Judging(chain, tolerance, step, samples).judge()


class _Judging:
    """The gradients of a chain, judged one after the other."""

    def __init__(self, chain: Chain, tolerance: float, step: float, samples: int | None) -> None:
        self.chain, self.tolerance, self.step, self.samples = chain, tolerance, step, samples
        self.met: dict[str, int] = {}  # a gradient to the statement after which it was right last
        self.wrong: list[WrongGradient] = []

    def judge(self) -> ChainCheck:
        """Judge each gradient in turn, putting right what is wrong."""
        chain = self.chain
        versions = chain.versions()
        if not versions:
            raise ValueError(
                "first_wrong: the backward sets no gradient of anything in the forward; that of h "
                f"is called {chain.named.format('h')}"
            )
        run = chain.run_backward()
        right: dict[str, None] = {}
        late: dict[str, None] = {}
        for version in versions:
            gradient = chain.named.format(version.name)
            if not run.reached(chain.backward.writers(gradient)[-1]):
                late[gradient] = None
                continue
            trouble = self._look(version, gradient, run)
            if trouble is None:
                right[gradient] = None
                continue
            self.wrong.append(self._described(trouble))
            chain.repaired[gradient] = trouble.repaired
            run = chain.run_backward()
            if not version.first:  # there is one name for several gradients: which to put right?
                break
        stopped = ""
        if run.error is not None:
            statement = chain.backward.statements[run.error.number]
            stopped = f"{statement.shown}, which raised {run.error.said}"
        return ChainCheck(tuple(self.wrong), tuple(right), stopped, tuple(late))

    def _look(self, version: Version, gradient: str, run: Backward) -> Trouble | None:
        """Compare a gradient with differences; None: it is right."""
        writers = self.chain.backward.writers(gradient)
        if version.first:
            answers = [(writers[-1], run.space[gradient])]
        else:
            after = [i for i in writers if i >= self.met.get(gradient, 0)]
            answers = [(i, run.seen[i][gradient]) for i in after if gradient in run.seen[i]]
        troubles = []
        for place, answer in answers:
            trouble = self._compare(version, gradient, run, place, answer)
            if trouble is None:
                self.met[gradient] = place
                return None
            troubles.append(trouble)
        # What was right for a later version is not meant for this one.
        own = [trouble for trouble in troubles if trouble.place > self.met.get(gradient, -1)]
        return min(own or troubles, key=lambda trouble: trouble.distance)

    def _compare(
        self, version: Version, gradient: str, run: Backward, place: int, answer: Any
    ) -> Trouble | None:
        chain = self.chain
        start = chain.states[version.statement][version.name]
        if np.asarray(start).dtype != np.float64:
            raise ValueError(
                f"first_wrong: {version.name} is {np.asarray(start).dtype} in the forward; leave "
                "the conversion out, differences need float64"
            )
        array = np.array(start)
        trouble = Trouble(chain, version, gradient, run, place, answer, array, self.step)
        said = trouble.said
        if said is None or said.shape != array.shape:
            return trouble
        if not array.size:
            return None
        places = list(np.ndindex(array.shape))
        if self.samples is not None and self.samples < len(places):
            chosen = np.linspace(0, len(places) - 1, self.samples).round().astype(int)
            places = [places[i] for i in np.unique(chosen)]

        def value() -> float:
            return chain.loss_after(version.statement, version.name, array)

        def again() -> Array:
            moved = chain.run_backward(chain.rerun(version.statement, version.name, array))
            return np.asarray(moved.seen[place][gradient], dtype=np.float64)

        judged = kinks.judge(
            array, places, np.array([said[i] for i in places]), value, again,
            step=self.step, tolerance=self.tolerance,
        )  # fmt: skip
        # With a gradient put right at this point alone, what lies beside it cannot be judged.
        bends = bool(self.wrong) and judged.look is not None and judged.look.bends
        if judged.wrong is None or bends:
            return None
        trouble.note(places, judged)
        return trouble

    def _described(self, trouble: Trouble) -> WrongGradient:
        chain, said = self.chain, trouble.said
        index: kinks.Index = ()
        received, expected, text = None, None, ""
        if said is None:
            text = f"it is {trouble.answer!r:.60}, no array of numbers"
        elif said.shape == trouble.right.shape:
            index = trouble.worst
            received, expected = float(said[index]), float(trouble.right[index])
        own = chain.backward.writers(trouble.gradient)
        return WrongGradient(
            trouble.gradient,
            trouble.version.name,
            tuple(chain.backward.statements[i].shown for i in own),
            said.shape if said is not None else (),
            trouble.right.shape,
            index,
            received,
            expected,
            trouble.off,
            trouble.looked_at,
            text,
            likely_cause(trouble),
        )
