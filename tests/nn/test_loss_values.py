"""Values, gradients and domains of every loss: 40-digit references, also where probabilities round to 0 or 1."""

import numpy as np
import pytest

from skmlp.nn.losses import (
    LOSSES,
    AbsoluteError,
    BinaryLogLoss,
    FocalLoss,
    GammaDeviance,
    GaussianNLL,
    Hinge,
    Huber,
    LogCosh,
    MulticlassHinge,
    MultinomialFocalLoss,
    MultinomialLogLoss,
    PoissonDeviance,
    Quantile,
    SquaredError,
    TweedieDeviance,
)

EPS = {np.float32: 2.0**-23, np.float64: 2.0**-52}

# (loss, raw, target, value, gradient) of one sample. Computed with mpmath 1.3 from the definitions at 40 digits, e.g.
# log(1 + exp(raw)) - y raw, and rounded to the nearest double; every raw and target is exact in float32.
REFERENCE = [
    (SquaredError(), [1.5, -2.0], [0.5, 2.0], 8.5, [1.0, -4.0]),
    (SquaredError(), [1e4], [-1e4], 2e8, [2e4]),
    (BinaryLogLoss(), [0.0], [1.0], 0.6931471805599453, [-0.5]),
    (BinaryLogLoss(), [1.5], [1.0], 0.2014132779827524, [-0.18242552380635635]),
    (BinaryLogLoss(), [-1.5], [1.0], 1.7014132779827524, [-0.8175744761936437]),
    (BinaryLogLoss(), [1.5], [0.25], 1.3264132779827524, [0.5675744761936437]),
    (BinaryLogLoss(), [1.5, 0.0], [1.0, 0.0], 0.2014132779827524 + 0.6931471805599453, [-0.18242552380635635, 0.5]),
    (BinaryLogLoss(), [100.0], [0.0], 100.0, [1.0]),
    (BinaryLogLoss(), [-100.0], [0.0], 3.720075976020836e-44, [3.720075976020836e-44]),
    (BinaryLogLoss(), [1000.0], [0.0], 1000.0, [1.0]),
    (BinaryLogLoss(), [1000.0], [1.0], 0.0, [0.0]),
    (BinaryLogLoss(), [-1000.0], [1.0], 1000.0, [-1.0]),
    (BinaryLogLoss(), [1e4], [0.0], 1e4, [1.0]),
    (BinaryLogLoss(), [-1e4], [1.0], 1e4, [-1.0]),
    (PoissonDeviance(), [0.0], [0.0], 1.0, [1.0]),
    (PoissonDeviance(), [0.0], [1.0], 0.0, [0.0]),
    (PoissonDeviance(), [1.5], [3.0], 0.2775259363423939, [1.4816890703380647]),
    (PoissonDeviance(), [-1.5], [3.0], 5.018967026152759, [-2.77686983985157]),
    (PoissonDeviance(), [2.0, 0.0], [0.5, 0.0], 5.542482508650678 + 1.0, [6.88905609893065, 1.0]),
    (PoissonDeviance(), [20.0], [5.0], 485165098.4569798, [485165190.4097903]),
    (PoissonDeviance(), [-100.0], [0.0], 3.720075976020836e-44, [3.720075976020836e-44]),
    (PoissonDeviance(), [-100.0], [2.0], 199.3862943611199, [-2.0]),
    (PoissonDeviance(), [-1000.0], [4.0], 4001.5451774444796, [-4.0]),
    (PoissonDeviance(), [-1e4], [1.0], 9999.0, [-1.0]),
    (MultinomialLogLoss(), [0.0, 0.0, 0.0], 1, 1.0986122886681098, [1 / 3, -2 / 3, 1 / 3]),
    (
        MultinomialLogLoss(),
        [1.5, -0.5, 0.25],
        1,
        2.351951863802802,
        [0.703313976021774, -0.904816803850825, 0.20150282782905096],
    ),
    (MultinomialLogLoss(), [100.0, 0.0, -100.0], 0, 0.0, [0.0, 0.0, 0.0]),
    (MultinomialLogLoss(), [100.0, 0.0, -100.0], 2, 200.0, [1.0, 0.0, -1.0]),
    (MultinomialLogLoss(), [1e3, -1e3, 0.0], 1, 2e3, [1.0, -1.0, 0.0]),
    (MultinomialLogLoss(), [1e4, -1e4, 9999.0], 2, 1.3132616875182228, [0.7310585786300049, 0.0, -0.7310585786300049]),
    (MultinomialLogLoss(), [1e4, -1e4, 9999.0], 1, 20000.31326168752, [0.7310585786300049, -1.0, 0.2689414213699951]),
    (AbsoluteError(), [1.5, -2.0], [0.5, 2.0], 5.0, [1.0, -1.0]),
    (AbsoluteError(), [3.0, 1e4], [3.0, -1e4], 2e4, [0.0, 1.0]),
    (Huber(), [1.5, 0.75], [1.0, 1.0], 0.15625, [0.5, -0.25]),
    (Huber(), [1.0, 4.0], [0.0, 1.0], 3.0, [1.0, 1.0]),
    (Huber(), [-1e4], [1e4], 19999.5, [-1.0]),
    (Huber(0.5), [4.0, 1.25], [1.0, 1.0], 1.40625, [0.5, 0.25]),
    (Quantile(), [1.5, -2.0], [0.5, 2.0], 2.5, [0.5, -0.5]),
    (Quantile(0.25), [3.0, -2.0, 1e4], [2.0, 2.0, -1e4], 0.75 + 1.0 + 15000.0, [0.75, -0.25, 0.75]),
    (Hinge(), [0.0, 0.25, -3.0], [1.0, 1.0, 0.0], 1.75, [-1.0, -1.0, 0.0]),
    (Hinge(), [2.0, 0.5, 1e4], [0.0, 0.0, 0.0], 3.0 + 1.5 + 10001.0, [1.0, 1.0, 1.0]),
    (MulticlassHinge(), [1.5, 0.25, 1.0], 1, 2.25, [1.0, -1.0, 0.0]),
    (MulticlassHinge(), [1.5, 0.25, 1.0], 0, 0.5, [-1.0, 0.0, 1.0]),
    (MulticlassHinge(), [1.5, 0.25, 3.0], 2, 0.0, [0.0, 0.0, 0.0]),
    (MulticlassHinge(), [1.0, 0.0, 1.0], 1, 2.0, [1.0, -1.0, 0.0]),
    (MulticlassHinge(), [1e4, -1e4], 1, 20001.0, [1.0, -1.0]),
    (MulticlassHinge(), [1.0], 0, 0.0, [0.0]),
    (MultinomialFocalLoss(), [1.0], 0, 0.0, [0.0]),
    (MultinomialFocalLoss(), [1e4, -1e4, 0.0], 1, 2e4, [1.0, -1.0, 0.0]),
    (MultinomialFocalLoss(), [1e4, -1e4, 0.0], 0, 0.0, [0.0, 0.0, 0.0]),
    (FocalLoss(), [1e4, -1e4], [0.0, 1.0], 2e4, [1.0, -1.0]),
    (FocalLoss(), [1e4, -1e4], [1.0, 0.0], 0.0, [0.0, 0.0]),
    (FocalLoss(0.5), [1e4, -1e4], [1.0, 0.0], 0.0, [0.0, 0.0]),
    (LogCosh(), [0.0009765625], [0.0], 4.7683708241191914e-07, [0.0009765621895592603]),
    (LogCosh(), [1.5, -2.0], [0.0, 1.0], 3.164768675591582, [0.9051482536448664, -0.9950547536867305]),
    (LogCosh(), [100.0], [0.0], 99.30685281944005, [1.0]),
    (LogCosh(), [-5000.0], [5000.0], 9999.30685281944, [-1.0]),
    (
        Quantile((0.25, 0.5, 0.75)),
        [0.5, -1.0, 2.0],
        [1.0],
        0.7034165808811874,
        [-0.5, -0.06723535534249878, 0.2201992694944706],
    ),
    (
        Quantile((0.25, 0.5, 0.75)),
        [0.5, -1.0, 2.0, 0.0, -100.0, 100.0],
        [1.0, 2.0],
        26.70341658088119,
        [-0.5, -0.06723535534249878, 0.2201992694944706, -0.5, -9.300189940052094e-45, 0.25],
    ),
    (Quantile((0.25, 0.5, 0.75)), [-10000.0, 10000.0, -10000.0], [1.0], 2501.5, [-1.5, -1.25, 0.0]),
    (GammaDeviance(), [1.5, 0.0], [0.5, 1.0], 1.3047122606341601, [0.888434919925785, 0.0]),
    (GammaDeviance(), [-1.5], [3.0], 9.846454922346085, [-12.445067211014194]),
    (GammaDeviance(), [1.0], [2.75], 6.755154298645916e-05, [-0.011668463221466384]),
    (GammaDeviance(), [10000.0], [2.0], 9998.30685281944, [1.0]),
    (GammaDeviance(), [-20.0], [2.0], 970330369.1264334, [-970330389.8195806]),
    (TweedieDeviance(), [1.5, 0.5], [0.0, 4.0], 5.032457131172071, [2.117000016612675, -1.831177715597878]),
    (TweedieDeviance(), [-1.5], [3.0], 6.718529974882569, [-5.8786334970970096]),
    (TweedieDeviance(), [-10000.0], [0.0], 0.0, [0.0]),
    (TweedieDeviance(), [-100.0], [2.0], 2.073882211434829e22, [-1.0369411057174144e22]),
    (TweedieDeviance(), [20.0], [2.0], 44047.27491696366, [22026.465704006856]),
    (TweedieDeviance(1.125), [1.5], [3.0], 0.23383907520897704, [1.228363383399903]),
    (TweedieDeviance(3.0), [1.5], [0.5], 0.7893166069435361, [0.19823662596449787]),
    (TweedieDeviance(3.0), [10000.0], [0.5], 1.0, [0.0]),
    (TweedieDeviance(0.0), [1.5], [-2.0], 21.006146602269965, [29.0489150638638]),
    (TweedieDeviance(0.5), [-1.5], [3.0], 4.16427006353733, [-1.3117004336611797]),
    (TweedieDeviance(-1.0), [1.5, 0.5], [-2.0, 3.0], 52.007720970785726, [130.18820514689716, -3.6731564150390708]),
    (
        GaussianNLL(),
        [1.5, -2.0, 0.5, -1.0],
        [0.5, 0.0],
        7.327706053183753,
        [0.6065306597126334, -5.43656365691809, 0.1967346701436833, -4.93656365691809],
    ),
    (GaussianNLL(), [3.0, -10000.0], [3.0], -4999.081061466795, [0.0, 0.5]),
    (GaussianNLL(), [3.0, 10000.0], [-2.0], 5000.918938533205, [0.0, 0.5]),
    (GaussianNLL(), [10000.0, 0.0], [-10000.0], 200000000.91893855, [20000.0, -199999999.5]),
    (GaussianNLL(), [3.0, -40.0], [2.0], 1.1769263341850997e17, [2.3538526683702e17, -1.1769263341851e17]),
    (FocalLoss(), [0.0], [1.0], 0.17328679513998632, [-0.29828679513998635]),
    (FocalLoss(), [1.5, -0.5], [1.0, 0.0], 0.0742763374440793, [-0.017031105223235928, 0.13793699735091441]),
    (FocalLoss(), [-1.5], [1.0], 1.1372723156191766, [-0.9614246874703603]),
    (FocalLoss(), [10.0], [1.0], 9.356560963849893e-14, [-2.8068620970127325e-13]),
    (FocalLoss(), [1000.0], [0.0], 1000.0, [1.0]),
    (FocalLoss(0.5), [1.5], [0.0], 1.5384149093166635, [0.8795724838533905]),
    (FocalLoss(0.5), [20.0], [1.0], 9.357622949552676e-14, [-1.4036434405041515e-13]),
    (
        MultinomialFocalLoss(),
        [0.0, 0.0, 0.0],
        1,
        0.4882721282969376,
        [0.31090552424712736, -0.6218110484942547, 0.31090552424712736],
    ),
    (
        MultinomialFocalLoss(),
        [1.5, -0.5, 0.25],
        1,
        1.9255275821552107,
        [0.8607222695334095, -1.1073233285191209, 0.24660105898571127],
    ),
    (
        MultinomialFocalLoss(),
        [1.5, -0.5, 0.25],
        0,
        0.030979717008972358,
        [-0.06969201016317296, 0.02235868135763088, 0.04733332880554208],
    ),
    (MultinomialFocalLoss(), [100.0, 0.0, -100.0], 2, 200.0, [1.0, 3.7200759760208376e-44, -1.0]),
    (
        MultinomialFocalLoss(0.5),
        [1.5, -0.5, 0.25],
        0,
        0.19170428201067966,
        [-0.2290157415808065, 0.0734731281232664, 0.1555426134575401],
    ),
    (BinaryLogLoss(0.25), [1.5], [1.0], 0.38891327798275244, [-0.05742552380635634]),
    (BinaryLogLoss(0.25), [1.5, -0.5], [0.0, 1.0], 2.425490262162859, [0.6925744761936437, -0.49745933120185454]),
    (BinaryLogLoss(0.25), [1000.0], [1.0], 125.0, [0.125]),
    (
        MultinomialLogLoss(0.25),
        [1.5, -0.5, 0.25],
        1,
        2.122785197136135,
        [0.6199806426884407, -0.7381501371841583, 0.11816949449571765],
    ),
    (
        MultinomialLogLoss(0.25),
        [1000.0, -1000.0, 0.0],
        0,
        250.0,
        [0.16666666666666666, -0.08333333333333333, -0.08333333333333333],
    ),
]


