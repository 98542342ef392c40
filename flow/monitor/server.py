"""The monitor's page and its WebSocket, served to this machine alone.

Protocol, JSON over /stream: the server opens with Play.opening(); each {"advance": sample} is answered by one
Play.advance(sample). The page owns the clock, so a stretch is classified only when it is about to be shown. Every
page plays a stream of its own.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from aiohttp import WSCloseCode, WSMsgType, web

from flow.monitor.stream import Play
from qmodel.errors import InputError

HOST = "127.0.0.1"
PORT = 8360  # taken if it is free and no other was asked for
PAGE = Path(__file__).parent / "page"
FILES = {"": "index.html", "monitor.css": "monitor.css", "monitor.js": "monitor.js", "icon.svg": "icon.svg"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
LONGEST_REQUEST = 1000  # bytes
_SOCKETS = web.AppKey("sockets", weakref.WeakSet)


def application(new_play: Callable[[], Play]) -> web.Application:
    """The page, its files, and /stream. Args: new_play: called for every page that connects."""
    app = web.Application(middlewares=[_this_machine])
    app[_SOCKETS] = weakref.WeakSet()
    worker = ThreadPoolExecutor(1)  # engines are not made for two threads, and the event loop must stay free

    async def stream(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=LONGEST_REQUEST, heartbeat=20)
        await socket.prepare(request)
        app[_SOCKETS].add(socket)
        with suppress(ConnectionError):  # the page has gone while its answer was on the way
            await answer(socket)
        return socket

    async def answer(socket: web.WebSocketResponse) -> None:
        play = new_play()
        await socket.send_json(play.opening())
        async for message in socket:
            to = _requested(message.data) if message.type == WSMsgType.TEXT else None
            if to is None:
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b'expected {"advance": sample}')
                return
            stretch = await asyncio.get_running_loop().run_in_executor(worker, play.advance, to)
            await socket.send_json(stretch, dumps=_compact)

    async def close_sockets(_: web.Application) -> None:
        for socket in list(app[_SOCKETS]):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def stop_worker(_: web.Application) -> None:
        worker.shutdown(cancel_futures=True)

    async def secure(_: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(HEADERS)

    for address, name in FILES.items():
        app.router.add_get(f"/{address}", _file(PAGE / name))
    app.router.add_get("/stream", stream)
    app.on_response_prepare.append(secure)
    app.on_shutdown.append(close_sockets)
    app.on_cleanup.append(stop_worker)
    return app


async def serve(app: web.Application, port: int | None, ready: Callable[[str], None]) -> None:
    """Serve until cancelled.

    Args: port: None: PORT, or any free one where that is taken; ready: gets the page's address.
    Raises: InputError: the port asked for cannot be had.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        for wanted in (PORT, 0) if port is None else (port,):
            try:
                site = web.TCPSite(runner, HOST, wanted)
                await site.start()
                break
            except (OSError, OverflowError):
                if port is not None:
                    raise InputError(
                        f"--port {port} is not available on {HOST}: give one of 1024 to 65535 that no other program "
                        "uses, or leave it out"
                    ) from None
        host, bound = runner.addresses[0][:2]
        ready(f"http://{host}:{bound}/")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


@web.middleware
async def _this_machine(request: web.Request, handler) -> web.StreamResponse:
    """Refuse names that a foreign site made point here (DNS rebinding), and sockets opened by foreign pages."""
    port = request.get_extra_info("sockname")[1]
    hosts = {f"{HOST}:{port}", f"localhost:{port}"}
    origin = request.headers.get("Origin")
    if request.host not in hosts or (origin is not None and origin != f"http://{request.host}"):
        raise web.HTTPForbidden(text=f"this monitor answers http://{HOST}:{port}/ alone\n", headers=HEADERS)
    return await handler(request)


def _file(path: Path) -> Callable:
    async def send(_: web.Request) -> web.FileResponse:
        return web.FileResponse(path)

    return send


def _requested(text: str) -> int | None:
    """The sample a request asks for; None if it is not {"advance": integer}."""
    try:
        to = json.loads(text)["advance"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return to if type(to) is int else None


def _compact(message: dict) -> str:
    return json.dumps(message, separators=(",", ":"), allow_nan=False)
