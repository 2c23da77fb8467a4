"""The dashboard and the report of a real fit in a browser.

With ``SKMLP_SAVE_SCREENSHOTS=<folder>`` the pictures of the documentation are made, which show other pages, too.
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
from selenium.common.exceptions import JavascriptException, StaleElementReferenceException
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
FOLDER = os.environ.get("SKMLP_SAVE_SCREENSHOTS")
pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="chromium or chromedriver is not installed")
FOR_PICTURES = pytest.mark.skipif(FOLDER is None, reason="a page of MLflow alone; SKMLP_SAVE_SCREENSHOTS is not set")
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
# Seconds that a page may take to show what it should, on a busy machine.
PATIENCE = 90.0
# Seconds without a change after which a page counts as drawn.
STILL = 2.0


def pipeline(**params: Any) -> Any:
    return make_pipeline(StandardScaler(), MLPClassifier((32, 16), random_state=0, **params))


@pytest.fixture(scope="module")
def experiment(server: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Fits in the server's store: a pipeline, and for the pictures a search of two candidates in two folds each."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:600], y[:600]
    names = ["digits"] if FOLDER is None else ["digits", "search"]
    spool = tmp_path_factory.mktemp("spool")
    callback = MLflowCallback("digits", tracking_uri=server.uri, spool=spool)
    pipeline(early_stopping=True, max_iter=20 if FOLDER is None else 60).set_callbacks(callback).fit(X, y)
    if "search" in names:
        search = GridSearchCV(pipeline(max_iter=15), {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=2)
        search.set_callbacks(MLflowCallback("search", tracking_uri=server.uri, spool=spool)).fit(X, y)
    client = MlflowClient(server.uri)
    ids = {name: client.get_experiment_by_name(name).experiment_id for name in names}
    (run,) = client.search_runs([ids["digits"]])
    return {**ids, "run": run.info.run_id}


@pytest.fixture(scope="module")
def browser(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    running = Chrome(options=options, service=ChromeService(executable_path=DRIVER))
    try:
        running.set_page_load_timeout(PATIENCE)
        running.get(server.uri)
        # MLflow opens its assistant at the first visit, over a fifth of the page.
        for key, value in (("fab.autoOpenedOnFirstLoad_v1", "true"), ("panelOpen_v1", "false")):
            running.execute_script("localStorage.setItem(arguments[0], arguments[1])", f"mlflow.assistant.{key}", value)
        yield running
    finally:
        running.quit()


def show(browser: Chrome, url: str) -> None:
    """Load a page: the addresses of MLflow's pages differ after the # only, which alone loads nothing."""
    browser.get("about:blank")
    browser.get(url)


def wait_for(browser: Chrome, what: str, condition: Callable[[Chrome], bool]) -> None:
    WebDriverWait(browser, PATIENCE, ignored_exceptions=[JavascriptException, StaleElementReferenceException]).until(
        condition, f"The page does not show {what}."
    )


def text_of(browser: Chrome) -> str:
    return str(browser.execute_script("return document.body.innerText"))


def charts(browser: Chrome) -> list[dict[str, Any]]:
    """Return the charts that are drawn, from the top: metrics, scale of the vertical axis, values in each line."""
    script = """
    return [...document.querySelectorAll('.js-plotly-plot')]
      .filter(plot => plot.querySelector('.scatterlayer .trace path'))
      .map(plot => ({
        metrics: [...new Set(plot.data.map(line => line.metricKey))],
        scale: plot._fullLayout.yaxis.type,
        n_values: plot.data.map(line => line.y.length),
      }))"""
    return list(browser.execute_script(script))


def save(browser: Chrome, name: str, height: int) -> None:
    """Save a picture, when that is asked for and the page has stopped changing."""
    if FOLDER is None:
        return
    browser.set_window_size(1400, height)
    # A headless browser always shows Plotly's buttons, which usually appear under the pointer only.
    hide = "document.head.insertAdjacentHTML('beforeend', '<style>.modebar {display: none !important}</style>')"
    browser.execute_script(hide)
    before, deadline = b"", time.monotonic() + 20.0
    while (now := browser.get_screenshot_as_png()) != before and time.monotonic() < deadline:
        before = now
        time.sleep(STILL)
    Path(FOLDER).mkdir(parents=True, exist_ok=True)
    Path(FOLDER, name).write_bytes(now)