def test_every_registered_loss_has_reference_values():
    assert {type(loss) for loss, *_ in REFERENCE} == {type(loss) for loss in LOSSES.values()}


@pytest.mark.parametrize(("loss", "raw", "y", "value", "gradient"), REFERENCE, ids=[repr(row[0]) for row in REFERENCE])
def test_losses_and_gradients_agree_with_reference_values(loss, raw, y, value, gradient):
    for dtype, eps in EPS.items():
        points, targets = np.array([raw], dtype), np.array([y]) if isinstance(y, int) else np.array([y], dtype)
        # Differences of numbers as large as |raw| max(1, y) are rounded to eps times that; exp itself to a few eps.
        size = np.max(np.abs(raw)) * max(1.0, np.max(np.abs(y)) if targets.ndim == 2 else 1.0)
        losses = loss.loss(targets, points)
        assert losses.shape == (1,)
        np.testing.assert_allclose(losses, [value], rtol=8 * eps, atol=4 * eps * max(1.0, size))
        np.testing.assert_allclose(loss.gradient(targets, points), [gradient], rtol=8 * eps, atol=4 * eps)


@pytest.mark.parametrize(
    ("loss", "y", "inside"),
    [
        (SquaredError(), [[-1e30, 3.0]], True),
        (PoissonDeviance(), [[0.0, 2.5]], True),
        (PoissonDeviance(), [[0.0, -1e-9]], False),
        (PoissonDeviance(), [[np.nan]], False),
        (BinaryLogLoss(), [[0.0, 0.3, 1.0]], True),
        (BinaryLogLoss(), [[0.0, 1.0001]], False),
        (BinaryLogLoss(), [[-0.1, 1.0]], False),
        (AbsoluteError(), [[-1e30, 3.0]], True),
        (GaussianNLL(), [[-1e30, 3.0]], True),
        (GammaDeviance(), [[1e-30, 2.5]], True),
        (GammaDeviance(), [[0.0, 2.5]], False),
        (TweedieDeviance(), [[0.0, 2.5]], True),
        (TweedieDeviance(), [[-1e-9, 2.5]], False),
        (TweedieDeviance(-1.0), [[-3.0, 2.5]], True),
        (TweedieDeviance(0.0), [[-3.0, 2.5]], True),
        (TweedieDeviance(0.5), [[-3.0, 2.5]], False),
        (TweedieDeviance(0.5), [[0.0, 2.5]], True),
        (TweedieDeviance(2.0), [[0.0, 2.5]], False),
        (TweedieDeviance(3.0), [[1e-9, 2.5]], True),
        (Hinge(), [[0.0, 1.0]], True),
        (Hinge(), [[-1.0, 1.0]], False),
        (FocalLoss(), [[0.0, 1.0]], True),
        (FocalLoss(), [[0.5, 1.0]], False),
        (MulticlassHinge(), [0, 3], True),
        (MulticlassHinge(), [0, -1], False),
        (MultinomialFocalLoss(), [0.0, 1.0], False),
        (MultinomialLogLoss(), [0, 3], True),
        (MultinomialLogLoss(), [0, -1], False),
        (MultinomialLogLoss(), [0.0, 1.0], False),
    ],
)
def test_in_domain_tells_which_targets_are_allowed(loss, y, inside):
    assert loss.in_domain(np.array(y)) is inside


def test_domain_in_words_depends_on_the_power():
    words = {power: TweedieDeviance(power).domain for power in (-1.0, 0.0, 0.5, 1.0, 1.9, 2.0, 3.0)}
    assert list(words.values()) == ["all real numbers"] * 2 + ["y >= 0"] * 3 + ["y > 0"] * 2
