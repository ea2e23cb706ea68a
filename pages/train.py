"""Train: start a small training on the data that are here, watch it, try what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

from core import datasets, jobs
from core.jobs import Job, Progress
from core.models import Task
from core.ui import cards, engine, entry, owner, plots
from core.ui import datasets as local
from core.ui.engine import Trouble

EVERY_SECONDS = 2.0
"""How often a run at work is looked at."""

NOTICE = "duet.train.notice"
"""Where in the session a trouble of the last click waits to be told."""

TITLES: dict[Task, str] = {"face": "Face", "voice": "Voice"}


def trainable(data: Path) -> list[str]:
    """Recipes whose data are here."""
    present = datasets.present(data)
    voices = any(name in present for name in datasets.CORPORA)
    has: dict[Task, bool] = {"face": "fer2013" in present, "voice": voices}
    return [name for name, task in jobs.RECIPES.items() if has[task]]


def told(job: Callable[[], object]) -> None:
    """Callback: do it, for whom it is, and keep what went wrong for the page."""
    if not owner.here():
        return
    found = engine.told(job)
    if isinstance(found, Trouble):
        st.session_state[NOTICE] = found


def begin(data: Path) -> None:
    """Callback: start what the form says."""
    told(
        partial(
            jobs.start,
            st.session_state["train_recipe"],
            data,
            st.session_state["train_epochs"],
            st.session_state["train_share"] / 100,
        )
    )


def form(data: Path, busy: bool) -> None:
    """What to train, for how long, on how much."""
    st.subheader("A new model")
    with st.container(border=True, key="train_form"):
        recipe = st.selectbox(
            "Model",
            trainable(data),
            format_func=lambda name: f"{TITLES[jobs.RECIPES[name]]} ({name})",
            key="train_recipe",
        )
        left, right = st.columns(2, gap="large")
        left.slider("Epochs of each stage", 1, 40, 2, key="train_epochs")
        right.slider("Share of the data (%)", 1, 100, 10, key="train_share")
        if jobs.RECIPES[recipe] == "voice":
            st.caption(
                "The first time, all recordings are prepared, which takes many minutes on a small "
                "machine; later runs start at once."
            )
        st.button(
            "Start training",
            type="primary",
            icon=":material/play_arrow:",
            key="train_start",
            on_click=begin,
            args=(data,),
            disabled=busy,
            help="One training at a time." if busy else None,
        )
    st.caption(
        "It runs as a process of its own: close this page whenever you like. Small runs teach how "
        "training goes; do not expect the shipped models' quality from them."
    )


def minutes(seconds: float) -> str:
    """A stretch of time in words."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def curves(job: Job, found: Progress) -> None:
    """Charts of the epochs so far."""
    if found.history is None:
        return
    for kind, figure in plots.history(found.history).items():
        plots.show(figure, f"{job.id}_{kind}", plots.history_rows(found.history))


@st.fragment(run_every=EVERY_SECONDS)
def at_work(job: Job) -> None:
    """The run at work: how far it is, live; a way to stop it."""
    if jobs.running() != job.id:
        st.rerun()
    found = jobs.progress(job)
    left = "" if found.seconds_left is None else f"; about {minutes(found.seconds_left)} left"
    st.progress(found.share, f"{found.words}{left}")
    st.caption(f"Running for {minutes(time.time() - job.at_work_since)}.")
    st.button(
        "Stop",
        icon=":material/stop:",
        key=f"stop_{job.id}",
        on_click=told,
        args=(partial(jobs.stop, job),),
        help="What the finished epochs taught is kept; it can go on later.",
    )
    curves(job, found)


def headline(job: Job) -> str:
    """The run in a line."""
    epochs = "1 epoch" if job.epochs == 1 else f"{job.epochs} epochs"
    return (
        f"`{job.called}`: {epochs} a stage on {job.fraction:.0%} of the data, "
        f"begun {time.strftime('%Y-%m-%d %H:%M', time.localtime(job.started))}"
    )


def running(job: Job) -> None:
    """The one run at work."""
    st.subheader("At work")
    st.markdown(headline(job))
    at_work(job)


def ended(job: Job, busy: bool) -> None:
    """A run that is not at work: what came of it, and what can be done."""
    state = jobs.state(job)
    with st.container(border=True, key=f"run_{job.id}"):
        st.markdown(headline(job))
        if state == "done":
            st.markdown(
                f"Done. The model is installed as your own and can be chosen on the "
                f"{TITLES[job.task]} page."
            )
        elif state == "stopped":
            st.markdown("Stopped. It goes on from the last finished epoch.")
        else:
            engine.show_trouble(
                Trouble("failed", f"The training failed: {jobs.fault(job)}"), f"failed_{job.id}"
            )
        doing(job, state, busy)
        found = jobs.progress(job)
        if found.history is not None:
            with st.expander("Curves", icon=":material/show_chart:"):
                curves(job, found)
        with st.expander("Log", icon=":material/terminal:"):
            st.code(jobs.tail(job) or "Nothing was logged.", language=None, height=240)


def doing(job: Job, state: jobs.State, busy: bool) -> None:
    """Try, go on, delete."""
    with st.container(horizontal=True):
        if state == "done":
            st.button(
                "Try it",
                icon=":material/play_circle:",
                key=f"try_{job.id}",
                on_click=try_it,
                args=(job,),
            )
            st.page_link(
                "pages/models.py",
                label="See how good it is",
                icon=":material/leaderboard:",
                query_params={"view": "One model", "model": job.called},
            )
        else:
            st.button(
                "Go on",
                icon=":material/resume:",
                key=f"resume_{job.id}",
                on_click=told,
                args=(partial(jobs.resume, job),),
                disabled=busy,
            )
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown("The run, its log and its model are removed for good.")
            st.button(
                "Delete for good",
                key=f"delete_{job.id}",
                on_click=told,
                args=(partial(jobs.delete, job),),
            )


GO = "duet.train.go"
"""Where in the session it says which page to open next."""


def try_it(job: Job) -> None:
    """Callback: choose the new model on its page and go there."""
    st.session_state[f"{job.task}_model"] = job.called
    st.session_state[GO] = f"pages/{job.task}.py"


def new(busy: bool) -> None:
    """The form, or why there is none."""
    lacking = jobs.missing()
    if lacking:
        st.info(
            f"Training needs {' and '.join(lacking)}, which this installation lacks: install "
            "requirements.txt to train here.",
            icon=":material/info:",
        )
        return
    data = local.data_folder()
    if data is None:
        cards.empty("model_training", local.missing(), "train_empty")
        return
    form(data, busy)


def page() -> None:
    """The run at work, a form for a new one, and all earlier ones."""
    if target := st.session_state.pop(GO, None):
        st.switch_page(target)
    st.title("Train")
    st.markdown("Train a small model on the data that are here, and try it at once.")
    if not owner.here():
        cards.empty("lock", owner.NOT_YOURS, "train_not_yours")
        return
    if notice := st.session_state.pop(NOTICE, None):
        engine.show_trouble(notice, "train_notice")
    found = engine.told(jobs.running)
    if isinstance(found, Trouble):
        engine.show_trouble(found, "running_trouble")
        return
    known = jobs.jobs()
    current = next((job for job in known if job.id == found), None)
    if current:
        running(current)
    new(busy=found is not None)
    earlier = [job for job in known if job is not current]
    if earlier:
        st.subheader("Earlier runs")
    for job in earlier:
        ended(job, busy=found is not None)
    local.setting()


entry.through_home()
page()
cards.footer()
