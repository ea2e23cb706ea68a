"""How each emotion looks everywhere: one colour, one icon, one word; and the app's style sheet."""

from __future__ import annotations

from dataclasses import dataclass

from core.labels import EMOTIONS


@dataclass(frozen=True)
class Look:
    """Colour (hex), Material symbol and the adjective that completes "looks ..."."""

    colour: str
    icon: str
    adjective: str


LOOKS: dict[str, Look] = {
    "angry": Look("#be190c", "sentiment_extremely_dissatisfied", "angry"),
    "disgust": Look("#356e4b", "sick", "disgusted"),
    "fear": Look("#802ed9", "sentiment_worried", "fearful"),
    "happy": Look("#d4810a", "sentiment_very_satisfied", "happy"),
    "neutral": Look("#919497", "sentiment_neutral", "neutral"),
    "sad": Look("#3899ed", "sentiment_sad", "sad"),
    "surprise": Look("#c206ab", "sentiment_excited", "surprised"),
}
"""Found by search: the seven colours stay apart (CIE Lab) for normal, protanopic, deuteranopic
and tritanopic sight, and each has a contrast of about 3:1 or more on both backgrounds."""

AGREEMENT_ICONS: dict[str, str] = {
    "exact": "check_circle",
    "tone": "adjust",
    "none": "compare_arrows",
}
"""Material symbol of each kind of agreement."""

FACE_COLOUR = "#2b6777"
VOICE_COLOUR = "#9a6b3f"
"""The two sides of a hybrid answer."""


def rgb(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` as three bytes."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` as WCAG defines it, 0 to 1."""

    def linear(byte: int) -> float:
        share = byte / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(byte) for byte in rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on `colour` (at least 4.5:1)."""
    return "#ffffff" if luminance(colour) < 0.179 else "#000000"


assert tuple(LOOKS) == EMOTIONS

LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 48" width="64" height="48">'
    f'<circle cx="22" cy="24" r="20" fill="{FACE_COLOUR}"/>'
    f'<circle cx="42" cy="24" r="20" fill="{VOICE_COLOUR}" fill-opacity="0.85"/>'
    '<circle cx="15" cy="19" r="2.6" fill="#fff"/><circle cx="27" cy="19" r="2.6" fill="#fff"/>'
    '<path d="M13 28q8 9 16 0" stroke="#fff" stroke-width="3" fill="none" '
    'stroke-linecap="round"/><path d="M39 20v8M45 14v20M51 19v10" stroke="#fff" '
    'stroke-width="3" stroke-linecap="round"/></svg>'
)
"""A face and a voice, overlapping."""

