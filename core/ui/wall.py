"""Many small pictures at once, each a button: one picture is sent, and cut up by the browser."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.face.tensor import FACE_SIZE
from core.ui.pictures import jpeg

COLUMNS = 12
"""Of the picture that is sent; the page breaks lines as it likes."""
SHOWN = 72
"""Pixels a side of each picture on the page."""

CSS = """
.wall { display: grid; grid-template-columns: repeat(auto-fill, minmax(72px, 1fr)); gap: 8px;
  align-items: start;  font-family: var(--st-font); }
button { all: unset; cursor: pointer; display: block; border-radius: 8px; text-align: center; }
button:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 2px; }
button:hover i { outline: 2px solid var(--st-primary-color); }
button.chosen i { outline: 3px solid var(--st-primary-color); }
i { display: block; width: 72px; height: 72px; margin: 0 auto; border-radius: 8px;
  background-color: rgba(128, 138, 144, 0.25); }
span { display: block; font-size: 12px; line-height: 1.25; color: var(--st-text-color);
  padding-top: 2px; overflow: hidden; text-overflow: ellipsis; }
"""

JS = """
export default function(component) {
  const { data, parentElement, setTriggerValue } = component;
  let wall = parentElement.querySelector('.wall');
  if (!wall) {
    wall = document.createElement('div');
    wall.className = 'wall';
    parentElement.appendChild(wall);
  }
  const rows = Math.ceil(data.tiles.length / data.columns);
  wall.replaceChildren(...data.tiles.map((tile, number) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.setAttribute('aria-label', tile.words + ', ' + tile.id);
    button.title = tile.id;
    if (tile.id === data.chosen) button.className = 'chosen';
    const picture = document.createElement('i');
    picture.style.backgroundImage = 'url(' + data.sprite + ')';
    picture.style.backgroundSize = data.columns * 72 + 'px ' + rows * 72 + 'px';
    picture.style.backgroundPosition =
      -72 * (number % data.columns) + 'px ' + -72 * Math.floor(number / data.columns) + 'px';
    const words = document.createElement('span');
    words.textContent = tile.words;
    button.append(picture, words);
    button.onclick = () => { wall.picked = true; setTriggerValue('picked', tile.id); };
    return button;
  }));
  // What was picked opens above the wall, on a phone far out of sight.
  const opened = data.opens && wall.picked && document.querySelector('.st-key-' + data.opens);
  if (opened) {
    wall.picked = false;
    opened.scrollIntoView();
  }
}
"""


@dataclass(frozen=True)
class Tile:
    """One picture of a wall."""

    id: str
    words: str
    """Below it; also what a screen reader says."""
    image: NDArray[np.uint8]
    """(48, 48) grey."""


def composite(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """uint8 (rows * 48, COLUMNS * 48, 3): all images side by side, grey where there are none."""
    rows = -(-len(images) // COLUMNS)
    whole = np.full((rows * FACE_SIZE, COLUMNS * FACE_SIZE), 128, np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, COLUMNS)
        top, left = row * FACE_SIZE, column * FACE_SIZE
        whole[top : top + FACE_SIZE, left : left + FACE_SIZE] = image
    return np.repeat(whole[..., np.newaxis], 3, axis=2)


def show(
    tiles: Sequence[Tile], key: str, chosen: str, picked: Callable[[str], None], opens: str
) -> None:
    """The wall; `picked` is called with the id of a picture that was clicked.

    Parameters
    ----------
    opens : key of the container that then shows it and is brought into sight.
    """
    if not tiles:
        return
    mount = st.components.v2.component("duet_wall", css=CSS, js=JS)

    def clicked() -> None:
        name = st.session_state[key].picked
        if name:
            picked(str(name))

    data: dict[str, Any] = {
        "sprite": data_url(jpeg(composite([tile.image for tile in tiles]))),
        "columns": COLUMNS,
        "chosen": chosen,
        "opens": opens,
        "tiles": [{"id": tile.id, "words": tile.words} for tile in tiles],
    }
    mount(key=key, data=data, on_picked_change=clicked)


def data_url(picture: bytes) -> str:
    """A JPEG as an address that holds the picture itself."""
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()
