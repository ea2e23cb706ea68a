"""Pictures for the pages: faces marked and named, and where on a face the answer came from."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from core.media import Picture
from core.results import Box, FaceResult
from core.ui.looks import LOOKS, ink_on, rgb
from core.words import percent

SMALLEST_SHOWN, SHOWN_SIDE = 640, 1280
"""Pixels; bounds of the longer side of a picture as the pages show it. On a smaller one the labels
of its faces would hide them."""
CROP_SIDE = 420
"""Pixels; a face beside its answer."""

Image = NDArray[np.uint8]


def jpeg(image: Image) -> bytes:
    """`image`, uint8 (height, width, 3) RGB, as JPEG: quicker to make and send than PNG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 90]
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), options)
    if not done:
        raise ValueError("the picture could not be encoded")
    return data.tobytes()


def to_show(picture: Picture) -> tuple[Image, float]:
    """The picture, its longer side within the bounds of what is shown, and the factor of its size.

    Returns
    -------
    image : uint8 (height, width, 3) RGB.
    scale : pixels of it per pixel of the picture.
    """
    height, width = picture.pixels.shape[:2]
    longer = max(height, width)
    scale = min(max(longer, SMALLEST_SHOWN), SHOWN_SIDE) / longer
    if scale == 1.0:
        return picture.pixels, scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture.pixels, size, interpolation=method), np.uint8), scale


def mark(
    image: Image, faces: tuple[FaceResult, ...], scale: float, chosen: int, mirrored: bool
) -> Image:
    """Every face in a box with a label; the chosen one with a thicker line.

    Parameters
    ----------
    image : uint8 (height, width, 3) RGB, `scale` times the size of the analysed picture.
    mirrored : whether the picture is to be shown as in a mirror (the labels stay readable).
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    canvas = Pillow.fromarray(image[:, ::-1] if mirrored else image)
    draw = ImageDraw.Draw(canvas)
    side = max(image.shape[:2])
    line = max(2, side // 320)
    font = ImageFont.load_default(max(13, side // 38))
    for index in reversed(range(len(faces))):  # the largest face's label on top
        face = faces[index]
        box = _shown(face.box, scale, image.shape[1], mirrored)
        left, top, right, bottom = box
        width = line * 2 if index == chosen and len(faces) > 1 else line
        colour = LOOKS[face.emotion.label].colour
        outer = (left - 1, top - 1, right + 1, bottom + 1)
        draw.rounded_rectangle(outer, line * 3, outline="white", width=width + 2)
        draw.rounded_rectangle(box, line * 3, outline=colour, width=width)
        _label(draw, font, _name(face, index, len(faces)), box, colour, canvas.size)
    return np.asarray(canvas)


def _shown(box: Box, scale: float, width: int, mirrored: bool) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) in pixels of the shown picture."""
    left, right = box.x * scale, (box.x + box.width) * scale
    if mirrored:
        left, right = width - right, width - left
    return left, box.y * scale, right, (box.y + box.height) * scale


def _name(face: FaceResult, index: int, count: int) -> str:
    number = f"{index + 1}  " if count > 1 else ""
    doubt = "?" if face.emotion.unsure else ""
    return f"{number}{face.emotion.label}{doubt}  {percent(face.emotion.confidence)}"


