"""The monitor's page and its WebSocket, served to this machine alone, and there to who has the address with its token.

Protocol, JSON over /stream. A record: the server opens with Play.opening(); each {"advance": sample} is answered by one
Play.advance(sample). The page owns the clock, so a stretch is classified only when it is about to be shown. Every
page plays a stream of its own. A live source: the server opens with Live.opening() and sends stretches as they come,
the same to every page; the page says {"shown": sample}, from which the latency follows.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.typedefs import Handler

from flow.monitor.live import QUEUE, Live
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


def application(
    new_play: Callable[[], Play] | None = None, live: Live | None = None, token: str | None = None
) -> web.Application:
    """The page, its files, and /stream.

    Args: new_play: called for every page that connects; live: a source in place of a record; token: that the page's
        address must hold, None: it need not.
    """
    app = web.Application(middlewares=[_this_machine, _with_token(token)])
    app[_SOCKETS] = weakref.WeakSet()
    worker = ThreadPoolExecutor(1)  # engines are not made for two threads, and the event loop must stay free

    async def stream(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=LONGEST_REQUEST, heartbeat=20)
        await socket.prepare(request)
        app[_SOCKETS].add(socket)
        with suppress(ConnectionError):  # the page has gone while its answer was on the way
            await (follow(socket) if live is not None else answer(socket))
        return socket

    async def follow(socket: web.WebSocketResponse) -> None:
        assert live is not None
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[dict](QUEUE)

        def put(message: dict) -> None:
            if queue.full():  # a page that does not read is let go; it may connect again
                queue.get_nowait()
                message = {"lost": True}
            queue.put_nowait(message)

        def listener(message: dict) -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(put, message)

        async def send() -> None:
            await socket.send_json(live.opening())
            while not (message := await queue.get()).get("lost"):
                await socket.send_json(message, dumps=_compact)
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"this page did not keep up: reload it")

        live.listen(listener)
        sending = asyncio.create_task(send())
        try:
            async for message in socket:
                shown = _number(message.data, "shown") if message.type == WSMsgType.TEXT else None
                if shown is None:
                    await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b'expected {"shown": sample}')
                    return
                live.shown(shown)
        finally:
            live.leave(listener)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def answer(socket: web.WebSocketResponse) -> None:
        assert new_play is not None
        play = new_play()
        await socket.send_json(play.opening())
        async for message in socket:
            to = _number(message.data, "advance") if message.type == WSMsgType.TEXT else None
            if to is None:
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b'expected {"advance": sample}')
                return
            stretch = await asyncio.get_running_loop().run_in_executor(worker, play.advance, to)
            await socket.send_json(stretch, dumps=_compact)

    async def close_sockets(_: web.Application) -> None:
        sockets = app[_SOCKETS]
        for socket in list(sockets):
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


async def serve(app: web.Application, port: int | None, ready: Callable[[str], None], token: str | None = None) -> None:
    """Serve until cancelled.

    Args: port: None: PORT, or any free one where that is taken; ready: gets the page's address; token: in that address.
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
        ready(f"http://{host}:{bound}/" + (f"?token={token}" if token else ""))
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


@web.middleware
async def _this_machine(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse names that a foreign site made point here (DNS rebinding), and sockets opened by foreign pages."""
    port = request.get_extra_info("sockname")[1]
    hosts = {f"{HOST}:{port}", f"localhost:{port}"}
    origin = request.headers.get("Origin")
    if request.host not in hosts or (origin is not None and origin != f"http://{request.host}"):
        raise web.HTTPForbidden(text=f"this monitor answers http://{HOST}:{port}/ alone\n", headers=HEADERS)
    return await handler(request)


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def _with_token(token: str | None) -> Any:
    """Let in who has the token: the page and its stream tell of somebody's heart, its style and script do not."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        guarded = request.path in ("/", "/stream")
        if token and guarded and not hmac.compare_digest(request.query.get("token", "").encode(), token.encode()):
            raise web.HTTPForbidden(
                text="open the whole address that ecg-alq printed, with its token\n", headers=HEADERS
            )
        return await handler(request)

    return check


def _file(path: Path) -> Callable:
    async def send(_: web.Request) -> web.FileResponse:
        return web.FileResponse(path)

    return send


def _number(text: str, name: str) -> int | None:
    """The sample that a page sends; None if it is not {name: integer}."""
    try:
        to = json.loads(text)[name]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return to if type(to) is int else None


def _compact(message: dict) -> str:
    return json.dumps(message, separators=(",", ":"), allow_nan=False)