STYLE = """
<style>
.stMainBlockContainer { max-width: 70rem; padding-top: 4.5rem; padding-bottom: 3rem; }
.duet-symbol { font-family: "Material Symbols Rounded"; font-weight: 400; font-style: normal;
  line-height: 1; letter-spacing: normal; text-transform: none; white-space: nowrap;
  word-wrap: normal; direction: ltr; font-feature-settings: "liga"; display: inline-block;
  flex: none; }
[data-testid="stCaptionContainer"][data-testid] { color: inherit; opacity: .8; }
[data-testid="stCaptionContainer"][data-testid] :is(p, li, code) { color: inherit; }
.stPlotlyChart :is(.xtick, .ytick) text, .stPlotlyChart :is(.xtitle, .ytitle) {
  fill: currentColor !important; fill-opacity: .8 !important; }
.duet-answer { display: flex; align-items: center; gap: 1rem; padding: 1rem 1.1rem;
  border-radius: .75rem; border: 1px solid color-mix(in srgb, var(--c) 45%, transparent);
  background: color-mix(in srgb, var(--c) 11%, transparent); }
.duet-answer .duet-symbol { font-size: 2.2rem; width: 3.6rem; height: 3.6rem; border-radius: 50%;
  background: var(--c); color: var(--ink); display: flex; align-items: center;
  justify-content: center; }
.duet-answer h2 { font-size: clamp(1.35rem, 4.5vw, 1.85rem); line-height: 1.2; margin: 0;
  padding: 0; font-weight: 700; overflow-wrap: anywhere; }
.duet-answer p { margin: .25rem 0 0; opacity: .85; }
.duet-answer .sure { font-weight: 450; white-space: nowrap; }
.duet-answer.small h2 { font-size: 1.3rem; }
.duet-answer.small .duet-symbol { font-size: 1.7rem; width: 2.7rem; height: 2.7rem; }
.duet-bars { display: grid; grid-template-columns: max-content 1fr 3rem; gap: .45rem .75rem;
  align-items: center; margin: .25rem 0; }
.duet-bars .name { display: flex; align-items: center; gap: .45rem; }
.duet-bars .duet-symbol { font-size: 1.25rem; color: var(--c); }
.duet-track { height: .85rem; border-radius: .43rem; overflow: hidden;
  background: color-mix(in srgb, currentColor 11%, transparent); }
.duet-track i { display: block; height: 100%; border-radius: .43rem; background: var(--c); }
.duet-bars .value { text-align: right; font-variant-numeric: tabular-nums; }
.duet-bars .first { font-weight: 700; }
.duet-finding { font-weight: 600; margin: .25rem 0 .35rem; overflow-wrap: anywhere; }
.duet-table { width: 100%; border-collapse: collapse; table-layout: fixed; }
.duet-table th { text-align: left; font-weight: 600; padding: .25rem .5rem .25rem 0; }
.duet-table th[scope=row] { width: 30%; font-weight: 400; white-space: nowrap; }
.duet-table td { padding: .25rem .5rem .25rem 0; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }
.duet-table td .duet-track { height: .5rem; margin-top: .1rem; }
.duet-table .first { font-weight: 700; }
.duet-table .duet-symbol { font-size: 1.1rem; color: var(--c); vertical-align: -.2rem;
  margin-right: .35rem; }
.duet-split { display: flex; border-radius: .6rem; overflow: hidden; min-height: 2.3rem; }
.duet-split span { display: flex; align-items: center; padding: 0 .75rem; color: #fff;
  white-space: nowrap; overflow: hidden; font-weight: 600; min-width: 5.6rem; }
.duet-moment { display: flex; align-items: center; gap: .6rem; padding: .2rem 0; }
.duet-moment b { font-variant-numeric: tabular-nums; min-width: 6.5rem; white-space: nowrap; }
.duet-moment span { white-space: nowrap; }
.duet-empty { text-align: center; padding: 2rem 1rem; border-radius: .75rem;
  border: 1px dashed color-mix(in srgb, currentColor 30%, transparent); }
.duet-empty .duet-symbol { font-size: 2.6rem; opacity: .55; }
.duet-empty p { margin: .5rem 0 0; }
.duet-hero { margin: .5rem 0 1rem; }
.duet-hero h1 { font-size: clamp(2.2rem, 7vw, 3.4rem); line-height: 1.05; margin: 0; padding: 0;
  letter-spacing: -.02em; }
.duet-hero p { font-size: 1.15rem; max-width: 44rem; margin: .75rem 0 0; opacity: .9; }
.duet-card h3 { margin: .35rem 0 0; padding: 0; }
.duet-card p { margin: .3rem 0 0; opacity: .85; }
.duet-card .duet-symbol { font-size: 2.1rem; }
.duet-note { display: flex; gap: .5rem; align-items: flex-start; padding: .15rem 0; opacity: .92; }
.duet-note .duet-symbol { font-size: 1.2rem; margin-top: .1rem; }
.duet-note.strong { font-size: 1.1rem; font-weight: 600; padding: .4rem 0; }
.duet-note.strong .duet-symbol { font-size: 1.5rem; margin-top: 0; }
[data-testid=stFileUploaderDropzoneInstructions] span { white-space: normal; }
.duet-error small { opacity: .7; font-family: monospace; }
.st-key-model_card table { display: block; overflow-x: auto; }
div[class*="_mirror_camera"] video { transform: scaleX(-1); }
div[class*="_mirror_camera"], div[class*="_plain_camera"] { max-width: 40rem; }
.duet-live-quiet { opacity: .8; padding: .6rem .1rem; margin: 0; }
.duet-meter { display: flex; gap: .5rem; align-items: center; }
.duet-meter .duet-symbol { font-size: 1.2rem; opacity: .8; }
.duet-meter .duet-track { flex: 1; height: .6rem; }
.duet-meter .duet-track i { transition: width .4s; }
.duet-ribbons { display: grid; grid-template-columns: max-content 1fr; gap: .4rem .75rem;
  align-items: center; }
.duet-ribbon { position: relative; height: 1.7rem; border-radius: .35rem; overflow: hidden;
  background: color-mix(in srgb, currentColor 8%, transparent); }
.duet-ribbon i { position: absolute; top: 0; bottom: 0; font-style: normal; font-size: .8rem;
  overflow: hidden; white-space: nowrap; display: flex; align-items: center;
  justify-content: center; box-shadow: inset -1px 0 0 rgb(255 255 255 / .55); }
.duet-ribbon-ends { display: flex; justify-content: space-between; font-size: .85rem;
  opacity: .8; font-variant-numeric: tabular-nums; }
.duet-events { list-style: none; padding: 0 !important; margin: .5rem 0 0; font-size: .92rem; }
.duet-events li { margin: 0 !important; padding: .1rem 0; }
.duet-speed { width: 100%; border-collapse: collapse; }
.duet-speed th { text-align: left; font-weight: 400; padding: .15rem .5rem .15rem 0; }
.duet-speed td { text-align: right; font-variant-numeric: tabular-nums; }
.st-key-live_together { min-height: 13.5rem; }
.st-key-live_faces, .st-key-live_voice { min-height: 4.9rem; }
.duet-events b { font-variant-numeric: tabular-nums; display: inline-block; min-width: 3rem; }
.duet-chips { display: flex; flex-wrap: wrap; gap: .4rem .5rem; margin: 1rem 0 .25rem; }
.duet-chips span.chip { display: flex; align-items: center; gap: .35rem; padding: .2rem .7rem;
  border-radius: 1rem; border: 1px solid color-mix(in srgb, var(--c) 55%, transparent);
  background: color-mix(in srgb, var(--c) 10%, transparent); }
.duet-figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(5.4rem, 1fr));
  gap: .75rem; }
.duet-figures figure { margin: 0; }
.duet-figures img { width: 100%; max-width: 9rem; border-radius: .6rem; display: block; }
.duet-figures figcaption { font-size: .85rem; line-height: 1.3; padding-top: .3rem; }
.duet-chips .duet-symbol { font-size: 1.2rem; color: var(--c); }
.st-key-picture, .st-key-example { scroll-margin-top: 4.5rem; }
[data-testid=stColumn]:has(.st-key-changes_shown) { position: sticky; top: 3.75rem; z-index: 1;
  align-self: flex-start; }
@media (max-width: 640px) {
  [data-testid=stHorizontalBlock] { row-gap: 1rem; }
  [data-testid=stColumn]:has(.st-key-changes_shown) { background: Canvas; }
}
</style>
"""
