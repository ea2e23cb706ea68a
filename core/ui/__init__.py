"""What the pages share; the only part of the library that knows Streamlit."""

import cv2  # noqa: F401 - before its BLAS is limited
import numpy as np  # noqa: F401 - likewise
from starlette.formparsers import MultiPartParser
from threadpoolctl import threadpool_limits

from core.limits import MAX_FILE_BYTES

# Streamlit receives uploads through Starlette, which would put what is over 1 MB into a file on
# disk. Pictures and recordings stay in memory: no upload that is accepted is larger than this.
MultiPartParser.spool_max_size = MAX_FILE_BYTES + 1024 * 1024

# Analyses of many viewers run beside each other and beside films: threads of BLAS that spin for
# the next piece of a small product tripled what listening to three seconds costs.
threadpool_limits(1, user_api="blas")
