"""Measurements of skmlp against its peers. Each prints ratios taken side by side in one run."""
