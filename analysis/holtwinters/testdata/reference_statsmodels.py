#!/usr/bin/python3
"""Writes reference_statsmodels.json: exponential smoothing with a damped trend. See README.md."""

import json, math, warnings
from statsmodels.tsa.holtwinters import ExponentialSmoothing

warnings.simplefilter("ignore")


def case(name, y, alpha, beta, phi, level, trend, day=None, gamma=0.0):
    """statsmodels smooths the season by the error of the forecast, we by what
    the new level leaves of the value: its gamma is ours times 1 - alpha."""
    m = ExponentialSmoothing(y, trend="add", damped_trend=True, seasonal="add" if day else None, seasonal_periods=len(day) if day else None,
                             initialization_method="known", initial_level=level, initial_trend=trend, initial_seasonal=day)
    given = dict(smoothing_level=alpha, smoothing_trend=beta, damping_trend=phi)
    if day:
        given["smoothing_seasonal"] = gamma * (1 - alpha)
    r = m.fit(optimized=False, **given)
    return dict(name=name, multiplicative=False, params=dict(Alpha=alpha, Beta=beta, Gamma=gamma, Phi=phi), level=level, trend=trend,
                day=day or [], week=[], data=y, fitted=list(r.fittedvalues), sse=float(r.sse), ahead=list(r.forecast(11)))  # its twelfth takes the season of a year ago, not the newest


wave = [50 + 0.3 * i + 8 * math.sin(2 * math.pi * i / 12) + 2 * math.sin(i * i) for i in range(180)]
start = [8 * math.sin(2 * math.pi * i / 12) for i in range(12)]
cases = [
    case("Holt damped", wave, 0.4, 0.2, 0.9, 50.0, 0.5),
    case("damped trend, additive season", wave, 0.3, 0.1, 0.95, 50.0, 0.3, start, 0.25),
]
with open("reference_statsmodels.json", "w") as f:
    json.dump(cases, f)
