"""Plots of a training and of the trained network, one class per file.

All follow scikit-learn's displays: ``from_estimator`` draws at once and returns the display, ``plot`` draws it again,
for example on other axes. matplotlib is imported when something is drawn, pyplot only if no axes are given.
"""