@FOR_PICTURES
def test_the_page_of_a_run_has_its_charts(browser: Chrome, server: Any, experiment: dict[str, str]) -> None:
    show(browser, f"{server.uri}/#/experiments/{experiment['digits']}/runs/{experiment['run']}/model-metrics")
    wait_for(browser, "charts", lambda page: len(charts(page)) >= 3)
    assert "activation_mean/layer_01" in [metric for chart in charts(browser) for metric in chart["metrics"]]
    # Charts are drawn when one scrolls to them.
    loss = browser.find_element(By.XPATH, "//*[normalize-space(text())='loss']")
    browser.execute_script("arguments[0].scrollIntoView({block: 'start'})", loss)
    for metric in ("loss/train", "loss/validation"):
        wait_for(browser, metric, lambda page, metric=metric: any(metric in chart["metrics"] for chart in charts(page)))
    drawn = {chart["metrics"][0]: chart for chart in charts(browser)}
    assert min(drawn["loss/train"]["n_values"]) > 10
    save(browser, "mlflow-run.png", 1000)


def test_the_dashboard_has_its_charts(browser: Chrome, server: Any, experiment: dict[str, str]) -> None:
    show(browser, dashboard_url("digits", tracking_uri=server.uri))
    for title in ("Training and validation loss", "Validation score", "Gradient norm of each layer (log)"):
        wait_for(browser, f"the title {title!r}", lambda page, title=title: title in text_of(page))
    wait_for(browser, "lines in the charts", lambda page: len(charts(page)) >= 3)
    losses, score, gradients = charts(browser)[:3]
    assert (losses["metrics"], losses["scale"]) == (["loss/train", "loss/validation"], "linear")
    assert (score["metrics"], score["scale"]) == (["score/validation"], "linear")
    assert (gradients["metrics"], gradients["scale"]) == ([f"grad_norm/layer_0{n}" for n in (1, 2, 3)], "log")
    assert min(losses["n_values"] + gradients["n_values"]) > 10
    save(browser, "mlflow-dashboard.png", 1300)


@FOR_PICTURES
def test_the_table_of_a_search_has_its_folds(browser: Chrome, server: Any, experiment: dict[str, str]) -> None:
    show(browser, f"{server.uri}/#/experiments/{experiment['search']}/runs?compareRunsMode=TABLE")
    expander = "//*[@role='gridcell' and contains(@col-id, 'Run Name')][.//a[contains(., 'GridSearchCV')]]//button"
    wait_for(browser, "the search", lambda page: bool(page.find_elements(By.XPATH, expander)))
    browser.find_element(By.XPATH, expander).click()
    for name in (*(f"cand {c}, split {s}" for c in (0, 1) for s in (0, 1)), "refit"):
        wait_for(browser, f"the run {name!r}", lambda page, name=name: name in text_of(page))
    save(browser, "mlflow-search.png", 800)


def test_the_report_draws_its_charts_without_errors(browser: Chrome, server: Any, experiment: dict[str, str]) -> None:
    page = MlflowClient(server.uri).download_artifacts(experiment["run"], "figures/training.html")
    show(browser, Path(page).absolute().as_uri())
    for title in ("Loss", "Statistics of each layer", "Distribution within a layer"):
        wait_for(browser, f"the title {title!r}", lambda page, title=title: title in text_of(page))
    drawn = browser.execute_script(
        "const wide = each => each.getBoundingClientRect().width > 300;"
        "return [...document.querySelectorAll('canvas, svg')].filter(wide).length"
    )
    assert drawn >= 4
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [message for message in errors if "file://" in message] == []
    save(browser, "training-report.png", 1400)
