"""Emotions in real time: pictures and sound in as they come, results beside them.

No Streamlit in here. `director.Director` ties the parts together: `video` and `audio` take what
camera and microphone give, `now` and `journal` tell what was found.
"""
