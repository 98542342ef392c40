"""The monitor's server without a browser: protocol, headers, who is let in."""

import asyncio
import json
import re
import socket
import threading
import time

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError
from aiohttp.test_utils import TestClient, TestServer

from flow.monitor.server import FILES, HEADERS, HOST, PAGE, PORT, application, serve
from flow.monitor.stream import Play
from qmodel.errors import InputError

HOP_S = 2.5


@pytest.fixture
def visit(troubled, classifier):
    """Runs an async function with a client of a fresh server; gives what it returns."""

    def run(function):
        async def session():
            app = application(lambda: Play("troubled", "described", troubled, classifier, hop_s=HOP_S))
            async with TestClient(TestServer(app, host=HOST)) as client:
                return await function(client)

        return asyncio.run(session())

    return run


def sent(address: str, **headers: str):
    """Status, text and headers of a request."""

    async def get(client):
        async with client.get(address, headers=headers) as response:
            return response.status, await response.text(), dict(response.headers)

    return get


class TestFiles:
    @pytest.mark.parametrize("address", FILES)
    def test_are_sent_with_a_policy(self, visit, address):
        status, text, headers = visit(sent(f"/{address}"))
        assert status == 200
        assert text == (PAGE / FILES[address]).read_text("utf-8")
        assert headers.items() >= HEADERS.items()

    def test_policy_allows_this_origin_alone(self):
        rules = dict(rule.strip().split(" ", 1) for rule in HEADERS["Content-Security-Policy"].split(";"))
        assert rules["default-src"] == "'none'"
        assert set(rules.values()) == {"'none'", "'self'"}

    @pytest.mark.parametrize("address", ["/missing", "/../server.py", "/page/", "/page/index.html"])
    def test_nothing_else_is_sent(self, visit, address):
        status, _, headers = visit(sent(address))
        assert status == 404
        assert headers.items() >= HEADERS.items()

    @pytest.mark.parametrize("name", FILES.values())
    def test_name_no_other_place(self, name):
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.[\w/.-]+", (PAGE / name).read_text("utf-8")))
        assert addresses <= {"http://www.w3.org/2000/svg"}

    def test_are_all_of_the_page(self):
        assert {path.name for path in PAGE.iterdir()} == set(FILES.values())


class TestStream:
    def test_equals_batch(self, visit, troubled, classifier):
        async def listen(client):
            async with client.ws_connect("/stream") as page:
                opening, stretches = await page.receive_json(), []
                while sum(len(stretch["microvolts"]) for stretch in stretches) < opening["samples"]:
                    await page.send_json({"advance": 5000 * (len(stretches) + 1)})
                    stretches.append(await page.receive_json())
                return opening, stretches

        opening, stretches = visit(listen)
        assert (opening["title"], opening["lead"], opening["hop_samples"]) == ("troubled", "MLII", 900)
        decisions = [decision for stretch in stretches for decision in stretch["decisions"]]
        findings = classifier.recording(troubled.windows(HOP_S))
        assert [decision["said"] for decision in decisions] == findings.said.tolist()
        assert [decision["at"] for decision in decisions] == [3600 + 900 * i for i in range(len(findings))]

    def test_every_page_hears_it_from_the_start(self, visit):
        async def two(client):
            async with client.ws_connect("/stream") as first, client.ws_connect("/stream") as second:
                answers = []
                for page, to in ((first, 400), (second, 300), (first, 500)):
                    await page.send_json({"advance": to})
                for page in (first, first, first, second, second):
                    answers.append(await page.receive_json())
                return [(a.get("start"), len(a.get("microvolts", []))) for a in answers]

        assert visit(two) == [(None, 0), (0, 400), (400, 100), (None, 0), (0, 300)]

    @pytest.mark.parametrize(
        "request_",
        ["", "{", "[]", "7", "null", "{}", '{"advance": "5"}', '{"advance": 1.5}', '{"advance": true}', "[" * 900],
    )
    def test_says_what_it_expected(self, visit, request_):
        async def ask(client):
            async with client.ws_connect("/stream") as page:
                await page.receive_json()
                await page.send_str(request_)
                return await page.receive()

        closed = visit(ask)
        assert (closed.type, closed.data) == (WSMsgType.CLOSE, 1008)
        assert closed.extra == 'expected {"advance": sample}'

    def test_refuses_bytes_and_long_messages(self, visit):
        async def ask(client, send):
            async with client.ws_connect("/stream") as page:
                await page.receive_json()
                await send(page)
                return (await page.receive()).data

        assert visit(lambda client: ask(client, lambda page: page.send_bytes(b'{"advance": 5}'))) == 1008
        long = json.dumps({"advance": 5, "more": "x" * 2000})
        assert visit(lambda client: ask(client, lambda page: page.send_str(long))) == 1009


