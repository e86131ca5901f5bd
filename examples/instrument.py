"""An instrument: a camera with typed methods, which streams its pictures as NumPy's arrays.

::

    pip install numpy
    python examples/instrument.py serve &
    python examples/instrument.py measure
"""

from __future__ import annotations

import dataclasses
import enum
import sys
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import zerorpc

ENDPOINT = "tcp://127.0.0.1:4242"
ROWS, COLUMNS = 480, 640


class Gain(enum.Enum):
    LOW = 1
    HIGH = 4


@dataclasses.dataclass
class Exposure:
    """How a picture is taken."""

    seconds: float = 0.02
    gain: Gain = Gain.LOW


class Camera:
    """Looks at noise. What it is told is checked against the annotations before a method runs."""

    def __init__(self) -> None:
        self._exposure = Exposure()
        self._noise = np.random.default_rng(42)

    def expose(self, exposure: Exposure) -> Exposure:
        """Set how pictures are taken from now on; returns what was set before."""
        before, self._exposure = self._exposure, exposure
        return before

    def picture(self, *, rows: int = ROWS, columns: int = COLUMNS) -> NDArray[np.uint16]:
        """Take one, or only so much of it."""
        time.sleep(self._exposure.seconds)  # plain methods run on threads, and may wait
        most = 1000 * self._exposure.gain.value
        return self._noise.integers(0, most, (rows, columns), dtype=np.uint16)

    def live(self, count: int) -> Iterator[NDArray[np.uint16]]:
        """Take several. The next one is taken while this one travels."""
        for _ in range(count):
            yield self.picture()

    def flat(self, picture: NDArray[np.uint16], dark: NDArray[np.uint16]) -> NDArray[np.float64]:
        """A picture without what the camera sees in the dark: arrays as arguments too."""
        return picture.astype(np.float64) - dark


def serve(endpoint: str) -> None:
    with zerorpc.Server(Camera()) as server:
        print("listening on", *server.bind(endpoint), flush=True)
        server.run()


def measure(endpoint: str) -> None:
    with zerorpc.Client(endpoint) as client:
        camera = zerorpc.typed(client, Camera)  # a Camera to mypy and to editors: no Camera is made here
        print("exposure was", camera.expose(Exposure(0.001, Gain.HIGH)))

        picture = camera.picture()
        print("one picture:", picture.shape, picture.dtype, "mean", round(float(picture.mean()), -2))
        print("a corner of one:", camera.picture(rows=2, columns=3).tolist())
        for number, shown in enumerate(camera.live(3)):
            print("live picture", number, shown.shape)
        print("against itself:", camera.flat(picture, picture).max())

        try:
            client.expose({"seconds": "long"})  # without types here; the server checks all the same
        except zerorpc.InvalidArguments as error:
            print("refused:", error.msg)


def main() -> None:
    role = sys.argv[1] if sys.argv[1:] else ""
    endpoint = sys.argv[2] if sys.argv[2:] else ENDPOINT
    if role == "serve":
        serve(endpoint)
    elif role == "measure":
        measure(endpoint)
    else:
        print("usage: python instrument.py serve|measure [endpoint]", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
