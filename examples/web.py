"""A web service before a zerorpc one: FastAPI answers the browsers, and examples/cooler.py does the work.

::

    pip install fastapi uvicorn
    python examples/cooler.py &
    COOLER=tcp://127.0.0.1:4242 uvicorn --app-dir examples web:app
    curl 'http://127.0.0.1:8000/cool?sentence=hi'
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

import zerorpc


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    """One client for the whole application: all requests share its connection. The service may come later."""
    async with zerorpc.AsyncClient(os.environ.get("COOLER", "tcp://127.0.0.1:4242"), timeout=5) as client:
        app.state.cooler = client
        yield


def the_cooler(request: Request) -> zerorpc.AsyncClient:
    client: zerorpc.AsyncClient = request.app.state.cooler
    return client


Cooler = Annotated[zerorpc.AsyncClient, Depends(the_cooler)]
app = FastAPI(lifespan=connected)


@app.get("/cool")
async def cool(sentence: str, cooler: Cooler) -> str:
    result: str = await cooler.add_man(sentence)
    return result


@app.get("/divide")
async def divide(dividend: int, divisor: int, cooler: Cooler) -> float:
    result: float = await cooler.divide(dividend, divisor)
    return result


@app.get("/countdown/{start}")
async def countdown(start: int, cooler: Cooler) -> Response:
    """A stream goes on to the browser as it comes. When the browser leaves, the service stops counting."""

    async def lines() -> AsyncIterator[str]:
        async for number in cooler.countdown(start):
            yield f"{number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.exception_handler(zerorpc.RemoteError)
async def refused(_request: Request, error: Exception) -> Response:
    """The method raised: its name and message, and not its traceback, are for the browser."""
    assert isinstance(error, zerorpc.RemoteError)
    return JSONResponse({"detail": f"{error.name}: {error.msg}"}, status_code=422)


@app.exception_handler(zerorpc.TimeoutExpired)
@app.exception_handler(zerorpc.LostRemote)
async def away(_request: Request, _error: Exception) -> Response:
    """Nobody answers, or nobody any more. The log of this program says more than the browser needs to know."""
    return JSONResponse({"detail": "the service can't be reached"}, status_code=503)
