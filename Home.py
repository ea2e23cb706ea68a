"""Entry of the app: page settings, style and navigation. Run with `streamlit run Home.py`."""

from __future__ import annotations

import streamlit as st

from core.ui import engine, keep
from core.ui.looks import LOGO, STYLE

st.set_page_config(
    page_title="Duet",
    page_icon=LOGO,
    layout="wide",
    initial_sidebar_state="collapsed",
    menu_items={"About": "Duet reads emotions from a face, from a voice and from both together."},
)
st.html(STYLE)
st.logo(LOGO, size="large")
engine.warm()

page = st.navigation(
    {
        "": [
            st.Page("pages/home.py", title="Home", icon=":material/home:", default=True),
            st.Page("pages/face.py", title="Face", icon=":material/face:", url_path="face"),
            st.Page("pages/voice.py", title="Voice", icon=":material/mic:", url_path="voice"),
            st.Page(
                "pages/hybrid.py", title="Hybrid", icon=":material/group_work:", url_path="hybrid"
            ),
            st.Page("pages/live.py", title="Live", icon=":material/videocam:", url_path="live"),
        ],
        "Data": [
            st.Page("pages/data.py", title="Data", icon=":material/database:", url_path="data"),
            st.Page(
                "pages/data_faces.py",
                title="Faces in the data",
                icon=":material/face_6:",
                url_path="data_faces",
            ),
            st.Page(
                "pages/data_voices.py",
                title="Voices in the data",
                icon=":material/graphic_eq:",
                url_path="data_voices",
            ),
            st.Page(
                "pages/data_map.py",
                title="Map",
                icon=":material/scatter_plot:",
                url_path="data_map",
            ),
            st.Page(
                "pages/data_quality.py",
                title="Data quality",
                icon=":material/rule:",
                url_path="data_quality",
            ),
        ],
        "Models": [
            st.Page(
                "pages/models.py", title="Models", icon=":material/leaderboard:", url_path="models"
            ),
            st.Page(
                "pages/train.py", title="Train", icon=":material/model_training:", url_path="train"
            ),
        ],
    },
    position="top",
)
if page.url_path:
    st.set_page_config(page_title=f"{page.title} · Duet")
keep.turned_to(page.url_path)
page.run()