def _label(
    draw: object,
    font: object,
    text: str,
    box: tuple[float, float, float, float],
    colour: str,
    size: tuple[int, int],
) -> None:
    """A chip with `text` above the box, or inside it where there is no room above."""
    from PIL import ImageDraw

    assert isinstance(draw, ImageDraw.ImageDraw)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)  # type: ignore[arg-type]
    pad = (bottom - top) // 3 + 2
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = min(max(0.0, box[0]), max(0.0, size[0] - width))
    y = box[1] - height - 3 if box[1] - height - 3 >= 0 else max(0.0, box[1]) + 3
    draw.rounded_rectangle((x, y, x + width, y + height), height // 4, fill=colour)
    at = (x + pad - left, y + pad - top)
    draw.text(at, text, fill=ink_on(colour), font=font)  # type: ignore[arg-type]


def face_square(face: FaceResult) -> tuple[float, float, float]:
    """(x, y, side) of a square around the face with room for hair and chin, picture pixels."""
    side = 1.45 * max(face.box.width, face.box.height)
    middle = (face.box.x + face.box.width / 2, face.box.y + face.box.height / 2)
    return middle[0] - side / 2, middle[1] - side / 2, side


def crop(image: Image, face: FaceResult, scale: float) -> tuple[Image, NDArray[np.float64]]:
    """The face enlarged or reduced to `CROP_SIDE`, and the transform crop -> picture.

    Returns
    -------
    crop : uint8 (CROP_SIDE, CROP_SIDE, 3)
    transform : (2, 3), from pixels of the crop to pixels of the analysed picture.
    """
    x, y, side = face_square(face)
    factor = side / CROP_SIDE
    to_picture = np.array([[factor, 0, x], [0, factor, y]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(
        image, to_picture * scale, (CROP_SIDE, CROP_SIDE),
        flags=flags, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(cut, np.uint8), to_picture


def attention(
    image: Image, face: FaceResult, scale: float, emotion: str, mirrored: bool
) -> tuple[Image, str]:
    """The face, lit where it spoke for `emotion`; and that place in words.

    Evidence lies on a grid over the framed face; it is enlarged to the frame, then carried back
    onto the picture through the inverse of `face.to_frame`.
    """
    cut, to_picture = crop(image, face, scale)
    size = face.framed.shape[0]
    evidence = np.maximum(face.attention(emotion), 0)
    smooth = cv2.resize(evidence, (size, size), interpolation=cv2.INTER_CUBIC) * _soft_edge(size)
    whole = np.vstack([to_picture, [0, 0, 1]])
    spread = cv2.warpAffine(
        smooth.astype(np.float32), face.to_frame @ whole, (CROP_SIDE, CROP_SIDE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=0,
    )  # fmt: skip
    peak = float(np.maximum(face.evidence, 0).max())
    light = np.asarray(np.clip(spread / peak if peak > 0 else 0 * spread, 0, 1), np.float32)
    mixed = _spotlight(cut, light, LOOKS[emotion].colour)
    return (mixed[:, ::-1] if mirrored else mixed), _place(evidence, emotion)


def _soft_edge(size: int) -> NDArray[np.float32]:
    """(size, size): 1, falling to 0 over the outermost tenth, so that the frame leaves no line."""
    places = np.arange(size) + 0.5
    ramp = np.clip(np.minimum(places, size - places) / (0.1 * size), 0, 1).astype(np.float32)
    return np.outer(ramp, ramp)


def _spotlight(image: Image, light: NDArray[np.float32], colour: str) -> Image:
    """`image` as it is where `light` is 1, dark and grey where it is 0; outlined at the half.

    Light reads the same for every emotion and on every skin; a tint would not.
    """
    grey = image.mean(axis=2, keepdims=True)
    dark = 0.4 * grey + 10
    shown = light[..., np.newaxis] ** 0.7
    mixed = np.clip(dark * (1 - shown) + image * shown, 0, 255).astype(np.uint8)
    half = (light >= 0.5 * max(float(light.max()), 1e-6)).astype(np.uint8)
    outlines, _ = cv2.findContours(half, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mixed, outlines, -1, (255, 255, 255), 5, cv2.LINE_AA)
    cv2.drawContours(mixed, outlines, -1, rgb(colour), 3, cv2.LINE_AA)
    return np.asarray(mixed, np.uint8)


REGIONS: tuple[str, ...] = (
    "on the forehead",
    "around the brows",
    "around the eyes",
    "around the nose and cheeks",
    "around the mouth",
    "on the chin",
)
"""From the top to the bottom of a framed face, in steps of an equal height: in the frame the
eyes, the nose and the mouth always lie at the same places."""


def _place(evidence: NDArray[np.float32], emotion: str) -> str:
    """Where the evidence for `emotion` is strongest, in words."""
    if evidence.max() <= 0:
        return f"Nothing in this face speaks for {emotion}"
    row = int(evidence.sum(axis=1).argmax())
    height = (row + 0.5) / evidence.shape[0]
    return f"What speaks most for {emotion} lies {REGIONS[int(height * len(REGIONS))]}"