class TestEnds:
    """A page that goes away, or a server that stops, while a stretch is being classified: nobody is to see an error."""

    @pytest.fixture
    def slow(self, troubled, classifier, monkeypatch):
        """A stream whose stretches take a while; set when one is under way."""
        under_way = threading.Event()

        def advance(play, to):
            under_way.set()
            time.sleep(0.3)
            return {"start": 0}

        monkeypatch.setattr(Play, "advance", advance)
        return under_way

    @pytest.mark.parametrize("ending", ["page closes", "page is lost", "server stops"])
    def test_without_a_word(self, visit, slow, caplog, ending):
        async def leave(client):
            page = await client.ws_connect("/stream")
            await page.receive_json()
            await page.send_json({"advance": 100})
            await asyncio.to_thread(slow.wait)
            if ending == "page closes":
                await page.close()
            elif ending == "page is lost":
                page._response.connection.transport.abort()
            else:
                await client.server.close()
            await asyncio.sleep(0.5)

        visit(leave)
        assert slow.is_set()
        assert [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"] == []


class TestWhoIsLetIn:
    @pytest.mark.parametrize("name", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.evil.example"])
    def test_foreign_names_are_not(self, visit, name):
        status, text, headers = visit(sent("/", Host=name))
        assert status == 403
        assert "alone" in text
        assert headers.items() >= HEADERS.items()

    def test_localhost_is(self, visit):
        async def get(client):
            async with client.get("/", headers={"Host": f"localhost:{client.port}"}) as response:
                return response.status

        assert visit(get) == 200

    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"])
    def test_pages_of_others_get_no_stream(self, visit, origin):
        async def open_stream(client):
            with pytest.raises(WSServerHandshakeError) as refused:
                await client.ws_connect("/stream", origin=origin)
            return refused.value.status

        assert visit(open_stream) == 403

    def test_own_page_gets_it(self, visit):
        async def open_stream(client):
            async with client.ws_connect("/stream", origin=f"http://{HOST}:{client.port}") as page:
                return await page.receive_json()

        assert visit(open_stream)["title"] == "troubled"


class TestServe:
    def test_listens_to_this_machine_alone(self, troubled, classifier):
        addresses = []

        async def once():
            app = application(lambda: Play("t", "d", troubled, classifier))
            ready = asyncio.Event()
            serving = asyncio.create_task(serve(app, 0, lambda address: (addresses.append(address), ready.set())))
            await ready.wait()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

        asyncio.run(once())
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", addresses[0])
        with socket.socket() as free, pytest.raises(ConnectionRefusedError):
            free.connect((HOST, int(addresses[0].rstrip("/").rpartition(":")[2])))

    def test_a_port_that_is_taken_is_refused_or_another_found(self, troubled, classifier):
        def serve_once(port):
            async def once():
                found = []

                def ready(address):
                    found.append(address)
                    raise InterruptedError

                with pytest.raises((InterruptedError, InputError)) as ended:
                    await serve(application(lambda: Play("t", "d", troubled, classifier)), port, ready)
                return found, ended.value

            return asyncio.run(once())

        with socket.socket() as taken:
            taken.bind((HOST, 0))
            taken.listen()
            port = taken.getsockname()[1]
            found, error = serve_once(port)
            assert not found
            assert f"--port {port} is not available" in str(error)
        for impossible in (-1, 70000):
            assert isinstance(serve_once(impossible)[1], InputError)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind((HOST, PORT))
            except OSError:
                pass  # another program has it, which is what is wanted
            else:
                taken.listen()
            found, _ = serve_once(None)
        assert found
        assert not found[0].endswith(f":{PORT}/")
