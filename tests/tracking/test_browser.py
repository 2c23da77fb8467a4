"""What MLflow's pages show of real fits, seen with a browser.

With ``SKMLP_SAVE_SCREENSHOTS=<folder>`` the pictures of the documentation are made anew.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from mlflow import MlflowClient
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier
from skmlp.tracking import MLflowCallback, dashboard_url

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="chromium or chromedriver is not installed"),
    pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning"),
]
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
)
# Seconds for a page to show what it should, on a busy machine.
PATIENCE = 90.0
# Seconds without a change after which a page counts as drawn.
STILL = 2.0


def pipeline(**params: Any) -> Any:
    return make_pipeline(StandardScaler(), MLPClassifier((32, 16), random_state=0, **params))


@pytest.fixture(scope="module")
def experiment(server: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Real fits in the server's store: a pipeline, and a search of two candidates in two folds each."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:600], y[:600]
    spool = tmp_path_factory.mktemp("spool")
    callback = MLflowCallback("digits", tracking_uri=server.uri, spool=spool)
    pipeline(early_stopping=True, max_iter=60).set_callbacks(callback).fit(X, y)
    search = GridSearchCV(pipeline(max_iter=15), {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=2)
    search.set_callbacks(MLflowCallback("search", tracking_uri=server.uri, spool=spool)).fit(X, y)
    client = MlflowClient(server.uri)
    ids = {name: client.get_experiment_by_name(name).experiment_id for name in ("digits", "search")}
    (run,) = client.search_runs([ids["digits"]])
    return {**ids, "run": run.info.run_id}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    running = Chrome(options=options, service=ChromeService(executable_path=DRIVER))
    running.set_page_load_timeout(PATIENCE)
    yield running
    running.quit()


def wait_for(browser: Chrome, what: str, condition: Callable[[Chrome], bool]) -> None:
    WebDriverWait(browser, PATIENCE).until(condition, f"The page does not show {what}.")


def text_of(browser: Chrome) -> str:
    return str(browser.execute_script("return document.body.innerText"))


def n_lines(browser: Chrome) -> list[int]:
    """Return the number of lines in each chart of the page, from the top."""
    counted = "return [...document.querySelectorAll('.js-plotly-plot')]"
    counted += ".map(plot => plot.querySelectorAll('.scatterlayer .trace').length)"
    return list(browser.execute_script(counted))


def scales_of(browser: Chrome) -> list[str]:
    """Return the scale of each chart's vertical axis, from the top."""
    return list(
        browser.execute_script(
            "return [...document.querySelectorAll('.js-plotly-plot')].map(plot => plot._fullLayout.yaxis.type)"
        )
    )


def save(browser: Chrome, name: str) -> None:
    """Save a picture, when that is asked for and the page has stopped changing."""
    folder = os.environ.get("SKMLP_SAVE_SCREENSHOTS")
    if folder is None:
        return
    before, deadline = b"", time.monotonic() + 20.0
    while (now := browser.get_screenshot_as_png()) != before and time.monotonic() < deadline:
        before = now
        time.sleep(STILL)
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, name).write_bytes(now)


def test_the_page_of_a_run_has_its_charts(browser: Chrome, server: Any, experiment: dict[str, str]) -> None:
    browser.get(f"{server.uri}/#/experiments/{experiment['digits']}/runs/{experiment['run']}/model-metrics")
    wait_for(browser, "the charts of the losses", lambda page: all(n in text_of(page) for n in ("train", "validation")))
    wait_for(browser, "lines", lambda page: len(n_lines(page)) >= 3 and all(n_lines(page)[:3]))
    save(browser, "mlflow-run.png")


def test_the_dashboard_has_its_charts(browser: Chrome, server: Any, experiment: dict[str, str]) -> None:
    browser.get(dashboard_url("digits", tracking_uri=server.uri))
    titles = ("Training and validation loss", "Validation score", "Gradient norm of each layer (log)")
    wait_for(browser, "the titles", lambda page: all(title in text_of(page) for title in titles))
    wait_for(browser, "lines in the charts", lambda page: len(n_lines(page)) >= 3 and all(n_lines(page)[:3]))
    save(browser, "mlflow-dashboard.png")
    # Training and validation in the first chart, three layers in the third.
    assert n_lines(browser)[:3] == [2, 1, 3]
    assert scales_of(browser)[:3] == ["linear", "linear", "log"]


def test_the_table_of_a_search_has_its_folds(browser: Chrome, server: Any, experiment: dict[str, str]) -> None:
    browser.get(f"{server.uri}/#/experiments/{experiment['search']}/runs?compareRunsMode=TABLE")
    wait_for(browser, "the search", lambda page: "GridSearchCV" in text_of(page))
    for expander in browser.find_elements(By.CSS_SELECTOR, ".ag-cell [role=button], .ag-cell button"):
        if "refit" not in text_of(browser) and expander.is_displayed():
            browser.execute_script("arguments[0].click()", expander)
    names = ("candidate 0, split 0", "candidate 1, split 1", "refit")
    wait_for(browser, "the folds", lambda page: all(name in text_of(page) for name in names))
    save(browser, "mlflow-search.png")
